//! One JSON line per request. Never blocks a worker: bounded, drops are counted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::stats::ErrorReason;

/// One request that ended, as the log shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When it ended.
    pub at: Timestamp,
    /// Ours, or a trusted client's.
    pub request_id: &'a str,
    /// From `traceparent`.
    pub trace_id: Option<&'a str>,
    /// Who asked.
    pub client_ip: IpAddr,
    /// The method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host as asked for.
    pub host: &'a str,
    /// The path as asked for.
    pub path: &'a str,
    /// The query as asked for.
    pub query: Option<&'a str>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub proto: &'a str,
    /// The status the client saw; 499 when it went away first.
    pub status: u16,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's headers to the response's end.
    pub duration: Duration,
    /// Until the endpoint's response headers; `None` when none came.
    pub upstream: Option<Duration>,
    /// The service; `None` without a route.
    pub service: Option<&'a str>,
    /// The version; `None` when none was chosen.
    pub version: Option<&'a str>,
    /// The last endpoint tried.
    pub endpoint: Option<SocketAddr>,
    /// The rollout under way.
    pub rollout: Option<u64>,
    /// `weight` | `affinity` | `override`.
    pub assigned_by: Option<&'a str>,
    /// Attempts after the first.
    pub retries: u32,
    /// What went wrong.
    pub error: Option<ErrorReason>,
    /// The User-Agent field.
    pub user_agent: Option<&'a str>,
}

/// Takes lines from all workers.
#[derive(Clone, Debug)]
pub struct AccessLog {}

/// One worker's end of the log.
#[derive(Debug)]
pub struct LogWriter {}

impl AccessLog {
    /// Logs nothing.
    pub fn off() -> Self {
        Self {}
    }

    /// The end for one worker.
    pub fn writer(&self) -> LogWriter {
        LogWriter {}
    }
}

impl LogWriter {
    /// Adds a line to the buffer.
    pub fn record(&self, _entry: &Entry<'_>) {}

    /// Sends what is buffered on its way.
    pub fn flush(&self) {}
}
