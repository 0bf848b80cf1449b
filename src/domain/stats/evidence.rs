//! What the data plane counts for the verdict: per epoch and arm, by workers, read by control.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{ArmCells, Kinds, LIMITS, Limits, PerWorker, ROUTE_PLACES};
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
    /// Which routes are told apart.
    pub routes: RoutePlaces,
    /// What is slow; `None`: times are not compared (yet).
    pub pace: Option<Pace>,
    /// What each worker counted.
    pub workers: PerWorker<EpochCells>,
}

/// How times are compared in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What is slow.
    pub limits: Limits,
    /// For so long after its first request the times of a canary's endpoint do not count.
    pub warmup: Duration,
}

/// A route by what it asks of a request, whatever its place in the config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u64);

/// The routes whose evidence is kept apart, fixed when a rollout starts: a route that a reload brings later has no place,
/// and one that it moves keeps its own.
#[derive(Clone, Debug, Default)]
pub struct RoutePlaces(Arc<[(RouteId, u8)]>);

/// Which of the requests that a split routes are evidence.
#[derive(Clone, Debug)]
pub enum Sampling {
    /// Every one: each was routed by a draw of its own.
    Every,
    /// The split follows the client, so only the first request of each client in a minute.
    OncePerMinute(Arc<[AtomicU32]>),
}

/// One worker's counts in one epoch.
#[derive(Debug, Default)]
pub struct EpochCells {
    /// Of the canary.
    pub canary: ArmCells,
    /// Of stable, at the same time.
    pub stable: ArmCells,
}

/// All workers' counts of both arms in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochCounts {
    /// Of the canary.
    pub canary: ArmCounts,
    /// Of stable.
    pub stable: ArmCounts,
}

/// How many answers were slow, for each of [`super::Quantile::ALL`]. "Failed" stands for slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowCounts {
    /// By the limits that abort.
    pub tolerated: [EpochCounts; LIMITS],
    /// By those within which a step may be left.
    pub promotable: [EpochCounts; LIMITS],
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

impl Epoch {
    /// An epoch in which nothing has been counted yet.
    pub fn new(number: u32, weight: Weight, sampling: Sampling, workers: usize) -> Self {
        let workers = PerWorker::new(workers);
        Self { number, weight, sampling, routes: RoutePlaces::default(), pace: None, workers }
    }

    /// What all workers have counted so far.
    pub fn counts(&self) -> EpochCounts {
        self.workers.iter().fold(EpochCounts::default(), |sum, cells| EpochCounts {
            canary: sum.canary.plus(cells.canary.read()),
            stable: sum.stable.plus(cells.stable.read()),
        })
    }

    /// The same for each route that has a place. `routed` is not counted.
    pub fn route_counts(&self) -> Vec<EpochCounts> {
        let route = |place| {
            self.workers.iter().fold(EpochCounts::default(), |sum, cells| EpochCounts {
                canary: sum.canary.plus(cells.canary.read_route(place)),
                stable: sum.stable.plus(cells.stable.read_route(place)),
            })
        };
        (0..self.routes.places()).map(route).collect()
    }

    /// The kinds of all failures so far: the canary's, then stable's.
    pub fn kinds(&self) -> (Kinds, Kinds) {
        self.workers.iter().fold(Default::default(), |(canary, stable): (Kinds, Kinds), cells| {
            (canary.plus(cells.canary.read_kinds()), stable.plus(cells.stable.read_kinds()))
        })
    }

    /// How many were slow so far; requests that still wait at `now` count once they are.
    pub fn slow(&self, now: Timestamp) -> SlowCounts {
        let Some(Pace { limits, .. }) = &self.pace else { return SlowCounts::default() };
        self.workers.iter().fold(SlowCounts::default(), |sum, cells| {
            let [tolerated, promotable] = cells.canary.read_times(limits.of_canary(), now);
            let [stable, _] = cells.stable.read_times(limits.of_stable(), now);
            let both = |canary: [ArmCounts; LIMITS]| {
                std::array::from_fn(|limit| EpochCounts { canary: canary[limit], stable: stable[limit] })
            };
            sum.plus(SlowCounts { tolerated: both(tolerated), promotable: both(promotable) })
        })
    }
}

impl RoutePlaces {
    /// For these routes, in the config's order. When there are more than [`ROUTE_PLACES`], the last place holds all
    /// that have none of their own. A single route needs none: its evidence is the service's.
    pub fn of(routes: impl IntoIterator<Item = RouteId>) -> Self {
        let last = u8::try_from(ROUTE_PLACES - 1).unwrap_or(u8::MAX);
        let mut places: Vec<_> = routes.into_iter().zip((0..last).chain(std::iter::repeat(last))).collect();
        if places.len() < 2 {
            return Self::default();
        }
        places.sort_unstable();
        Self(places.into())
    }

    /// The place of a route; `None` when it has none.
    #[inline]
    pub fn of_route(&self, route: RouteId) -> Option<u8> {
        let index = self.0.binary_search_by_key(&route, |(id, _)| *id).ok()?;
        Some(self.0[index].1)
    }

    /// How many places there are: 0, or 2 to [`ROUTE_PLACES`].
    pub fn places(&self) -> usize {
        self.0.len().min(ROUTE_PLACES)
    }
}

impl SlowCounts {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, EpochCounts::since)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, EpochCounts::plus)
    }

    /// The larger of each count: requests that wait, once seen as slow, stay so while they move from one counter to
    /// another.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.with(other, EpochCounts::max)
    }

    fn with(self, other: Self, both: impl Fn(EpochCounts, EpochCounts) -> EpochCounts) -> Self {
        let each = |left: [EpochCounts; LIMITS], right: [EpochCounts; LIMITS]| {
            std::array::from_fn(|limit| both(left[limit], right[limit]))
        };
        Self {
            tolerated: each(self.tolerated, other.tolerated),
            promotable: each(self.promotable, other.promotable),
        }
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

    fn max(self, other: Self) -> Self {
        Self { canary: self.canary.max(other.canary), stable: self.stable.max(other.stable) }
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

    fn max(self, other: Self) -> Self {
        Self {
            routed: self.routed.max(other.routed),
            completed: self.completed.max(other.completed),
            failed: self.failed.max(other.failed),
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
