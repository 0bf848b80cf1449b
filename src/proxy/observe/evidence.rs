//! What an exchange says for the verdict on the version that it was assigned to.

use super::booking::Assigned;
use super::{Blame, Exchange, micros};
use crate::domain::Timestamp;
use crate::domain::routing::Role;

impl Exchange {
    pub(super) fn give_evidence(&self) {
        let Some(assigned) = &self.assigned else { return };
        match self.blame {
            Blame::Others => {}
            Blame::Nobody => assigned.succeeded(self.worker.index),
            Blame::Endpoint(reason) => {
                if assigned.evidence == Some(Role::Canary) {
                    assigned.keep_sample(|| self.failed_request());
                }
                if assigned.failed(self.worker.index, reason) {
                    // Control decides at once, not at its next tick.
                    self.worker.wake.notify_one();
                }
            }
        }
    }

    /// No first byte comes any more from the version that is judged, if none has come.
    pub(super) fn end_wait(&self, now: Timestamp) {
        let Some(assigned) = self.judged() else { return };
        let sent = !self.has_body || self.upload.as_ref().is_some_and(|upload| upload.has_ended());
        let blame = if sent { self.blame } else { Blame::Others };
        let began = self.work_began();
        assigned.no_first_byte(self.worker.index, began, micros(now - began), blame);
    }

    /// Where it is booked, unless another version than the one it was assigned to has it now.
    pub(super) fn judged(&self) -> Option<&Assigned> {
        self.assigned.as_ref().filter(|_| self.asked.is_none())
    }
}
