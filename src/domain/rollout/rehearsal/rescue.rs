//! What rescue makes of a canary's failures.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::stats::EpochCounts;

/// How many failed canary requests are repeated on stable: in ten seconds at most `reserve`, plus this share of all
/// requests. (The data plane's ten seconds slide, these follow each other.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescue {
    /// Of all requests to both versions: 0 to 1.
    pub share: f64,
    /// In ten seconds, however few requests there are.
    pub reserve: f64,
}

/// What was rescued in the ten seconds that run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    since: Timestamp,
    requests: u64,
    rescued: u64,
}

/// How long requests count for the budget of rescues.
const BUDGETED: Duration = Duration::from_secs(10);
impl Budget {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, requests: 0, rescued: 0 }
    }

    /// How many of the canary's failures among these requests are rescued.
    pub(super) fn rescue(&mut self, counts: EpochCounts, rule: Rescue, now: Timestamp) -> u64 {
        if now >= self.since + BUDGETED {
            *self = Self::new(now);
        }
        self.requests += counts.canary.completed + counts.stable.completed;
        #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
        let allowed = rule.reserve + rule.share * self.requests as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to what is whole")]
        let left = (allowed as u64).saturating_sub(self.rescued);
        let rescued = counts.canary.failed.min(left);
        self.rescued += rescued;
        rescued
    }
}
