//! What `[services.*.rollout]` says to the data plane: `rescue`, `on_missing`, `preview_host`.

use http::Method;

use super::reader::{Place, Table};
use super::size;
use super::value::Value;
use crate::domain::routing::{HostPattern, OnMissing, PathPrefix, Rescue, Statuses};

/// More than this would make a body a burden of its own: many of them are kept at once.
const MOST_BODY: usize = 8 * 1024 * 1024;

/// How requests are treated while a rollout is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Handling {
    pub(super) rescue: Rescue,
    pub(super) on_missing: OnMissing,
    /// The host, and where it stands in the file.
    pub(super) preview_host: Option<(Box<str>, Place)>,
}

/// Reads what concerns the data plane.
pub(super) fn handling(rollout: &mut Table<'_>) -> Handling {
    Handling {
        rescue: rollout.table("rescue", rescue),
        on_missing: on_missing(rollout),
        preview_host: rollout.value("preview_host").and_then(|value| preview_host(&value)),
    }
}

fn rescue(table: &mut Table<'_>) -> Rescue {
    let default = Rescue::default();
    let max_body = table.value("max_body").and_then(|value| {
        let size = value.parsed(size::parse)?;
        if size > MOST_BODY {
            value.error(format!("is too large: at most {}", size::show(MOST_BODY)), None);
        }
        Some(size)
    });
    Rescue {
        methods: table.value("methods").and_then(|value| methods(&value)).unwrap_or(default.methods),
        max_body: max_body.unwrap_or(default.max_body),
        budget: table.value("budget").and_then(|value| value.share()).unwrap_or(default.budget),
        on: table.value("on").and_then(|value| statuses(&value)).unwrap_or(default.on),
    }
}

/// Methods of requests.
pub(super) fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    value.list(|item| {
        item.parsed(|text| match Method::from_bytes(text.as_bytes()) {
            Ok(_) if text != text.to_ascii_uppercase() => Err(format!(
                "methods are case-sensitive (RFC 9110 section 9.1): write \"{}\"",
                text.to_uppercase()
            )),
            Ok(method) => Ok(method),
            Err(_) => Err(format!("{text:?} is not a method")),
        })
    })
}

/// The answers that count as failed; connections that fail always do.
fn statuses(value: &Value<'_>) -> Option<Statuses> {
    let (first, last) = (u64::from(*Statuses::RANGE.start()), u64::from(*Statuses::RANGE.end()));
    let codes = value.list(|item| u16::try_from(item.integer(&(first..=last))?).ok())?;
    Some(Statuses::of(codes))
}

fn on_missing(rollout: &mut Table<'_>) -> OnMissing {
    let words = [("other-version", true), ("answer", false)];
    let wanted = rollout.value("on_missing").and_then(|value| value.choice(&words, &[])).unwrap_or(false);
    let given = rollout.value("on_missing_paths");
    let paths = given.as_ref().and_then(|value| value.list(|item| item.parsed(PathPrefix::parse)));
    match (wanted, paths) {
        (true, Some(paths)) if !paths.is_empty() => return OnMissing { paths },
        (true, Some(_)) => {
            let help = "write `on_missing_paths = [\"/assets/\"]`, or remove `on_missing`";
            rollout.error_of(
                "on_missing_paths",
                "an empty list tries nothing elsewhere",
                Some(help.to_owned()),
            );
        }
        (true, None) if given.is_none() => {
            let help = "write `on_missing_paths = [\"/assets/\"]`: where a 404 is tried on the other version";
            rollout.error_of("on_missing", "`on_missing_paths` is missing", Some(help.to_owned()));
        }
        (false, Some(_)) => {
            let help = "add `on_missing = \"other-version\"`, or remove it";
            rollout.error_of(
                "on_missing_paths",
                "it does nothing without `on_missing`",
                Some(help.to_owned()),
            );
        }
        (true | false, None) => {}
    }
    OnMissing::default()
}

fn preview_host(value: &Value<'_>) -> Option<(Box<str>, Place)> {
    let host = value.parsed(|text| match HostPattern::parse(text) {
        Ok(HostPattern::Exact(host)) => Ok(host),
        Ok(HostPattern::Any | HostPattern::Under(_)) => {
            Err(format!("`{text}` is not one host: write it as `preview.shop.example`"))
        }
        Err(why) => Err(why.to_string()),
    })?;
    Some((host, value.place().clone()))
}

/// Hosts that routes name and hosts of previews, over all services: each may be one thing only.
#[derive(Default)]
pub(super) struct Hosts {
    named: Vec<(Box<str>, Place)>,
    previews: Vec<(Box<str>, Place)>,
}

impl Hosts {
    /// A route names this host.
    pub(super) fn named(&mut self, host: &HostPattern, place: &Place) {
        if let HostPattern::Exact(name) = host {
            self.named.push((name.clone(), place.clone()));
        }
    }

    /// A service's canary is looked at by this host.
    pub(super) fn preview(&mut self, preview: Option<&(Box<str>, Place)>) {
        self.previews.extend(preview.cloned());
    }

    /// Reports each host that is claimed twice.
    pub(super) fn report_twice(&self, file: &Table<'_>) {
        for (index, (host, place)) in self.previews.iter().enumerate() {
            let earlier = &self.previews[..index];
            let Some((_, first)) = self.named.iter().chain(earlier).find(|(other, _)| other == host) else {
                continue;
            };
            let message =
                format!("{host} leads elsewhere already: {} (line {})", first.path, file.line(first));
            let help = "give the preview a host of its own";
            file.error_at(place, message, Some(help.to_owned()));
        }
    }
}
