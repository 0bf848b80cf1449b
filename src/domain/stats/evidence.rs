//! What the data plane counts for the verdict: per epoch and arm, by workers, read by control.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Count, PerWorker, Samples};
use crate::domain::{Timestamp, Weight};

/// The time between two changes of a rollout's weight. A request carries the epoch it was routed in, and its
/// outcome is booked there however late it comes (ANALYSIS section 1).
#[derive(Debug)]
pub struct Epoch {
    /// Counts up with every change of weight within a rollout.
    pub number: u32,
    /// The chance with which a request of this epoch was sent to the canary.
    pub weight: Weight,
    /// Which requests are counted.
    pub sampling: Sampling,
    /// What each worker counted.
    pub workers: PerWorker<EpochCells>,
    /// Some of the requests that the canary failed.
    pub samples: Samples,
}

/// Which of the requests that a split routes are evidence.
#[derive(Debug)]
pub enum Sampling {
    /// Every one: each was routed by a draw of its own.
    Every,
    /// The split follows the client, so only the first request of each client in a minute.
    OncePerMinute(Box<[AtomicU32]>),
}

/// One worker's counts in one epoch.
#[derive(Debug, Default)]
pub struct EpochCells {
    /// Of the canary.
    pub canary: ArmCells,
    /// Of stable, at the same time.
    pub stable: ArmCells,
}

/// One worker's counts of one arm in one epoch.
#[derive(Debug, Default)]
pub struct ArmCells {
    /// Requests sent to this arm, ended or not.
    pub routed: Count,
    completed: Count,
    failed: Count,
}

/// All workers' counts of both arms in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochCounts {
    /// Of the canary.
    pub canary: ArmCounts,
    /// Of stable.
    pub stable: ArmCounts,
}

/// One arm's counts. `failed` is never above `completed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArmCounts {
    /// Requests sent to this arm, ended or not.
    pub routed: u64,
    /// Requests that ended, well or badly, by no fault of the client.
    pub completed: u64,
    /// Those of them that the endpoint failed.
    pub failed: u64,
}

/// How many clients a minute can be told apart; beyond that they are sampled by hash.
const CLIENT_SLOTS: usize = 1 << 16;

impl Sampling {
    /// For a split that follows the client.
    pub fn once_per_minute() -> Self {
        Self::OncePerMinute((0..CLIENT_SLOTS).map(|_| AtomicU32::new(0)).collect())
    }

    /// Whether a request of the client with hash `client` is evidence. Decided before its outcome is known. Two
    /// clients that share a slot share its one request a minute: a sample by hash, never a client counted twice.
    #[inline]
    pub fn takes(&self, client: Option<u64>, now: Timestamp) -> bool {
        match (self, client) {
            (Self::Every, _) => true,
            (Self::OncePerMinute(_), None) => false,
            (Self::OncePerMinute(slots), Some(client)) => {
                // Low bits: the split itself looks at the high ones.
                let slot = &slots[usize::try_from(client & 0xFFFF).unwrap_or(0)];
                let minute = u32::try_from(now.minute()).unwrap_or(u32::MAX);
                slot.load(Ordering::Relaxed) != minute && slot.swap(minute, Ordering::Relaxed) != minute
            }
        }
    }
}

impl ArmCells {
    /// Books an exchange that ended well.
    #[inline]
    pub fn succeeded(&self) {
        self.completed.add(1);
    }

    /// Books an exchange that the endpoint failed.
    #[inline]
    pub fn failed(&self) {
        // In this order: whoever sees the failure also sees the completion.
        self.completed.add(1);
        self.failed.add(1);
    }

    fn read(&self) -> ArmCounts {
        let failed = self.failed.get();
        let completed = self.completed.get();
        ArmCounts { routed: self.routed.get(), completed, failed }
    }
}

impl Epoch {
    /// An epoch in which nothing has been counted yet.
    pub fn new(number: u32, weight: Weight, sampling: Sampling, workers: usize) -> Self {
        Self { number, weight, sampling, workers: PerWorker::new(workers), samples: Samples::default() }
    }

    /// What all workers have counted so far.
    pub fn counts(&self) -> EpochCounts {
        self.workers.iter().fold(EpochCounts::default(), |sum, cells| EpochCounts {
            canary: sum.canary.plus(cells.canary.read()),
            stable: sum.stable.plus(cells.stable.read()),
        })
    }
}

impl EpochCounts {
    /// What came since `earlier`, which must be an earlier reading of the same epoch.
    pub fn since(self, earlier: Self) -> Self {
        Self { canary: self.canary.minus(earlier.canary), stable: self.stable.minus(earlier.stable) }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { canary: self.canary.plus(other.canary), stable: self.stable.plus(other.stable) }
    }
}

impl ArmCounts {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            routed: self.routed + other.routed,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
        }
    }

    fn minus(self, earlier: Self) -> Self {
        Self {
            routed: self.routed.saturating_sub(earlier.routed),
            completed: self.completed.saturating_sub(earlier.completed),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }
}
