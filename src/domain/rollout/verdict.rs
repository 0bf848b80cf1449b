//! What the evidence says, in numbers that can be shown to people.

use serde::{Deserialize, Serialize};

use crate::domain::stats::EpochCounts;

/// What the judge makes of all evidence so far. Natural logarithms of e-values (ANALYSIS section 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assessment {
    /// Evidence that the canary is worse than tolerated, all metrics and restarts together.
    pub harm_log_e: f64,
    /// Abort at or above this: ln(1/alpha).
    pub harm_bound: f64,
    /// The metric that contributes most to the harm.
    pub leading: Metric,
    /// Evidence of this step that the canary is within the promote margin.
    pub promote_log_e: f64,
    /// Advance at or above this: ln(1/alpha_p).
    pub promote_bound: f64,
    /// Like `promote_log_e`, with the margin widened to five points (for `advance-if-no-harm`).
    pub relaxed_log_e: f64,
    /// Whether stable gets traffic beside the canary, so that there is something to compare with.
    pub comparable: bool,
    /// Stable itself breaks the absolute guard: both fail together, hold.
    pub stable_failing: bool,
    /// The realised split does not fit the weight; the judge has gone over to realised shares.
    pub split_suspect: bool,
    /// Counts since the current step began.
    pub step: EpochCounts,
    /// Counts since the rollout began (or since the last restart of the program).
    pub total: EpochCounts,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Error rate against concurrent stable.
    Errors,
    /// Error rate against a fixed limit.
    Guard,
}

/// A judgement, with the numbers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it says.
    pub outcome: Outcome,
    /// The rule that was applied, in words: `errors: canary at most 1.1 × stable + 0.02 %`.
    pub rule: String,
    /// The measured value: the evidence against the rule's null hypothesis, as odds `value : 1`, at most 1e12.
    pub value: f64,
    /// The odds at which the rule decides.
    pub bound: f64,
    /// Canary requests in the step (for an abort: in the rollout) that ended.
    pub canary_requests: u64,
    /// Those that the canary failed.
    pub canary_failures: u64,
    /// Stable's requests at the same time.
    pub stable_requests: u64,
    /// Those that stable failed.
    pub stable_failures: u64,
}

/// What a verdict says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The canary is no worse.
    Successful,
    /// The canary is worse.
    Failed,
    /// Not enough evidence either way.
    Inconclusive,
    /// No judgement was possible: no data, or stable failing too.
    Error,
}
