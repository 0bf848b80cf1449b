//! What sets a rollout with one switch apart: all endpoints come first, and nobody judges a version without users.

use super::{Assessment, Decision, Outcome, Phase, Place, Rollout, StepProgress, Strategy, decide};
use crate::domain::{Timestamp, Weight};

impl Rollout {
    /// Whether every endpoint of the canary has to be ready, not just one: before users come to it all at once.
    pub fn waits_for_all(&self) -> bool {
        self.plan.strategy != Strategy::Canary && self.weight == Weight::ZERO
    }

    /// Whether the canary is shown to those who ask for it, and to nobody else; the preview's time runs.
    pub fn previews(&self) -> bool {
        matches!(self.phase, Phase::Stepping { .. }) && self.is_at_preview()
    }

    /// Whether it stands at the preview, paused or not.
    pub(super) fn is_at_preview(&self) -> bool {
        let step = matches!(self.phase.place(), Place::Step(_));
        step && self.plan.strategy == Strategy::BlueGreen && self.weight == Weight::ZERO
    }

    /// What an assessment means where the rollout stands ([`decide`]). A preview has no users whose requests could prove
    /// anything: it goes on unless there is harm from before. What is looked at beside the traffic may still hold it.
    pub fn decide(&self, now: Timestamp, assessment: &Assessment) -> Decision {
        let progress = StepProgress { age: self.age(now), pause: self.step_pause() };
        let harmful = || assessment.verdict(&self.plan.analysis).outcome == Outcome::Failed;
        if self.previews() && !harmful() {
            return Decision::Advance;
        }
        decide(assessment, progress, &self.plan.advance)
    }
}
