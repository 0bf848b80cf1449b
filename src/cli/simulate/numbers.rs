//! What came out, in numbers: the JSON is this, and the tables are made of it. A contract: add, never rename.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::release::{Operator, Release, Run};
use super::stuck;
use crate::domain::rollout::rehearsal::{Condition, Fate, Stage};
use crate::domain::rollout::{OnFailure, PhaseName, Reason, SplitMode};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    pub(super) service: String,
    pub(super) requests_per_second: f64,
    /// A share: 0 to 1, like all shares here.
    pub(super) stable_errors: f64,
    /// Where these two come from.
    pub(super) source: String,
    pub(super) runs: u32,
    pub(super) seed: u64,
    pub(super) healthy: Healthy,
    pub(super) canaries: Vec<Canary>,
    /// What was taken for granted.
    pub(super) notes: Vec<String>,
}

/// A canary that fails as often as stable.
#[derive(Debug, Serialize)]
pub(super) struct Healthy {
    /// The share of the rollouts that ended so without an operator.
    pub(super) promoted: f64,
    pub(super) aborted: f64,
    /// Until the promotion; an operator goes on where it pauses.
    pub(super) seconds: Option<Spread>,
    pub(super) stages: Vec<Step>,
}

/// A stretch of the rollout at one weight.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// From 1; 0 before the first.
    pub(super) step: usize,
    pub(super) phase: &'static str,
    /// In percent.
    pub(super) weight: f64,
    /// The share of the rollouts that got here and left by themselves.
    pub(super) left: f64,
    /// Of those.
    pub(super) seconds: Option<Spread>,
    /// Of those: canary requests until it was left.
    pub(super) canary_requests: Option<Spread>,
    /// What was waited for longest: `min_time`, `pause`, `min_requests`, `evidence`, `bake` or `nothing`.
    pub(super) waits_for: &'static str,
    /// What to change when too few leave it in time.
    pub(super) proposals: Vec<String>,
}

/// A canary that fails this share of its requests.
#[derive(Debug, Serialize)]
pub(super) struct Canary {
    pub(super) errors: f64,
    /// The share of the rollouts in which it was found worse: aborted, or frozen where the plan says so.
    pub(super) aborted: f64,
    pub(super) promoted: f64,
    /// Undecided: it waits for an operator, or was aborted at `max_time`.
    pub(super) undecided: f64,
    /// From the first canary request to the abort.
    pub(super) seconds: Option<Spread>,
    /// Failed canary requests until the abort: users see them when nothing is rescued.
    pub(super) failed_requests: Option<Spread>,
    /// Those that users see although all of them may be repeated on stable: beyond the budget.
    pub(super) failed_requests_with_rescue: Option<Spread>,
}

/// The middle of many values, and what 95 of 100 do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) p95: f64,
}

impl Numbers {
    /// Rehearses.
    pub(super) fn of(release: &Release, canary_errors: &[f64]) -> Self {
        let canaries = canary_errors.iter().map(|errors| Canary::of(release, *errors)).collect();
        Self {
            service: release.service.clone(),
            requests_per_second: release.load.per_second,
            stable_errors: release.load.stable_errors,
            source: release.load.source.clone(),
            runs: release.runs,
            seed: release.seed,
            healthy: Healthy::of(release),
            canaries,
            notes: notes(release),
        }
    }
}

impl Healthy {
    fn of(release: &Release) -> Self {
        let runs = release.rehearse(release.load.stable_errors, Operator::Promotes);
        let part =
            |wanted: &dyn Fn(&Run) -> bool| share(runs.iter().filter(|run| wanted(run)).count(), runs.len());
        let promoted = |run: &Run| run.fate == Fate::Promoted;
        Self {
            promoted: part(&|run| promoted(run) && run.stuck.is_empty()),
            aborted: part(&|run| matches!(run.fate, Fate::Aborted(_))),
            seconds: Spread::of_times(runs.iter().filter(|run| promoted(run)).map(|run| run.time)),
            stages: steps(release, &runs),
        }
    }
}

/// The stages that any run went through, in order.
fn steps(release: &Release, runs: &[Run]) -> Vec<Step> {
    let mut known: BTreeMap<_, Vec<Passed>> = BTreeMap::new();
    for run in runs {
        for (place, stage) in run.stages.iter().enumerate() {
            // The last stage of a rollout that did not end well was not left.
            let ended = place + 1 == run.stages.len() && run.fate != Fate::Promoted;
            let left = !run.stuck.contains(&place) && !ended;
            let key = (stage.step, stage.phase == PhaseName::Baking, stage.weight);
            known.entry(key).or_default().push(Passed { stage: *stage, left });
        }
    }
    known.into_values().map(|passed| Step::of(release, &passed)).collect()
}

/// A stage of one run, and whether it was left without an operator.
struct Passed {
    stage: Stage,
    left: bool,
}

impl Step {
    fn of(release: &Release, passed: &[Passed]) -> Self {
        let left = || passed.iter().filter(|passed| passed.left).map(|passed| &passed.stage);
        let part = share(left().count(), passed.len());
        let mut waited: BTreeMap<Condition, usize> = BTreeMap::new();
        for stage in passed {
            *waited.entry(stage.stage.held_by).or_default() += 1;
        }
        let waits_for = waited.into_iter().max_by_key(|(_, times)| *times);
        let waits_for = waits_for.map_or(Condition::Other, |(condition, _)| condition);
        let stage = &passed.first().expect("a stage is known by a run that was in it").stage;
        Self {
            step: stage.step,
            phase: stage.phase.as_str(),
            weight: stage.weight.percent(),
            left: part,
            seconds: Spread::of_times(left().map(|stage| stage.time)),
            canary_requests: Spread::of_counts(left().map(|stage| stage.counts.canary.completed)),
            waits_for: word(waits_for),
            proposals: if part < stuck::ENOUGH { stuck::proposals(release, stage) } else { Vec::new() },
        }
    }
}

impl Canary {
    fn of(release: &Release, errors: f64) -> Self {
        let runs = release.rehearse(errors, Operator::Away);
        let found = |run: &&Run| {
            matches!(run.fate, Fate::Aborted(Reason::VerdictFailed) | Fate::Paused(Reason::VerdictFailed))
        };
        let aborted = || runs.iter().filter(found);
        let promoted = share(runs.iter().filter(|run| run.fate == Fate::Promoted).count(), runs.len());
        let part = share(aborted().count(), runs.len());
        Self {
            errors,
            aborted: part,
            promoted,
            undecided: (1.0 - part - promoted).max(0.0),
            seconds: Spread::of_times(aborted().map(Run::with_users)),
            failed_requests: Spread::of_counts(aborted().map(|run| run.failures)),
            failed_requests_with_rescue: Spread::of_counts(aborted().map(|run| run.unrescued)),
        }
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let at =
            |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { median: at(50)?, p95: at(95)? })
    }

    fn of_times(times: impl Iterator<Item = Duration>) -> Option<Self> {
        Self::of(times.map(|time| time.as_secs_f64()).collect())
    }

    fn of_counts(counts: impl Iterator<Item = u64>) -> Option<Self> {
        #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
        Self::of(counts.map(|count| count as f64).collect())
    }
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::MinTime => "min_time",
        Condition::Pause => "pause",
        Condition::MinRequests => "min_requests",
        Condition::Evidence => "evidence",
        Condition::Bake => "bake",
        Condition::Other => "nothing",
    }
}

fn share(part: usize, whole: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53 runs")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

fn notes(release: &Release) -> Vec<String> {
    let mut notes = vec![
        "the canary is taken to be as fast as stable, all its endpoints to be ready, hooks and checks to agree at once"
            .to_owned(),
        rescue(&release.rescued),
    ];
    if release.split == SplitMode::Realised {
        notes.push(
            "clients stay with a version, so only the first request of each client and minute is evidence: the rate is \
             that of clients (clients a minute / 60), and each failure stands for all requests of that client's minute"
                .to_owned(),
        );
    }
    if release.plan.on_failure == OnFailure::Freeze {
        notes.push(
            "on_failure = \"freeze\": aborted means frozen here; users get the canary on until an operator decides"
                .to_owned(),
        );
    }
    if release.plan.analysis.dry_run {
        notes.push("dry_run = true is left out: this is what would happen without it".to_owned());
    }
    notes
}

fn rescue(methods: &str) -> String {
    match methods {
        "" => "nothing is rescued: rescue.methods is empty".to_owned(),
        methods => format!(
            "with rescue: of requests that may be repeated on stable ({methods}, as far as their bodies fit); of others users \
             see as many failures as without"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_what_95_of_100_do_not_exceed() {
        let spread = |values: u64| Spread::of_counts((1..=values).rev());
        assert_eq!(spread(100), Some(Spread { median: 50.0, p95: 95.0 }));
        assert_eq!(spread(3), Some(Spread { median: 2.0, p95: 3.0 }));
        assert_eq!(spread(1), Some(Spread { median: 1.0, p95: 1.0 }));
        assert_eq!(spread(0), None);
    }
}
