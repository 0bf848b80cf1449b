//! What follows from an assessment: what to do, and what to say.

use std::time::Duration;

use super::{Advance, Analysis, Assessment, Detail, Metric, OnMaxTime, Outcome, Verdict};
use crate::domain::stats::{EpochCounts, Quantile, odds};

/// What to do with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Stay at this weight and go on looking.
    Hold,
    /// Leave the step.
    Advance,
    /// Undecided for too long: stay at this weight until an operator says otherwise.
    Pause,
    /// Give the canary nothing any more: it is worse than tolerated, or `on_max_time` says so.
    RollBack,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepProgress {
    /// Time since it began.
    pub age: Duration,
    /// How long to stay at the least, on top of what the plan says for every step.
    pub pause: Duration,
}

/// One failure or slow answer alone never aborts, whatever alpha is.
const BAD_EVENTS: u64 = 2;
/// ln 5: no advance while the evidence of harm is at or above this.
const SUSPICIOUS: f64 = 1.609_437_912_434_100_4;
/// The least number of canary requests for [`OnMaxTime::AdvanceIfNoHarm`].
const NO_HARM_REQUESTS: u64 = 50;

/// Decides about a step (ANALYSIS section 7).
///
/// - Proven harm ends it at any time.
/// - While stable fails too it holds: no age, no policy and no evidence advances or ends it.
/// - It is left when all minimums are met, nothing is suspicious and the canary is proven within the promote margin.
///   With all traffic on the canary there is nothing to compare with, and the guard alone must be silent.
/// - Without canary requests it is never left.
/// - Undecided at `max_time` (and not before its own pause is over): what `on_max_time` says.
pub fn decide(assessment: &Assessment, step: StepProgress, advance: &Advance) -> Decision {
    if assessment.harmful() {
        return Decision::RollBack;
    }
    if assessment.stable_failing {
        return Decision::Hold;
    }
    let requests = assessment.step.canary.completed;
    let ready = step.age >= advance.min_time.max(step.pause)
        && requests >= advance.min_requests.max(1)
        && !assessment.suspicious();
    if ready && (assessment.proven() || !assessment.comparable) {
        return Decision::Advance;
    }
    if step.age < advance.max_time.max(step.pause) {
        return Decision::Hold;
    }
    let harmless = assessment.harm_log_e < 0.0
        && assessment.relaxed_log_e >= assessment.promote_bound
        && requests >= NO_HARM_REQUESTS;
    match advance.on_max_time {
        OnMaxTime::Abort => Decision::RollBack,
        OnMaxTime::AdvanceIfNoHarm if ready && harmless => Decision::Advance,
        OnMaxTime::AdvanceIfNoHarm | OnMaxTime::Pause => Decision::Pause,
    }
}

impl Assessment {
    /// The judgement in words and numbers. `analysis` must be the settings that it was made with.
    pub fn verdict(&self, analysis: &Analysis) -> Verdict {
        if self.harmful() {
            return self.against(Outcome::Failed, analysis, self.total);
        }
        if self.step.canary.completed == 0 {
            let rule = match self.step.canary.routed {
                0 => "no data: no request was sent to the canary in this step".to_owned(),
                sent => format!("no data: {sent} sent to the canary in this step, none has ended"),
            };
            return self.no_judgement(analysis, rule);
        }
        if self.stable_failing {
            let limit = percent(guard_limit(analysis));
            let rule = format!("stable is failing too: more than {limit} of its requests");
            return self.no_judgement(analysis, rule);
        }
        if self.suspicious() {
            return self.against(Outcome::Inconclusive, analysis, self.step);
        }
        if !self.comparable {
            return self.against(Outcome::Successful, analysis, self.step);
        }
        let outcome = if self.proven() { Outcome::Successful } else { Outcome::Inconclusive };
        let margin = &analysis.promote_margin;
        let rule = match self.findings.gate {
            Metric::Latency(quantile) => promotable(quantile),
            Metric::Errors | Metric::Guard | Metric::Route => {
                format!("errors: canary proven below {}", rise(margin.relative, margin.absolute))
            }
        };
        let detail = Detail { answers: self.findings.gate_answers, ..self.step_detail() };
        Verdict {
            detail: Box::new(detail),
            ..says(outcome, rule, (self.promote_log_e, margin.alpha), self.step)
        }
    }

    /// Whether it is proven that the canary is worse than tolerated.
    fn harmful(&self) -> bool {
        let bad_events = match self.leading {
            Metric::Errors | Metric::Guard | Metric::Route => self.total.canary.failed,
            Metric::Latency(_) => self.findings.harm_answers.map_or(0, |answers| answers.canary_slow),
        };
        self.harm_log_e >= self.harm_bound && bad_events >= BAD_EVENTS
    }

    fn suspicious(&self) -> bool {
        self.harm_log_e >= SUSPICIOUS
    }

    /// Whether it is proven that the canary is no worse than the promote margin.
    fn proven(&self) -> bool {
        self.comparable && self.promote_log_e >= self.promote_bound
    }

    /// By the rule that would end the rollout.
    fn against(&self, outcome: Outcome, analysis: &Analysis, counts: EpochCounts) -> Verdict {
        let leading = if self.comparable || self.harmful() { self.leading } else { Metric::Guard };
        let tolerated = rise(analysis.tolerated_rise.relative, analysis.tolerated_rise.absolute);
        let rule = match leading {
            Metric::Errors => format!("errors: canary at most {tolerated}"),
            Metric::Guard => format!("guard: canary at most {}", percent(guard_limit(analysis))),
            Metric::Latency(quantile) => self.slow_rule(quantile, analysis),
            Metric::Route => {
                let route = self.findings.route.as_ref().map_or("?", |route| route.name.as_str());
                format!("route {route}: canary at most {tolerated}")
            }
        };
        let kinds =
            if outcome == Outcome::Failed { self.findings.total_kinds } else { self.findings.step_kinds };
        let detail = Detail {
            kinds: kinds.occurred(),
            route: self.findings.route.clone().filter(|_| !matches!(leading, Metric::Latency(_))),
            answers: self.findings.harm_answers.filter(|_| matches!(leading, Metric::Latency(_))),
        };
        Verdict { detail: Box::new(detail), ..says(outcome, rule, (self.harm_log_e, analysis.alpha), counts) }
    }

    fn slow_rule(&self, quantile: Quantile, analysis: &Analysis) -> String {
        let tolerated = analysis.latency.as_ref().map_or(1.0, |latency| latency.tolerated);
        let limit = self.findings.harm_answers.and_then(|answers| answers.canary_limit_micros);
        let limit = limit.map_or(String::new(), |micros| format!(" (now {})", millis(micros)));
        let name = quantile.as_str();
        format!("latency {name}: canary at most {tolerated} × stable{limit}")
    }

    fn no_judgement(&self, analysis: &Analysis, rule: String) -> Verdict {
        let evidence = (self.promote_log_e, analysis.promote_margin.alpha);
        Verdict { detail: Box::new(self.step_detail()), ..says(Outcome::Error, rule, evidence, self.step) }
    }

    fn step_detail(&self) -> Detail {
        Detail { kinds: self.findings.step_kinds.occurred(), ..Detail::default() }
    }
}

/// A verdict whose evidence decides at odds of `1/alpha : 1`.
fn says(outcome: Outcome, rule: String, (log_e, alpha): (f64, f64), counts: EpochCounts) -> Verdict {
    Verdict {
        outcome,
        rule,
        value: odds(log_e),
        bound: alpha.recip(),
        canary_requests: counts.canary.completed,
        canary_failures: counts.canary.failed,
        stable_requests: counts.stable.completed,
        stable_failures: counts.stable.failed,
        detail: Box::default(),
    }
}

fn promotable(quantile: Quantile) -> String {
    let margin = quantile.promotable();
    let bound = rise(margin.relative, margin.absolute);
    format!("latency {}: canary proven late less often than {bound}", quantile.as_str())
}

/// The share of failures that the guard allows: as configured, else 5 %.
pub(super) fn guard_limit(analysis: &Analysis) -> f64 {
    analysis.max_error_rate.unwrap_or(0.05)
}

fn rise(relative: f64, absolute: f64) -> String {
    format!("{relative} × stable + {}", percent(absolute))
}

/// Microseconds as people write them.
fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// A fraction as people write it, exact to a ten-thousandth of a percent.
fn percent(fraction: f64) -> String {
    format!("{} %", (fraction * 1e6).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::Findings;
    use crate::domain::stats::ArmCounts;

    fn counts(completed: u64, failed: u64) -> EpochCounts {
        let arm = |completed, failed| ArmCounts { routed: completed, completed, failed };
        EpochCounts { canary: arm(completed, failed), stable: arm(9 * completed, 0) }
    }

    /// A canary that meets all that is asked of it.
    fn proven() -> Assessment {
        Assessment {
            harm_log_e: -2.0,
            harm_bound: 100f64.ln(),
            leading: Metric::Errors,
            promote_log_e: 4.0,
            promote_bound: 20f64.ln(),
            relaxed_log_e: 9.0,
            comparable: true,
            stable_failing: false,
            split_suspect: false,
            step: counts(900, 0),
            total: counts(1000, 5),
            findings: Findings::default(),
        }
    }

    fn at(seconds: u64) -> StepProgress {
        StepProgress { age: Duration::from_secs(seconds), pause: Duration::ZERO }
    }

    fn decided(assessment: Assessment, seconds: u64) -> Decision {
        decide(&assessment, at(seconds), &Advance::default())
    }

    #[test]
    fn a_proven_canary_advances() {
        assert_eq!(decided(proven(), 30), Decision::Advance);
    }

    #[test]
    fn a_steps_own_pause_is_waited_for_even_beyond_the_maximum() {
        let pause = Duration::from_secs(7200);
        let advance = Advance::default();
        let step = |age| StepProgress { age: Duration::from_secs(age), pause };
        assert_eq!(decide(&proven(), step(7199), &advance), Decision::Hold);
        assert_eq!(decide(&proven(), step(7200), &advance), Decision::Advance);
    }

    #[test]
    fn no_data_never_advances() {
        for on_max_time in [OnMaxTime::Pause, OnMaxTime::Abort, OnMaxTime::AdvanceIfNoHarm] {
            for (comparable, age) in [(true, 60), (false, 60), (true, 9999), (false, 9999)] {
                let assessment = Assessment { step: EpochCounts::default(), comparable, ..proven() };
                let advance = Advance { min_requests: 0, on_max_time, ..Advance::default() };
                assert_ne!(decide(&assessment, at(age), &advance), Decision::Advance, "{comparable} {age}");
                assert_eq!(assessment.verdict(&Analysis::default()).outcome, Outcome::Error);
            }
        }
    }

    #[test]
    fn a_failing_stable_holds_whatever_the_age_and_policy() {
        for on_max_time in [OnMaxTime::Pause, OnMaxTime::Abort, OnMaxTime::AdvanceIfNoHarm] {
            let assessment = Assessment { stable_failing: true, ..proven() };
            let advance = Advance { on_max_time, ..Advance::default() };
            assert_eq!(decide(&assessment, at(99_999), &advance), Decision::Hold);
        }
    }

    #[test]
    fn harm_ends_a_step_even_while_stable_fails() {
        let assessment = Assessment { stable_failing: true, harm_log_e: 5.0, ..proven() };
        assert_eq!(decided(assessment, 0), Decision::RollBack);
    }

    #[test]
    fn one_failure_alone_never_ends_a_rollout() {
        let assessment = Assessment { harm_log_e: 50.0, total: counts(1, 1), ..proven() };
        assert_eq!(decided(assessment.clone(), 60), Decision::Hold);
        assert_eq!(assessment.verdict(&Analysis::default()).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn with_nothing_to_compare_the_minimums_and_the_guard_decide() {
        let alone = Assessment { comparable: false, promote_log_e: 0.0, ..proven() };
        assert_eq!(decided(alone.clone(), 29), Decision::Hold);
        assert_eq!(decided(alone.clone(), 30), Decision::Advance);
        assert_eq!(decided(Assessment { step: counts(49, 0), ..alone.clone() }, 60), Decision::Hold);
        assert_eq!(decided(Assessment { harm_log_e: 1.7, ..alone }, 60), Decision::Hold);
    }

    #[test]
    fn a_verdict_says_its_rule_and_numbers() {
        let analysis = Analysis { max_error_rate: Some(0.07), ..Analysis::default() };
        let harm = Assessment { harm_log_e: 1e5, ..proven() };
        let table = [
            (proven(), Outcome::Successful, "errors: canary proven below 1.25 × stable + 0.5 %", 20.0, 900),
            (harm.clone(), Outcome::Failed, "errors: canary at most 1.1 × stable + 0.02 %", 100.0, 1000),
            (
                Assessment { leading: Metric::Guard, ..harm },
                Outcome::Failed,
                "guard: canary at most 7 %",
                100.0,
                1000,
            ),
            (
                Assessment { promote_log_e: 2.9, ..proven() },
                Outcome::Inconclusive,
                "errors: canary proven below 1.25 × stable + 0.5 %",
                20.0,
                900,
            ),
            (
                Assessment { harm_log_e: 1.7, ..proven() },
                Outcome::Inconclusive,
                "errors: canary at most 1.1 × stable + 0.02 %",
                100.0,
                900,
            ),
            (
                Assessment { stable_failing: true, ..proven() },
                Outcome::Error,
                "stable is failing too: more than 7 % of its requests",
                20.0,
                900,
            ),
            (
                Assessment { comparable: false, ..proven() },
                Outcome::Successful,
                "guard: canary at most 7 %",
                100.0,
                900,
            ),
        ];
        for (assessment, outcome, rule, bound, requests) in table {
            let verdict = assessment.verdict(&analysis);
            assert_eq!((verdict.outcome, verdict.rule.as_str()), (outcome, rule));
            assert!((verdict.bound - bound).abs() < 1e-9, "{verdict:?}");
            assert!((0.0..=1e12).contains(&verdict.value), "{verdict:?}");
            assert_eq!(verdict.canary_requests, requests, "{verdict:?}");
        }
    }
}
