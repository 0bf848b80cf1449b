//! `[services.*.retry]`: when a request is sent again within its version.

use std::time::Duration;

use super::file::{DAY, MILLISECOND};
use super::reader::Table;
use super::rescue::methods;
use super::value::Value;
use crate::domain::routing::{Retry, RetryOn, Statuses};

/// More would be a way to wait, not to be answered.
const MOST_ATTEMPTS: u64 = 10;

/// One word of `on`.
#[derive(Clone, Copy)]
enum Cause {
    Connect,
    Reset,
    Any5xx,
    Status(u16),
}

/// `response`: how long an endpoint has when no other is asked afterwards.
pub(super) fn retry(table: &mut Table<'_>, response: Duration) -> Retry {
    let default = Retry::default();
    let attempts = table.integer("attempts", 1..=MOST_ATTEMPTS, u64::from(default.attempts));
    let retry = Retry {
        attempts: u32::try_from(attempts).unwrap_or(default.attempts),
        on: table.value("on").and_then(|value| causes(&value)).unwrap_or(default.on),
        per_try: table.value("per_try").and_then(|value| value.duration(&(MILLISECOND..=DAY))),
        budget: table.value("budget").and_then(|value| value.share()).unwrap_or(default.budget),
        methods: table.value("methods").and_then(|value| methods(&value)).unwrap_or(default.methods),
    };
    if table.sound() {
        report_idle(table, &retry, response);
    }
    retry
}

/// What would do nothing is a mistake.
fn report_idle(table: &Table<'_>, retry: &Retry, response: Duration) {
    let sends_again = retry.on.reset || retry.per_try.is_some() || retry.on.statuses != Statuses::none();
    if retry.per_try.is_some_and(|limit| limit >= response) {
        let message = "is not shorter than `timeouts.response`: no attempt would ever reach it";
        table.error_of("per_try", message, Some("make it shorter, or remove it".to_owned()));
    }
    if sends_again && retry.attempts == 1 {
        let message = "one attempt in all leaves nothing for `on` and `per_try` to do";
        table.error_of("attempts", message, Some("write at least 2".to_owned()));
    }
    if sends_again && retry.methods.is_empty() {
        let message = "without methods nothing is sent again that an endpoint has seen, whatever `on` and `per_try` say";
        table.error_of("methods", message, Some("name methods, or leave the line out".to_owned()));
    }
}

fn causes(value: &Value<'_>) -> Option<RetryOn> {
    let causes = value.list(|item| item.word_or_number(cause))?;
    let status = |cause: &Cause| match cause {
        Cause::Status(code) => vec![*code],
        Cause::Any5xx => Statuses::RANGE.filter(|code| Statuses::default().contains(*code)).collect(),
        Cause::Connect | Cause::Reset => Vec::new(),
    };
    Some(RetryOn {
        connect: causes.iter().any(|cause| matches!(cause, Cause::Connect)),
        reset: causes.iter().any(|cause| matches!(cause, Cause::Reset)),
        statuses: Statuses::of(causes.iter().flat_map(status)),
    })
}

fn cause(text: &str) -> Result<Cause, String> {
    let known = "write \"connect\", \"reset\", \"5xx\" or a status from 500 to 599";
    match text {
        "connect" => Ok(Cause::Connect),
        "reset" => Ok(Cause::Reset),
        "5xx" => Ok(Cause::Any5xx),
        code => match code.parse().ok().filter(|code| Statuses::RANGE.contains(code)) {
            Some(code) => Ok(Cause::Status(code)),
            None => Err(format!("{text:?} is nothing that a request is retried on: {known}")),
        },
    }
}
