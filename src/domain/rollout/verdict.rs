//! What the evidence says, in numbers that can be shown to people.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::stats::{EpochCounts, ErrorReason, Kinds, Quantile};

/// What the judge makes of all evidence so far. Natural logarithms of e-values (ANALYSIS section 0).
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Evidence that the canary is worse than tolerated, all metrics and restarts together.
    pub harm_log_e: f64,
    /// Abort at or above this: ln(1/alpha).
    pub harm_bound: f64,
    /// The metric that contributes most to the harm.
    pub leading: Metric,
    /// Evidence of this step that the canary is within the promote margin: of all metrics that must be proven, the one
    /// with the least.
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
    /// What stands behind it.
    pub findings: Findings,
}

/// What stands behind an assessment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The metric with the least proof of those that must be proven to leave the step.
    pub gate: Metric,
    /// The canary's failures in this step by kind.
    pub step_kinds: Kinds,
    /// The canary's failures in the rollout by kind.
    pub total_kinds: Kinds,
    /// The route that speaks most against the canary, when routes are told apart.
    pub route: Option<RouteCounts>,
    /// The answers behind the harm, when latency leads.
    pub harm_answers: Option<SlowAnswers>,
    /// The answers behind the proof, when a quantile is the last to be proven.
    pub gate_answers: Option<SlowAnswers>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Error rate against concurrent stable.
    #[default]
    Errors,
    /// Error rate against a fixed limit.
    Guard,
    /// How often answers are later than this quantile of stable's.
    Latency(Quantile),
    /// Error rate on single routes against concurrent stable.
    Route,
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
    /// What stands behind the numbers.
    #[serde(flatten)]
    pub detail: Box<Detail>,
}

/// What stands behind a verdict's numbers. All of it may be missing, as it is in what older versions wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The canary's failures by kind, of the same time as `canary_failures`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<ErrorReason, u64>,
    /// The route that speaks most against the canary, when the verdict is on errors and routes are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteCounts>,
    /// The answers that a verdict on latency is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<SlowAnswers>,
}

/// One route's requests in a rollout that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Its host and path as configured.
    pub name: String,
    /// The canary's.
    pub canary_requests: u64,
    /// Those that the canary failed.
    pub canary_failures: u64,
    /// Stable's at the same time.
    pub stable_requests: u64,
    /// Those that stable failed.
    pub stable_failures: u64,
}

/// How many answers in a rollout were later than a quantile of stable's allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowAnswers {
    /// Which quantile.
    pub quantile: Quantile,
    /// From how many microseconds on a canary's answer is slow now; `None` while that is not known.
    pub canary_limit_micros: Option<u64>,
    /// From how many microseconds on stable's is.
    pub stable_limit_micros: Option<u64>,
    /// The canary's answers.
    pub canary: u64,
    /// Those that were slow.
    pub canary_slow: u64,
    /// Stable's answers at the same time.
    pub stable: u64,
    /// Those that were slow.
    pub stable_slow: u64,
}

impl Verdict {
    /// The canary's failures in words: `12 failures: 10 http_server_error, 2 connection_refused; 11 of them on /api`.
    pub fn failures(&self) -> String {
        let many = if self.canary_failures == 1 { "failure" } else { "failures" };
        let mut kinds: Vec<_> = self.detail.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| Reverse(**count));
        let kinds: Vec<_> =
            kinds.into_iter().map(|(reason, count)| format!("{count} {}", reason.as_str())).collect();
        let colon = if kinds.is_empty() { "" } else { ": " };
        let route = self.detail.route.as_ref().filter(|route| route.canary_failures > 0);
        let route = route.map(|route| format!("; {} of them on {}", route.canary_failures, route.name));
        format!("{} {many}{colon}{}{}", self.canary_failures, kinds.join(", "), route.unwrap_or_default())
    }

    /// The slow answers of a verdict on latency, in words: `canary 31 of 40 after 12.3 ms, stable 20 of 198 after 10.3 ms`.
    pub fn slow(&self) -> Option<String> {
        let slow = self.detail.answers?;
        #[allow(clippy::cast_precision_loss, reason = "a limit is below 100 s")]
        let after = |limit: Option<u64>| {
            limit.map(|micros| format!(" after {:.1} ms", micros as f64 / 1e3)).unwrap_or_default()
        };
        let (canary, stable) = (after(slow.canary_limit_micros), after(slow.stable_limit_micros));
        let SlowAnswers { canary: all, canary_slow, stable: all_stable, stable_slow, .. } = slow;
        Some(format!("canary {canary_slow} of {all}{canary}, stable {stable_slow} of {all_stable}{stable}"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"outcome":"Failed","rule":"guard: canary at most 5 %","value":640.0,"bound":100.0,
        "canary_requests":30,"canary_failures":12,"stable_requests":270,"stable_failures":0}"#;

    #[test]
    fn a_verdict_without_detail_is_read_and_written_as_it_was() {
        let verdict: Verdict = serde_json::from_str(OLD).expect("as older versions wrote it");
        assert_eq!((*verdict.detail).clone(), Detail::default());
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&serde_json::to_string(&verdict).expect("JSON")), value(OLD));
    }

    #[test]
    fn failures_are_told_by_kind_and_route() {
        let mut verdict: Verdict = serde_json::from_str(OLD).expect("a verdict");
        assert_eq!(verdict.failures(), "12 failures");
        let refused = ErrorReason::ConnectionRefused;
        verdict.detail.kinds = [(refused, 2), (ErrorReason::HttpServerError, 10)].into();
        assert_eq!(verdict.failures(), "12 failures: 10 http_server_error, 2 connection_refused");
        let name = "shop.example/api".to_owned();
        let route = RouteCounts {
            name,
            canary_requests: 15,
            canary_failures: 11,
            stable_requests: 99,
            stable_failures: 0,
        };
        verdict.detail.route = Some(route);
        assert!(verdict.failures().ends_with("; 11 of them on shop.example/api"), "{}", verdict.failures());
        let again: Verdict =
            serde_json::from_str(&serde_json::to_string(&verdict).expect("JSON")).expect("JSON");
        assert_eq!(again, verdict);
    }
}
