//! What the data plane counts for the verdict: per epoch and arm, by workers, read by control.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{ArmCells, Kinds, LIMITS, Limits, PerWorker, ROUTE_PLACES, Samples};
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
    /// Some of the requests that the canary failed.
    pub samples: Samples,
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
        Self {
            number,
            weight,
            sampling,
            routes: RoutePlaces::default(),
            pace: None,
            workers,
            samples: Samples::default(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stats::{BUCKETS, ErrorReason, Quantile};

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_route_keeps_its_place_wherever_the_config_has_it_and_a_new_one_has_none() {
        let places = RoutePlaces::of([30, 10, 20].map(RouteId));
        assert_eq!(
            [30, 10, 20, 40].map(|id| places.of_route(RouteId(id))),
            [Some(0), Some(1), Some(2), None]
        );
        assert_eq!(places.places(), 3);
    }

    #[test]
    fn beyond_sixteen_routes_share_the_last_place() {
        let places = RoutePlaces::of((0..40).map(RouteId));
        assert_eq!([14, 15, 39].map(|id| places.of_route(RouteId(id))), [Some(14), Some(15), Some(15)]);
        assert_eq!(places.places(), ROUTE_PLACES);
    }

    #[test]
    fn a_single_route_has_no_place() {
        assert_eq!(RoutePlaces::of([RouteId(1)]).of_route(RouteId(1)), None);
    }

    /// Stable's quantiles are at 10 ms.
    fn timed() -> Epoch {
        let mut times = [0; BUCKETS];
        times[super::super::bucket_of(10_000)] = 1000;
        let mut epoch = Epoch::new(1, Weight::FULL, Sampling::Every, 1);
        let limits = Limits::of(&times, &Quantile::ALL, 4);
        epoch.pace = Some(Pace { limits, warmup: Duration::ZERO });
        epoch
    }

    #[test]
    fn a_request_that_hangs_is_slow_once_and_stays_so_when_its_client_has_left() {
        let epoch = timed();
        let (arm, limits) = (&epoch.workers[0].canary, epoch.pace.as_ref().expect("timed").limits);
        let slow = |now| epoch.slow(now).tolerated[0].canary;
        arm.waiting.enter(at(0));
        assert_eq!(slow(at(900)), ArmCounts::default());
        let once = ArmCounts { routed: 0, completed: 1, failed: 1 };
        assert_eq!(slow(at(1500)), once);
        arm.waiting.leave(at(0));
        arm.unanswered(1_600_000, limits.of_canary());
        assert_eq!(slow(at(1700)), once);
    }

    #[test]
    fn a_request_that_ends_early_without_an_answer_says_nothing_of_times() {
        let epoch = timed();
        let limits = epoch.pace.as_ref().expect("timed").limits;
        epoch.workers[0].canary.unanswered(5_000, limits.of_canary());
        assert_eq!(epoch.slow(at(0)), SlowCounts::default());
    }

    #[test]
    fn an_answer_is_held_against_the_limits_of_its_arm() {
        let epoch = timed();
        let (cells, limits) = (&epoch.workers[0], epoch.pace.as_ref().expect("timed").limits);
        // 18.9 % above the edge over 10 ms is 12.2 ms.
        for micros in [9_000, 11_000, 12_500, 13_000] {
            cells.canary.answered(micros, limits.of_canary());
            cells.stable.answered(micros, limits.of_stable());
        }
        let SlowCounts { tolerated, promotable } = epoch.slow(at(0));
        let failed = |counts: EpochCounts| (counts.canary.failed, counts.stable.failed);
        assert_eq!((failed(tolerated[0]), failed(promotable[0])), ((2, 3), (1, 3)));
        assert_eq!(tolerated[0].canary.completed, 4);
    }

    #[test]
    fn failures_are_counted_by_route_and_kind() {
        let mut epoch = Epoch::new(1, Weight::FULL, Sampling::Every, 1);
        epoch.routes = RoutePlaces::of([1, 2].map(RouteId));
        let canary = &epoch.workers[0].canary;
        canary.succeeded(Some(0));
        canary.failed(Some(1), ErrorReason::ConnectionRefused);
        canary.failed(None, ErrorReason::HttpServerError);
        let of = |counts: EpochCounts| (counts.canary.completed, counts.canary.failed);
        assert_eq!(epoch.route_counts().into_iter().map(of).collect::<Vec<_>>(), [(1, 0), (1, 1)]);
        assert_eq!(of(epoch.counts()), (3, 2));
        let kinds = epoch.kinds().0;
        assert_eq!(
            kinds.since(Kinds::single(ErrorReason::HttpServerError, 1)),
            Kinds::single(ErrorReason::ConnectionRefused, 1)
        );
    }
}
