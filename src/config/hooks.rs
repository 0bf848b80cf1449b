//! `[[services.*.rollout.hooks]]`: who is asked before a rollout goes on, and who is told how it went.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::file::MILLISECOND;
use super::reader::Table;
use super::value::Value;
use crate::domain::rollout::{Hook, HookPoint, Otherwise};

/// Hooks, or checks, of one plan.
pub(super) const MOST: usize = 16;
const HOUR: Duration = Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u64 = 3;
const MOST_ATTEMPTS: u64 = 100;
const POINTS: [HookPoint; 5] =
    [HookPoint::Start, HookPoint::Step, HookPoint::Promote, HookPoint::Abort, HookPoint::Done];

/// The hooks of a plan.
pub(super) fn read(table: &mut Table<'_>) -> Vec<Hook> {
    let Some(value) = table.value("hooks") else { return Vec::new() };
    let mut known: Vec<(HookPoint, String)> = Vec::new();
    let hooks = value.list(|item| {
        let hook = item.table(hook)??;
        let place = (hook.at, hook.url.clone());
        if known.contains(&place) {
            let message = format!("{} is already called at \"{}\"", hook.url, hook.at);
            item.error(message, Some("remove one".to_owned()));
        }
        known.push(place);
        Some(hook)
    });
    at_most(&value, hooks.as_ref().map_or(0, Vec::len), "hooks");
    hooks.unwrap_or_default()
}

fn hook(table: &mut Table<'_>) -> Option<Hook> {
    let points = POINTS.map(|point| (point.as_str(), point));
    let policies =
        [("pause", Otherwise::Pause), ("abort", Otherwise::Abort), ("continue", Otherwise::Continue)];
    let at = table.required("at", "write `at = \"promote\"`").and_then(|value| value.choice(&points, &[]));
    let address =
        table.required("url", "write `url = \"http://ci.example/gate\"`").and_then(|value| value.parsed(url));
    let otherwise = table.value("on_refusal");
    if let (Some(value), Some(at)) = (&otherwise, at)
        && !at.gates()
    {
        value.error(format!("nothing waits for the answer at \"{at}\""), Some("remove it".to_owned()));
    }
    let otherwise = otherwise.and_then(|value| value.choice(&policies, &[]));
    let attempts = table.integer("attempts", 1..=MOST_ATTEMPTS, ATTEMPTS);
    let timeout = table.duration("timeout", MILLISECOND..=HOUR, TIMEOUT);
    let token_file = token_file(table);
    Some(Hook {
        at: at?,
        url: address?,
        timeout,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        otherwise: otherwise.unwrap_or_default(),
        token_file,
    })
}

/// A file with a bearer token.
pub(super) fn token_file(table: &mut Table<'_>) -> Option<PathBuf> {
    let value = table.value("token_file")?;
    let path = value.string()?;
    if path.is_empty() {
        value.error("an empty path names no file", None);
    }
    Some(path.into())
}

/// A URL that can be called.
pub(super) fn url(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("`{text}` is not a URL: {why}"));
    let Ok(uri) = text.parse::<Uri>() else { return wrong("write it as `http://ci.example/gate`") };
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return wrong("it begins with `http://` or `https://`"),
        None => {
            return wrong(&format!("the scheme is missing: write `http://{}`", text.trim_start_matches('/')));
        }
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return wrong("the host is missing");
    };
    if authority.as_str().contains('@') {
        return Err(
            "a URL holds no user and password: write a bearer token into a file and name it in `token_file`"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Reports it when there are more than can be looked after.
pub(super) fn at_most(value: &Value<'_>, count: usize, what: &str) {
    if count > MOST {
        value.error(format!("{count} {what} are more than {MOST}"), None);
    }
}
