//! Where an exchange is booked: with the version it was assigned to, in the epoch it was routed in, at the endpoint that
//! has it now.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::routing::{Policy, Role};
use crate::domain::stats::{
    ArmCells, ArmLimits, Epoch, ErrorReason, FailedRequest, Pace, RouteId, VersionCells,
};
use crate::proxy::endpoint::pool::Pool;
use crate::proxy::request::assign::{AssignedBy, Assignment};
use crate::proxy::view::ServiceView;

/// The version that an exchange was assigned to.
pub(crate) struct Assigned {
    pub(crate) service: Rc<ServiceView>,
    pub(crate) version: usize,
    pub(crate) by: AssignedBy,
    pub(crate) evidence: Option<Role>,
    /// The place of its route in the evidence.
    place: Option<u8>,
    answer: Cell<AwaitedAnswer>,
    /// It was counted as failed.
    has_failed: Cell<bool>,
}

/// What the exchange says about the version that served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Nothing bad.
    Nobody,
    /// An endpoint failed it, even if another one saved it; why the first one did.
    Endpoint(ErrorReason),
    /// Nothing at all: the client's fault, or ours.
    Others,
}

/// How the time until a request's first byte is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AwaitedAnswer {
    /// Not, or not any more.
    Uncounted,
    /// It is, and while it waits it counts as soon as it is late.
    Watched,
    /// It is, but only when it has ended: while its body comes, the client may be the slow one.
    Unwatched,
}

/// Counts as a request in flight at its endpoint while it lives.
pub(crate) struct Attempt {
    pool: Rc<Pool>,
    worker: usize,
}

impl Assigned {
    pub(crate) fn new(service: Rc<ServiceView>, assignment: &Assignment, route: RouteId) -> Self {
        let (version, by, evidence) = (assignment.version, assignment.by, assignment.evidence);
        let epoch = service.split.epoch.as_ref().filter(|_| evidence.is_some());
        let place = epoch.and_then(|epoch| epoch.routes.of_route(route));
        let (answer, has_failed) = (Cell::new(AwaitedAnswer::Uncounted), Cell::new(false));
        Self { service, version, by, evidence, place, answer, has_failed }
    }

    /// The request is routed: it is evidence whatever comes of it.
    pub(crate) fn begin(&self, worker: usize, began: Timestamp, has_body: bool) {
        let Some(arm) = self.arm(worker) else { return };
        arm.routed.add(1);
        if self.pace().is_none() {
            return;
        }
        self.answer.set(if has_body { AwaitedAnswer::Unwatched } else { AwaitedAnswer::Watched });
        if !has_body {
            arm.waiting.enter(began);
        }
    }

    /// It goes to an endpoint that has been asked for `age` by this worker. The times of a cold canary do not count.
    pub(crate) fn goes_to_one_of(&self, worker: usize, began: Timestamp, age: Duration) {
        if self.evidence == Some(Role::Canary) && self.pace().is_some_and(|pace| age < pace.warmup) {
            self.stop_waiting(worker, began);
        }
    }

    /// The first byte of an answer is here.
    pub(crate) fn first_byte(&self, worker: usize, began: Timestamp, micros: u64, blame: Blame) {
        if blame != Blame::Nobody {
            return self.no_first_byte(worker, began, micros, blame);
        }
        self.cells(worker).answered(micros);
        if let Some((arm, limits)) = self.stop_waiting(worker, began) {
            arm.answered(micros, limits);
        }
    }

    /// It ended, or will end, without a good answer. A request that was late is late, and that its client waits no longer
    /// is no excuse; that the client did not send all of it, or a lack of ours, is one.
    pub(crate) fn no_first_byte(&self, worker: usize, began: Timestamp, micros: u64, blame: Blame) {
        let place = self.stop_waiting(worker, began);
        if let Some((arm, limits)) = place.filter(|_| blame != Blame::Others) {
            arm.unanswered(micros, limits);
        }
    }

    /// The exchange was whole and good.
    pub(crate) fn succeeded(&self, worker: usize) {
        if let Some(arm) = self.arm(worker) {
            arm.succeeded(self.place);
        }
    }

    /// An endpoint failed the exchange. Whether it was the canary's.
    pub(crate) fn failed(&self, worker: usize, reason: ErrorReason) -> bool {
        if !self.has_failed.replace(true) {
            self.cells(worker).failed.add(1);
        }
        if let Some(arm) = self.arm(worker) {
            arm.failed(self.place, reason);
        }
        self.evidence == Some(Role::Canary)
    }

    /// Where its time is booked, once.
    fn stop_waiting(&self, worker: usize, began: Timestamp) -> Option<(&ArmCells, ArmLimits<'_>)> {
        let awaited = self.answer.replace(AwaitedAnswer::Uncounted);
        let (arm, limits) = (self.arm(worker)?, &self.pace()?.limits);
        match awaited {
            AwaitedAnswer::Uncounted => return None,
            AwaitedAnswer::Watched => arm.waiting.leave(began),
            AwaitedAnswer::Unwatched => {}
        }
        Some(match self.evidence? {
            Role::Canary => (arm, limits.of_canary()),
            Role::Stable => (arm, limits.of_stable()),
        })
    }

    fn epoch(&self) -> Option<&Epoch> {
        self.service.split.epoch.as_deref()
    }

    fn pace(&self) -> Option<&Pace> {
        self.epoch()?.pace.as_ref()
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.service.policy
    }

    pub(crate) fn cells(&self, worker: usize) -> &VersionCells {
        &self.service.versions[self.version].cells[worker]
    }

    /// Where it is booked: in the epoch that it was routed in, however late it ends.
    fn arm(&self, worker: usize) -> Option<&ArmCells> {
        let cells = &self.epoch()?.workers[worker];
        Some(match self.evidence? {
            Role::Canary => &cells.canary,
            Role::Stable => &cells.stable,
        })
    }

    /// Keeps what `request` makes, if it is the canary's, for people who look for the cause; as long as there is room.
    pub(crate) fn keep_sample(&self, request: impl FnOnce() -> FailedRequest) {
        if let (Some(Role::Canary), Some(epoch)) = (self.evidence, &self.service.split.epoch) {
            epoch.samples.keep(request);
        }
    }
}

impl Attempt {
    pub(crate) fn begin(pool: Rc<Pool>, worker: usize) -> Self {
        pool.counts(worker).in_flight.add(1);
        Self { pool, worker }
    }

    /// Whether its endpoint is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.pool.is_lost()
    }

    pub(crate) fn succeeded(&self) {
        self.pool.counts(self.worker).attempts.add(1);
        self.pool.cells.succeeded();
    }

    /// How many failures the endpoint has in a row now.
    pub(crate) fn failed(&self) -> u32 {
        let counts = self.pool.counts(self.worker);
        // In this order: whoever reads the attempt also reads its failure, and never takes it for a success.
        counts.failures.add(1);
        counts.attempts.add(1);
        self.pool.cells.failed()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.pool.counts(self.worker).in_flight.add(-1);
    }
}
