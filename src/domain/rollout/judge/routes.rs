//! Is the canary worse on one of the service's routes? In the rate over all of them a broken route is diluted by the
//! others; here each has a comparison of its own. Their average is an e-value like any other, whatever the traffic of
//! each, so all of them together spend one stake.

use std::sync::Arc;

use super::comparison::Comparison;
use super::{RouteCounts, SplitMode};
use crate::domain::stats::{ERROR_ALTERNATIVES, ERROR_GRID, EpochCounts, LogSum, Margin};
use crate::domain::{Timestamp, Weight};

/// What the errors say, by route.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes(Vec<Route>);

#[derive(Clone, Debug)]
struct Route {
    name: Arc<str>,
    errors: Comparison<ERROR_ALTERNATIVES>,
    total: EpochCounts,
}

impl Routes {
    /// For routes of these names, by place.
    pub(super) fn new(names: impl IntoIterator<Item = Arc<str>>, tolerated: Margin) -> Self {
        let route = |name| Route {
            name,
            errors: Comparison::new(ERROR_GRID, tolerated),
            total: EpochCounts::default(),
        };
        Self(names.into_iter().map(route).collect())
    }

    pub(super) fn open(&mut self, weight: Weight) {
        let Some(first) = self.0.first() else { return };
        let bets = Arc::new(first.errors.bets(weight.fraction()));
        self.0.iter_mut().for_each(|route| route.errors.open(weight, bets.clone()));
    }

    /// What came on each route, by place.
    pub(super) fn feed(
        &mut self,
        index: usize,
        increments: &[EpochCounts],
        split: SplitMode,
        now: Timestamp,
    ) {
        let came = self.0.iter_mut().zip(increments);
        for (route, increment) in came.filter(|(_, increment)| **increment != EpochCounts::default()) {
            route.errors.feed(index, *increment, split, now);
            route.total = route.total.plus(*increment);
        }
    }

    pub(super) fn each(&mut self, change: impl Fn(&mut Comparison<ERROR_ALTERNATIVES>)) {
        self.0.iter_mut().for_each(|route| change(&mut route.errors));
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|route| route.errors.until()).min()
    }

    /// The evidence of all routes together; `None` when none are told apart.
    pub(super) fn log_e(&self) -> Option<f64> {
        let routes = u32::try_from(self.0.len()).ok().filter(|routes| *routes > 0)?;
        let sum: LogSum = self.0.iter().map(|route| route.errors.log_e()).collect();
        Some(sum.ln() - f64::from(routes).ln())
    }

    /// The route that speaks most against the canary.
    pub(super) fn worst(&self) -> Option<RouteCounts> {
        let worst = self.0.iter().max_by(|a, b| a.errors.log_e().total_cmp(&b.errors.log_e()))?;
        Some(RouteCounts {
            name: worst.name.to_string(),
            canary_requests: worst.total.canary.completed,
            canary_failures: worst.total.canary.failed,
            stable_requests: worst.total.stable.completed,
            stable_failures: worst.total.stable.failed,
        })
    }
}
