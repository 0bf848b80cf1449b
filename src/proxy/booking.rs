//! Where an exchange is booked: with the version it was assigned to, in the epoch it was routed in, at the endpoint that
//! has it now.

use std::rc::Rc;

use super::assign::AssignedBy;
use super::pool::Pool;
use super::view::ServiceView;
use crate::domain::routing::{Policy, Role};
use crate::domain::stats::{ArmCells, FailedRequest, VersionCells};

/// The version that an exchange was assigned to.
pub(super) struct Assigned {
    pub(super) service: Rc<ServiceView>,
    pub(super) version: usize,
    pub(super) by: AssignedBy,
    pub(super) evidence: Option<Role>,
}

/// Counts as a request in flight at its endpoint while it lives.
pub(super) struct Attempt {
    pool: Rc<Pool>,
    worker: usize,
}

impl Assigned {
    pub(super) fn policy(&self) -> &Policy {
        &self.service.policy
    }

    pub(super) fn cells(&self, worker: usize) -> &VersionCells {
        &self.service.versions[self.version].cells[worker]
    }

    /// Where it is booked: in the epoch that it was routed in, however late it ends.
    pub(super) fn arm(&self, worker: usize) -> Option<&ArmCells> {
        let cells = &self.service.split.epoch.as_ref()?.workers[worker];
        Some(match self.evidence? {
            Role::Canary => &cells.canary,
            Role::Stable => &cells.stable,
        })
    }

    /// Keeps what `request` makes, if it is the canary's, for people who look for the cause; as long as there is room.
    pub(super) fn keep_sample(&self, request: impl FnOnce() -> FailedRequest) {
        if let (Some(Role::Canary), Some(epoch)) = (self.evidence, &self.service.split.epoch) {
            epoch.samples.keep(request);
        }
    }
}

impl Attempt {
    pub(super) fn begin(pool: Rc<Pool>, worker: usize) -> Self {
        pool.counts(worker).in_flight.add(1);
        Self { pool, worker }
    }

    pub(super) fn succeeded(&self) {
        self.pool.counts(self.worker).attempts.add(1);
        self.pool.cells.succeeded();
    }

    /// How many failures the endpoint has in a row now.
    pub(super) fn failed(&self) -> u32 {
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
