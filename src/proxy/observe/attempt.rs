//! What an exchange says of the endpoint that was asked.

use super::booking::Blame;
use super::{End, Exchange};
use crate::domain::stats::ErrorReason;

impl Exchange {
    /// 500 and 501 are the release's, not the host's: for ejection they are answers like any other.
    pub(super) fn settle_attempt(&mut self, end: End) {
        let Some(attempt) = &self.attempt else { return };
        if matches!(end, End::ClientLeft | End::OutOfTime) || self.blame == Blame::Others {
            self.attempt = None;
        } else if matches!(self.rated_status(), 502..=504) {
            self.endpoint_failed();
        } else {
            attempt.succeeded();
        }
        let by_answer = [ErrorReason::HttpServerError, ErrorReason::GrpcStatus];
        if let Some(reason) = self.error.filter(|reason| by_answer.contains(reason) && end == End::Whole) {
            self.count_error(reason);
        }
        self.attempt = None;
    }

    pub(super) fn endpoint_failed(&self) {
        let Some(attempt) = &self.attempt else { return };
        let limit = self.assigned.as_ref().map_or(0, |assigned| assigned.policy().eject_after);
        if attempt.failed() >= limit {
            self.worker.wake.notify_one();
        }
    }

    pub(super) fn count_error(&self, reason: ErrorReason) {
        if let Some(assigned) = &self.assigned {
            let asked = self.asked.unwrap_or(assigned.version);
            assigned.service.versions[asked].cells[self.worker.index].error(reason);
        }
    }
}
