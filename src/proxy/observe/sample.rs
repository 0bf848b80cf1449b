//! What is kept of an exchange that the canary failed, for people who look for the cause later.

use http::HeaderValue;

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

    pub(super) fn trace_id(&self) -> Option<&str> {
        trace_id_of(self.fields.traceparent.as_ref()?)
    }
}

/// The id in a `traceparent` (W3C Trace Context, section 3.2.2): logs show nothing that only looks like one.
pub(in crate::proxy) fn trace_id_of(traceparent: &HeaderValue) -> Option<&str> {
    let mut fields = traceparent.to_str().ok()?.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |field: &str, length: usize| {
        field.len() == length && field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    // Version 00 has four fields, later ones may have more; ff is none.
    let known = version != "ff" && (version != "00" || fields.next().is_none());
    let is_set = |id: &str| id.bytes().any(|byte| byte != b'0');
    (well_formed && known && is_set(trace) && is_set(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_known_by_a_valid_traceparent_only() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let zeros = "0".repeat(32);
        for (text, known) in [
            (format!("00-{trace}-{parent}-01"), true),
            (format!("cc-{trace}-{parent}-01-what-the-future-will-be-like"), true),
            (format!("00-{trace}-{parent}-01-"), false),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("00-{zeros}-{parent}-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{trace}-{parent}"), false),
            (format!("00-{trace}x-{parent}-01"), false),
            ("x-anything".to_owned(), false),
        ] {
            let value = HeaderValue::from_str(&text).unwrap();
            assert_eq!(trace_id_of(&value), known.then_some(trace), "{text}");
        }
    }
}
