//! The first few requests that a canary failed, kept so that people can look them up later.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ErrorReason;
use crate::domain::Timestamp;

/// Samples that are kept of one rollout.
pub const SAMPLES: usize = 20;

/// Bytes of a path that are kept; more of it would be cut off.
pub const SAMPLE_PATH: usize = 256;

/// Bytes of a method or a trace id that are kept: far more than those in use have.
pub const SAMPLE_WORD: usize = 64;

/// A request that the canary failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// When it ended.
    pub at: Timestamp,
    /// As it was asked for.
    pub method: String,
    /// Without the query, at most [`SAMPLE_PATH`] bytes.
    pub path: String,
    /// What the canary answered; `None` when it gave no answer.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<ErrorReason>,
    /// From its first byte to the end of its answer.
    pub duration: Duration,
    /// As in the access log.
    pub request_id: String,
    /// The trace it belongs to (W3C Trace Context), if the client said.
    pub trace_id: Option<String>,
    /// Who failed it; `None` when no endpoint was there to ask.
    pub endpoint: Option<SocketAddr>,
}

/// The failed requests of one epoch. Workers put them in, control takes them out.
#[derive(Debug, Default)]
pub struct Samples {
    /// How many were put in, ever. Full is full: once it is, nobody waits for the lock again.
    taken: AtomicUsize,
    kept: Mutex<Vec<FailedRequest>>,
}

impl Samples {
    /// Keeps what `request` makes, if there is room. Call it before the failure is counted: whoever sees the count then
    /// finds the sample.
    pub fn keep(&self, request: impl FnOnce() -> FailedRequest) {
        if self.taken.load(Ordering::Relaxed) >= SAMPLES {
            return;
        }
        if self.taken.fetch_add(1, Ordering::Relaxed) < SAMPLES {
            let request = request();
            self.lock().push(request);
        }
    }

    /// Takes out at most `most` of them, oldest first.
    pub fn take(&self, most: usize) -> Vec<FailedRequest> {
        let mut kept = self.lock();
        let most = most.min(kept.len());
        kept.drain(..most).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FailedRequest>> {
        // Whole at any moment: a push or a drain, nothing in between.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailedRequest {
    /// The first `most` bytes of `text`, in whole characters: what clients send has no end.
    pub fn cut(text: &str, most: usize) -> String {
        text[..text.floor_char_boundary(most)].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u64) -> FailedRequest {
        FailedRequest {
            at: Timestamp::from_micros(number),
            method: "GET".into(),
            path: "/".into(),
            status: Some(500),
            error: Some(ErrorReason::HttpServerError),
            duration: Duration::from_millis(3),
            request_id: number.to_string(),
            trace_id: None,
            endpoint: None,
        }
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for_even_when_some_were_taken_out() {
        let samples = Samples::default();
        for number in 0..100 {
            samples.keep(|| request(number));
        }
        let first = samples.take(5);
        samples.keep(|| request(100));
        let rest = samples.take(usize::MAX);
        let numbers: Vec<_> = first.iter().chain(&rest).map(|sample| sample.at.as_micros()).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert_eq!(samples.take(1), []);
    }

    #[test]
    fn a_sample_that_finds_no_room_is_not_even_made() {
        let samples = Samples::default();
        for number in 0..20 {
            samples.keep(|| request(number));
        }
        samples.keep(|| unreachable!("the buffer is full"));
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let path = format!("/{}", "ü".repeat(200));
        let cut = FailedRequest::cut(&path, SAMPLE_PATH);
        assert_eq!((cut.len(), path.starts_with(&cut)), (255, true));
        assert_eq!(FailedRequest::cut("/short", SAMPLE_PATH), "/short");
    }
}
