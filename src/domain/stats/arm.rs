//! One worker's counts of one arm in one epoch, and how they are read.

use std::collections::BTreeMap;

use super::{ArmCounts, Count, ErrorReason, LIMITS, Limits, Waiting};
use crate::domain::Timestamp;

/// Routes that are told apart in the evidence of one service.
pub const ROUTE_PLACES: usize = 16;

/// One worker's counts of one arm in one epoch.
#[derive(Debug, Default)]
pub struct ArmCells {
    /// Requests sent to this arm, ended or not.
    pub routed: Count,
    outcomes: Outcomes,
    routes: [Outcomes; ROUTE_PLACES],
    kinds: [Count; ErrorReason::ALL.len()],
    /// Requests of this arm that wait for the first byte of an answer.
    pub waiting: Waiting,
    times: Times,
}

#[derive(Debug, Default)]
struct Outcomes {
    completed: Count,
    failed: Count,
}

/// How many requests had their first byte later than which limit.
#[derive(Debug, Default)]
struct Times {
    /// Requests with an answer that is no failure.
    answered: Count,
    /// Requests that ended without such an answer when they were slow already.
    gone: [Count; LIMITS],
    /// Of both, those above the arm's own limits.
    slow: [Count; LIMITS],
    /// Those above the promotable ones; counted for the canary only.
    slower: [Count; LIMITS],
}

/// What the times of one arm are held against.
#[derive(Clone, Copy, Debug)]
pub struct ArmLimits<'a> {
    /// The arm's own limits.
    pub slow: &'a [u64; LIMITS],
    /// The promotable ones; stable has none but its own.
    pub slower: &'a [u64; LIMITS],
}

/// Failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([u64; ErrorReason::ALL.len()]);

impl ArmCells {
    /// Books an exchange that ended well, on the route with this place.
    #[inline]
    pub fn succeeded(&self, place: Option<u8>) {
        self.outcomes.completed.add(1);
        if let Some(route) = self.route(place) {
            route.completed.add(1);
        }
    }

    /// Books an exchange that the endpoint failed, on the route with this place.
    #[inline]
    pub fn failed(&self, place: Option<u8>, reason: ErrorReason) {
        // In this order: whoever sees the failure also sees the completion and its kind.
        self.kinds[reason as usize].add(1);
        self.outcomes.completed.add(1);
        self.outcomes.failed.add(1);
        if let Some(route) = self.route(place) {
            route.completed.add(1);
            route.failed.add(1);
        }
    }

    /// Books the first byte of an answer that is no failure, so many microseconds after the request came.
    #[inline]
    pub fn answered(&self, micros: u64, limits: ArmLimits<'_>) {
        self.times.late(micros, limits, |_| {});
        self.times.answered.add(1);
    }

    /// Books a request that got no good answer in so many microseconds: nothing, unless it was slow by then.
    #[inline]
    pub fn unanswered(&self, micros: u64, limits: ArmLimits<'_>) {
        self.times.late(micros, limits, |limit| self.times.gone[limit].add(1));
    }

    fn route(&self, place: Option<u8>) -> Option<&Outcomes> {
        self.routes.get(usize::from(place?))
    }

    pub(super) fn read(&self) -> ArmCounts {
        let ArmCounts { completed, failed, .. } = self.outcomes.read();
        ArmCounts { routed: self.routed.get(), completed, failed }
    }

    pub(super) fn read_route(&self, place: usize) -> ArmCounts {
        self.routes[place].read()
    }

    pub(super) fn read_kinds(&self) -> Kinds {
        Kinds(std::array::from_fn(|kind| self.kinds[kind].get()))
    }

    /// Slow ones against the arm's own limits, then against the promotable ones. Requests that still wait count once
    /// they are slow.
    pub(super) fn read_times(&self, limits: ArmLimits<'_>, now: Timestamp) -> [[ArmCounts; LIMITS]; 2] {
        // First what is counted, then who waits: a request stops waiting before it is counted, so that it may be
        // missed for a moment but is never seen twice.
        let answered = self.times.answered.get();
        let counted = |late: &[Count; LIMITS]| {
            std::array::from_fn(|limit| (late[limit].get(), answered + self.times.gone[limit].get()))
        };
        let read = |counted: [(u64, u64); LIMITS], limits: &[u64; LIMITS]| {
            std::array::from_fn(|limit| {
                let overdue = self.waiting.longer_than(limits[limit], now);
                let (late, all) = counted[limit];
                ArmCounts { routed: 0, completed: all + overdue, failed: late + overdue }
            })
        };
        let (slow, slower) = (counted(&self.times.slow), counted(&self.times.slower));
        [read(slow, limits.slow), read(slower, limits.slower)]
    }
}

impl Outcomes {
    fn read(&self) -> ArmCounts {
        let failed = self.failed.get();
        let completed = self.completed.get();
        ArmCounts { routed: 0, completed, failed }
    }
}

impl Times {
    /// Counts the limits that a time is above, and tells of each of the arm's own.
    fn late(&self, micros: u64, limits: ArmLimits<'_>, mut slow: impl FnMut(usize)) {
        for limit in 0..LIMITS {
            if micros > limits.slow[limit] {
                slow(limit);
                self.slow[limit].add(1);
            }
            if micros > limits.slower[limit] {
                self.slower[limit].add(1);
            }
        }
    }
}

impl Limits {
    /// The canary's.
    pub const fn of_canary(&self) -> ArmLimits<'_> {
        ArmLimits { slow: &self.tolerated, slower: &self.promotable }
    }

    /// Stable's.
    pub const fn of_stable(&self) -> ArmLimits<'_> {
        ArmLimits { slow: &self.stable, slower: &self.stable }
    }
}

impl Kinds {
    /// How many failures were of this kind.
    pub const fn of(&self, reason: ErrorReason) -> u64 {
        self.0[reason as usize]
    }

    /// Those that occurred.
    pub fn occurred(&self) -> BTreeMap<ErrorReason, u64> {
        let all = ErrorReason::ALL.iter().map(|reason| (*reason, self.of(*reason)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind] + other.0[kind]))
    }

    /// What came since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind].saturating_sub(earlier.0[kind])))
    }

    /// So many failures of one kind.
    pub fn single(reason: ErrorReason, count: u64) -> Self {
        let mut kinds = Self::default();
        kinds.0[reason as usize] = count;
        kinds
    }
}
