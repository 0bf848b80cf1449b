//! What may be done for a user whose request the version under release failed, or does not know.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use http::Method;

use super::PathPrefix;
use crate::domain::Timestamp;

/// Which failed canary requests are sent to stable, so that their users get an answer all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Rescue {
    /// These only. Empty: nothing is rescued. Default: GET, HEAD, OPTIONS.
    pub methods: Vec<Method>,
    /// Bytes of the largest request body that is kept for it. Default 64 KiB.
    pub max_body: usize,
    /// At most this share of the service's requests, 0 to 1, plus [`Budget::FLOOR`] a second. Default 0.2.
    pub budget: f64,
    /// The answers that count as failed. Default: every 5xx but 501 and 505, which say something of the request.
    pub on: Statuses,
}

/// A set of status codes from 500 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(u128);

/// Where clients are sent on from a version that has not got what they ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnMissing {
    /// Under these paths a 404 is tried on the other version of a rollout. Empty (default): nowhere.
    pub paths: Vec<PathPrefix>,
}

/// How many rescues there may be: a share of the requests of the last ten seconds, plus a floor so that it works
/// with little traffic too. A canary that fails everything must not double what stable has to carry.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// The last seconds, oldest first; at most [`Budget::SECONDS`].
    slots: VecDeque<Slot>,
    requests: u64,
    rescues: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    second: u64,
    requests: u64,
    rescues: u64,
}

impl Rescue {
    /// Whether a request with this method may be rescued.
    pub fn covers(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }
}

impl Default for Rescue {
    fn default() -> Self {
        Self {
            methods: vec![Method::GET, Method::HEAD, Method::OPTIONS],
            max_body: 64 * 1024,
            budget: 0.2,
            on: Statuses::default(),
        }
    }
}

impl Statuses {
    /// Which codes there can be.
    pub const RANGE: RangeInclusive<u16> = 500..=599;

    /// Those of `codes` that are in [`Self::RANGE`].
    pub fn of(codes: impl IntoIterator<Item = u16>) -> Self {
        let bits = codes.into_iter().filter(|code| Self::RANGE.contains(code));
        Self(bits.fold(0, |set, code| set | 1 << (code - Self::RANGE.start())))
    }

    /// Whether `code` is one of them.
    #[inline]
    pub fn contains(self, code: u16) -> bool {
        Self::RANGE.contains(&code) && self.0 >> (code - Self::RANGE.start()) & 1 == 1
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self::of(Self::RANGE.filter(|code| ![501, 505].contains(code)))
    }
}

impl OnMissing {
    /// Whether a 404 for `path` (levelled, as the matcher sees it) is tried elsewhere.
    #[inline]
    pub fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|prefix| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Budget {
    /// Rescues a second that are always allowed, on average over [`Self::SECONDS`].
    pub const FLOOR: u64 = 10;
    /// How long requests count.
    pub const SECONDS: u64 = 10;

    /// A request of the service came.
    #[inline]
    pub fn came(&mut self, now: Timestamp) {
        self.slot(now).requests += 1;
        self.requests += 1;
    }

    /// Takes one rescue out, if there is one left. `share`: of the requests, 0 to 1.
    pub fn take(&mut self, now: Timestamp, share: f64) -> bool {
        self.slot(now);
        #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests in ten seconds")]
        let (requests, rescues, floor) =
            (self.requests as f64, self.rescues as f64, (Self::FLOOR * Self::SECONDS) as f64);
        if rescues + 1.0 > share * requests + floor {
            return false;
        }
        self.slot(now).rescues += 1;
        self.rescues += 1;
        true
    }

    /// This second's slot; those that are too old are gone.
    fn slot(&mut self, now: Timestamp) -> &mut Slot {
        let second = now.as_micros() / 1_000_000;
        while let Some(oldest) = self.slots.front().copied().filter(|it| it.second + Self::SECONDS <= second)
        {
            self.requests -= oldest.requests;
            self.rescues -= oldest.rescues;
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|newest| newest.second < second) {
            self.slots.push_back(Slot { second, requests: 0, rescues: 0 });
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
    fn all_server_errors_but_501_and_505_are_failures_unless_said_otherwise() {
        let default = Statuses::default();
        for (code, is_in) in [(500, true), (503, true), (599, true), (501, false), (505, false), (404, false)]
        {
            assert_eq!(default.contains(code), is_in, "{code}");
        }
        let few = Statuses::of([502, 503, 404]);
        assert!(few.contains(502) && few.contains(503) && !few.contains(500) && !few.contains(404));
    }

    #[test]
    fn a_path_is_covered_on_segment_borders() {
        let on_missing = OnMissing { paths: vec![PathPrefix::parse("/assets/").unwrap()] };
        for (path, covered) in [
            ("/assets/a.js", true),
            ("/assets", true),
            ("/assetsx", false),
            ("/", false),
            ("/x/assets/a", false),
        ] {
            assert_eq!(on_missing.covers(path), covered, "{path}");
        }
        assert!(!OnMissing::default().covers("/assets/a.js"));
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
        assert_eq!(taken(&mut budget, at(10), 0.2, 5000), 0, "the requests have aged, the rescues have not");
        assert_eq!(taken(&mut budget, at(15), 0.2, 5000), 100);
    }

    proptest! {
        #[test]
        fn rescues_never_exceed_the_budget_of_any_window(
            steps in proptest::collection::vec((0u64..3, any::<bool>()), 0..400), share in 0.0..1.0,
        ) {
            let (mut budget, mut second) = (Budget::default(), 0);
            let mut log: Vec<(u64, bool)> = Vec::new();
            for (later, rescue) in steps {
                second += later;
                if !rescue {
                    budget.came(at(second));
                    log.push((second, false));
                } else if budget.take(at(second), share) {
                    log.push((second, true));
                }
                let recent = || log.iter().filter(|(at, _)| at + Budget::SECONDS > second);
                let rescues = recent().filter(|(_, rescue)| *rescue).count() as f64;
                let requests = recent().filter(|(_, rescue)| !*rescue).count() as f64;
                let rule = || rescues <= share * requests + 100.0;
                // A budget may shrink under what was taken; nothing more is taken then.
                prop_assert!(!log.last().is_some_and(|(_, rescue)| *rescue) || rule());
            }
        }
    }
}
