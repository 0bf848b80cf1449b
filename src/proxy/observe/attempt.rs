//! What an exchange says of the endpoint that was asked.

use http::Response;

use super::booking::Blame;
use super::{End, Exchange, micros};
use crate::domain::stats::ErrorReason;
use crate::proxy::fault::ClientFault;

impl Exchange {
    /// The endpoint's head is here.
    pub(in crate::proxy) fn answered<B>(&mut self, response: &Response<B>) {
        let now = self.worker.clock.now();
        let took = now - self.work_began();
        self.upstream = Some(took);
        self.status = response.status();
        self.error = None;
        if self.status.is_server_error() {
            self.error = Some(ErrorReason::HttpServerError);
            // Whoever waits in vain for the rest of a body may well end with an error: the client has made it.
            let starved = self.upload.as_ref().and_then(|upload| upload.why_unfinished());
            self.blame = match starved {
                Some(ClientFault::Outwaited) | None => Blame::Endpoint(ErrorReason::HttpServerError),
                Some(_) => Blame::Others,
            };
        }
        self.call_ended(response.headers());
        if self.in_time(End::Whole) == End::OutOfTime {
            return self.end_wait(now);
        }
        if let Some(assigned) = self.judged() {
            let answering = took.saturating_sub(self.connecting);
            assigned.first_byte(self.worker.index, self.work_began(), micros(answering), self.blame);
        }
    }

    /// 500 and 501 are the release's, not the host's: for ejection they are answers like any other.
    pub(super) fn settle_attempt(&mut self, end: End) {
        let Some(attempt) = &self.attempt else { return };
        if matches!(end, End::ClientLeft | End::OutOfTime) || self.blame == Blame::Others {
            if attempt.is_lost() {
                // Nobody could answer there: how long it was waited for in vain is nobody's doing.
                self.blame = Blame::Others;
            }
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
