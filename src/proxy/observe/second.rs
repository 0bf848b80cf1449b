//! The record of an exchange that was asked for a second time: of its version, or of another.

use std::mem::swap;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use super::booking::Attempt;
use super::call::Call;
use super::{Blame, End, Exchange};
use crate::domain::stats::ErrorReason;

/// What one attempt made of a request, while another is under way.
pub(in crate::proxy) struct Aside {
    asked: Option<usize>,
    attempt: Option<Attempt>,
    endpoint: Option<SocketAddr>,
    upstream: Option<Duration>,
    status: StatusCode,
    error: Option<ErrorReason>,
    blame: Blame,
    call: Option<Call>,
}

impl Exchange {
    /// What became of it so far is judged now and once, whatever another version makes of it: even a client that does
    /// not wait for that has met the failure.
    pub(in crate::proxy) fn is_judged_now(&mut self) {
        self.end_wait(self.worker.clock.now());
        self.give_evidence();
        self.is_no_evidence();
    }

    /// Nothing of it is judged from now on.
    pub(in crate::proxy) fn is_no_evidence(&mut self) {
        if let Some(assigned) = &mut self.assigned {
            assigned.evidence = None;
        }
    }

    /// The version with index `next` is asked. What is known so far is put aside.
    pub(in crate::proxy) fn set_aside(&mut self, next: usize) -> Aside {
        self.begin_anew(Some(next))
    }

    /// The same version is asked once more. What is known so far is put aside.
    pub(in crate::proxy) fn asks_again(&mut self) -> Aside {
        self.repeats();
        self.begin_anew(self.asked)
    }

    fn begin_anew(&mut self, asked: Option<usize>) -> Aside {
        let mut aside = Aside {
            asked,
            attempt: None,
            endpoint: None,
            upstream: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: None,
            blame: Blame::Nobody,
            call: self.next_call(),
        };
        self.swap(&mut aside);
        aside
    }

    /// The client gets what was put aside after all. Of the other answer only the endpoint's counters know.
    pub(in crate::proxy) fn take_up(&mut self, mut aside: Aside) {
        self.settle_attempt(End::Whole);
        self.swap(&mut aside);
    }

    /// The client will never see what was put aside. Its endpoint's counters do.
    pub(in crate::proxy) fn leave_aside(&mut self, mut aside: Aside) {
        self.swap(&mut aside);
        self.settle_attempt(End::Whole);
        self.failure = self.error;
        self.swap(&mut aside);
    }

    /// Stable has a good answer to what the canary failed.
    pub(in crate::proxy) fn rescued(&mut self) {
        self.rescued = true;
        if let Some(assigned) = &self.assigned {
            assigned.cells(self.worker.index).rescues.add(1);
        }
    }

    fn swap(&mut self, other: &mut Aside) {
        swap(&mut self.asked, &mut other.asked);
        swap(&mut self.attempt, &mut other.attempt);
        swap(&mut self.endpoint, &mut other.endpoint);
        swap(&mut self.upstream, &mut other.upstream);
        swap(&mut self.status, &mut other.status);
        swap(&mut self.error, &mut other.error);
        swap(&mut self.blame, &mut other.blame);
        swap(&mut self.call, &mut other.call);
    }
}
