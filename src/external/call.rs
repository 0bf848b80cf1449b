//! A hook called until it gives an answer: how often, how long between, and what counts as one.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::client::{Answer, Client, Outgoing, first_line, shown};
use crate::clock::Clock;
use crate::domain::rollout::{Hook, HookPoint};

const EVENT: HeaderName = HeaderName::from_static("x-adit-event");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Before the second attempt; doubled before each later one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Of an answer's body, no more is read.
const BODY: usize = 4096;
/// Of an answer's first line, no more is shown, in characters.
const LINE: usize = 200;

/// A hook, what it is sent, and how it knows that it was sent that before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) hook: Hook,
    /// The same for every attempt, after a restart too.
    pub(super) key: String,
    /// JSON.
    pub(super) body: String,
}

impl Call {
    pub(super) fn new(hook: &Hook, key: String, body: String) -> Self {
        Self { hook: hook.clone(), key, body }
    }

    /// Calls until there is an answer.
    ///
    /// # Errors
    /// The answer when it is no 2xx, or what became of the last attempt.
    pub(super) async fn make(&self, client: &Client, clock: &Clock) -> Result<(), String> {
        let url = shown(&self.hook.url);
        let mut attempt = 1;
        loop {
            let why = match client.call(self.outgoing()).await {
                Ok(Answer { status: 200..=299, .. }) => return Ok(()),
                Ok(answer) if answer.status < 500 => return Err(format!("{url} {}", said(&answer))),
                Ok(answer) => format!("{url} {}", said(&answer)),
                Err(silence) => format!("{url}: {silence}"),
            };
            if attempt >= self.hook.attempts {
                return Err(match attempt {
                    1 => why,
                    _ => format!("{why} (the last of {attempt} attempts)"),
                });
            }
            warn!(at = %self.hook.at, url, attempt, "hook: {why}");
            clock.sleep_until(clock.now() + jittered(pause_after(attempt))).await;
            attempt += 1;
        }
    }

    fn outgoing(&self) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(EVENT, HeaderValue::from_static(self.hook.at.as_str()));
        headers.extend(HeaderValue::try_from(&self.key).map(|key| (KEY, key)));
        Outgoing {
            url: self.hook.url.clone(),
            headers,
            body: Some(self.body.clone()),
            token_file: self.hook.token_file.clone(),
            timeout: self.hook.timeout,
            most: BODY,
        }
    }
}

/// The hooks of a point, each with its index in the plan.
pub(super) fn at(hooks: &[Hook], point: HookPoint) -> impl Iterator<Item = (usize, &Hook)> {
    hooks.iter().enumerate().filter(move |(_, hook)| hook.at == point)
}

fn said(answer: &Answer) -> String {
    let status = answer.status;
    match first_line(&answer.body, LINE) {
        line if line.is_empty() => format!("answered {status}"),
        line => format!("answered {status}: {line}"),
    }
}

fn pause_after(attempt: u32) -> Duration {
    let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// ±20 %, so that hooks that failed together don't come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let pauses = [1, 2, 3, 5, 6, 60].map(|attempt| pause_after(attempt).as_secs());
        assert_eq!(pauses, [1, 2, 4, 16, 30, 30]);
    }

    #[test]
    fn a_pause_is_never_far_from_what_it_should_be() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(10)).as_secs_f64();
            assert!((8.0..=12.0).contains(&pause), "{pause}");
        }
    }
}
