//! What to change about a step that is not left in time.

use std::time::Duration;

use super::release::Release;
use crate::domain::Weight;
use crate::domain::rollout::rehearsal::{Fate, Rehearsal, Stage};
use crate::domain::rollout::{PhaseName, Plan, Step};

/// The share of the rollouts that must leave a step within its `max_time`.
pub(super) const ENOUGH: f64 = 0.95;
/// Rehearsals of one proposal, and how many of them must leave the step.
const RUNS: u64 = 40;
const LEAVING: usize = 38;
/// In percent.
const WEIGHTS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0];
/// In percentage points.
const MARGINS: [f64; 6] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The smallest changes, each alone, with which the step is left in time; none when none of them does it.
pub(super) fn proposals(release: &Release, stage: &Stage) -> Vec<String> {
    if stage.phase != PhaseName::Stepping || stage.weight == Weight::ZERO || stage.weight == Weight::FULL {
        return Vec::new();
    }
    let mut proposals = Vec::new();
    let heavier = WEIGHTS.into_iter().filter_map(|percent| Weight::from_percent(percent).ok());
    let mut heavier = heavier.filter(|weight| *weight > stage.weight);
    if let Some(weight) = heavier.find(|weight| suffices(release, &release.plan, *weight)) {
        proposals.push(format!("a weight of {weight}"));
    }
    let margin = release.plan.analysis.promote_margin.absolute;
    let mut wider = MARGINS.into_iter().filter(|points| points / 100.0 > margin);
    let with = |points: &f64| {
        let mut plan = release.plan.clone();
        plan.analysis.promote_margin.absolute = points / 100.0;
        suffices(release, &plan, stage.weight)
    };
    if let Some(points) = wider.find(with) {
        proposals.push(format!("analysis.promote_margin.absolute = \"{points}%\""));
    }
    proposals
}

/// Whether a step of this weight is left in time by a healthy canary.
fn suffices(release: &Release, plan: &Plan, weight: Weight) -> bool {
    let step = |weight| Step { weight, pause: Duration::ZERO };
    let plan = Plan { steps: vec![step(weight), step(Weight::FULL)], ..plan.clone() };
    let traffic = release.traffic(release.load.stable_errors);
    let leaves = |run: &u64| {
        let mut rehearsal = Rehearsal::new(&plan, release.split, release.seed_of(*run));
        // One more second: what happens at max_time has happened then.
        let fate = rehearsal.run(traffic, plan.advance.max_time + Duration::from_secs(1));
        fate == Fate::Promoted || (fate == Fate::UnderWay && rehearsal.stages().len() > 1)
    };
    (0..RUNS).filter(leaves).count() >= LEAVING
}
