//! What a scripted endpoint does with a request.

use std::time::Duration;

/// How an endpoint behaves; can be switched at any time, for requests under way too.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// To requests other than health checks.
    pub(crate) answer: Answer,
    /// Every n-th request is answered 503 instead.
    pub(crate) fail_every: Option<u64>,
    /// Every request for this path is answered 503 instead.
    pub(crate) fail_path: Option<&'static str>,
    /// Every request for this path is answered with a body of so many bytes.
    pub(crate) big_path: Option<(&'static str, u64)>,
    /// Before the answer.
    pub(crate) latency: Duration,
    /// How many requests a connection serves; the one after finds it closed.
    pub(crate) requests_per_connection: u64,
    /// The answer to health checks.
    pub(crate) health: u16,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This status, with a body that names the version.
    Status(u16),
    /// Nothing, until the script changes; then the new answer.
    Hang,
    /// Closes without a byte.
    Close,
    /// Half of the body it promised, then closes.
    Cut,
    /// A body of so many bytes.
    Big(u64),
    /// What is not HTTP.
    Garbage,
    /// A chunked body: one piece for each call of `Endpoint::feed`, until `Endpoint::finish`.
    Stream,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answer: Answer::Status(200),
            fail_every: None,
            fail_path: None,
            big_path: None,
            latency: Duration::ZERO,
            requests_per_connection: u64::MAX,
            health: 200,
        }
    }
}
