//! How much may be asked for a second time.

use std::collections::VecDeque;

use crate::domain::Timestamp;

/// How many requests may be sent once more, as a retry or as a rescue: a share of the requests of the last ten seconds,
/// plus a floor so that it works with little traffic too. What fails everything must not double what is left to carry.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// The last seconds, oldest first; at most [`Budget::SECONDS`].
    slots: VecDeque<Slot>,
    requests: u64,
    taken: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    second: u64,
    requests: u64,
    taken: u64,
}

impl Budget {
    /// What may be taken in a second whatever the traffic, on average over [`Self::SECONDS`].
    pub const FLOOR: u64 = 10;
    /// How long requests count.
    pub const SECONDS: u64 = 10;

    /// A request came.
    #[inline]
    pub fn came(&mut self, now: Timestamp) {
        self.slot(now).requests += 1;
        self.requests += 1;
    }

    /// Takes one out, if there is one left. `share`: of the requests, 0 to 1.
    pub fn take(&mut self, now: Timestamp, share: f64) -> bool {
        let may = self.has(now, share);
        if may {
            self.slot(now).taken += 1;
            self.taken += 1;
        }
        may
    }

    /// Whether there is one left.
    pub fn has(&mut self, now: Timestamp, share: f64) -> bool {
        self.slot(now);
        #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests in ten seconds")]
        let (requests, taken, floor) =
            (self.requests as f64, self.taken as f64, (Self::FLOOR * Self::SECONDS) as f64);
        taken + 1.0 <= share * requests + floor
    }

    /// This second's slot; those that are too old are gone.
    fn slot(&mut self, now: Timestamp) -> &mut Slot {
        let second = now.as_micros() / 1_000_000;
        while let Some(oldest) = self.slots.front().copied().filter(|it| it.second + Self::SECONDS <= second)
        {
            self.requests -= oldest.requests;
            self.taken -= oldest.taken;
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|newest| newest.second < second) {
            self.slots.push_back(Slot { second, requests: 0, taken: 0 });
        }
        self.slots.back_mut().expect("there is one: it was pushed when there was none")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + seconds * 1_000_000)
    }

    fn taken(budget: &mut Budget, now: Timestamp, share: f64, wanted: u64) -> u64 {
        (0..wanted).map(|_| u64::from(budget.take(now, share))).sum()
    }

    #[test]
    fn with_little_traffic_the_floor_is_what_may_be_taken_in_ten_seconds() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, at(0), 0.2, 500), 100);
        assert_eq!(taken(&mut budget, at(9), 0.2, 500), 0);
        assert_eq!(taken(&mut budget, at(10), 0.2, 500), 100);
    }

    #[test]
    fn with_much_traffic_the_share_of_the_last_ten_seconds_is_added() {
        let mut budget = Budget::default();
        for _ in 0..1000 {
            budget.came(at(0));
        }
        assert_eq!(taken(&mut budget, at(5), 0.2, 5000), 300);
        assert_eq!(
            taken(&mut budget, at(10), 0.2, 5000),
            0,
            "the requests have aged, what was taken has not"
        );
        assert_eq!(taken(&mut budget, at(15), 0.2, 5000), 100);
    }

    proptest! {
        #[test]
        fn what_is_taken_never_exceeds_the_budget_of_any_window(
            steps in proptest::collection::vec((0u64..3, any::<bool>()), 0..400), share in 0.0..1.0,
        ) {
            let (mut budget, mut second) = (Budget::default(), 0);
            let mut log: Vec<(u64, bool)> = Vec::new();
            for (later, take) in steps {
                second += later;
                if !take {
                    budget.came(at(second));
                    log.push((second, false));
                } else if budget.take(at(second), share) {
                    log.push((second, true));
                }
                let recent = || log.iter().filter(|(at, _)| at + Budget::SECONDS > second);
                let taken = recent().filter(|(_, taken)| *taken).count() as f64;
                let requests = recent().filter(|(_, taken)| !*taken).count() as f64;
                let rule = || taken <= share * requests + 100.0;
                // A budget may shrink under what was taken; nothing more is taken then.
                prop_assert!(!log.last().is_some_and(|(_, taken)| *taken) || rule());
            }
        }
    }
}
