//! What is kept of an exchange that the canary failed, for people who look for the cause later.

use super::{Blame, Exchange};
use crate::domain::stats::{FailedRequest, SAMPLE_PATH, SAMPLE_WORD};

impl Exchange {
    pub(super) fn failed_request(&self) -> FailedRequest {
        let now = self.worker.clock.now();
        let first = match self.blame {
            Blame::Endpoint(reason) => Some(reason),
            Blame::Nobody | Blame::Others => None,
        };
        FailedRequest {
            at: now,
            method: FailedRequest::cut(self.method.as_str(), SAMPLE_WORD),
            path: FailedRequest::cut(self.uri.path(), SAMPLE_PATH),
            status: self.upstream.map(|_| self.status.as_u16()),
            error: self.error.or(first),
            duration: now - self.started,
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
            trace_id: self.trace_id().map(|id| FailedRequest::cut(id, SAMPLE_WORD)),
            endpoint: self.endpoint,
        }
    }

    /// The second field of `traceparent` (W3C Trace Context, section 3.2.2).
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_ref()?.to_str().ok()?.split('-').nth(1)
    }
}
