//! A stable version of which nothing is left that could answer, while its canary is there: its requests go to the canary
//! until it is back, for every one of them would fail. What was decided stays: the weight, and that there was no verdict.

use std::time::Duration;

use tracing::warn;

use crate::control::control::Control;
use crate::control::service::{Release, ServiceState};
use crate::domain::rollout::{Decision, Judgement, Place, StepChange};
use crate::domain::{ServiceName, Timestamp, Weight};

impl Control {
    /// Notes when nothing is left of stable during a rollout, and when it is back.
    pub(crate) fn watch_stable(&mut self, name: &ServiceName, now: Timestamp) {
        let Some(service) = self.services.get_mut(name) else { return };
        let gone = service.stable_is_gone();
        let Some(release) = &mut service.release else { return };
        match (release.stable_gone, gone) {
            (None, true) => release.stable_gone = Some(now),
            (Some(_), false) => release.stable_gone = None,
            (None, false) | (Some(_), true) => return,
        }
        service.dirty = true;
        let Some(rollout) = release.machine.rollout() else { return };
        let (stable, canary) = (rollout.stable.clone(), rollout.canary.clone());
        let weight = release.machine.weight();
        let what = match (gone, rollout.phase.place()) {
            (true, Place::Bake) => format!("nothing of {stable} is left: there is no way back from {canary}"),
            (true, _) if weight > Weight::ZERO => format!(
                "nothing of {stable} is left: {canary} gets its requests until it is back; the rollout goes on, judged by \
                 {canary}'s own failures"
            ),
            (true, _) => format!("nothing of {stable} is left, and {canary} gets no requests yet"),
            (false, _) => format!("{stable} is back: {canary} gets {weight} again"),
        };
        if let Some(evidence) = release.evidence.as_mut().filter(|_| is_divided(weight)) {
            let weight = if gone { Weight::FULL } else { weight };
            evidence.open(weight, StepChange::New, &release.times, now);
        }
        warn!(service = %name, "{what}");
        self.note_containers(name, None, what);
    }
}

impl ServiceState {
    fn stable_is_gone(&self) -> bool {
        let Some(release) = &self.release else { return false };
        let Some(rollout) = release.machine.rollout() else { return false };
        if release.stable_gone.is_some() {
            return !self.ready(&rollout.stable);
        }
        // Before it was seen ready since a start of the program, only a version of which nothing is known is gone.
        self.versions.get(&rollout.stable).is_some_and(|stable| {
            stable.is_gone() && (rollout.stable_lost() || stable.spec.endpoints.is_empty())
        })
    }
}

impl Release {
    /// What the canary is given now: what was decided, or all of it while nothing is left of stable.
    pub(crate) fn weight_in_force(&self) -> Weight {
        self.in_force(self.machine.weight())
    }

    /// What becomes of a weight that was decided.
    pub(crate) fn in_force(&self, decided: Weight) -> Weight {
        let diverted = self.stable_gone.is_some() && is_divided(decided);
        if diverted { Weight::FULL } else { decided }
    }

    /// While nothing is left of stable, a verdict leads nowhere back; and nothing goes on before it has stayed so for as long
    /// as a step lasts: a stable version that is restarted must not be judged away.
    pub(crate) fn without_stable(&self, judgement: Judgement, now: Timestamp) -> Judgement {
        let Some(since) = self.stable_gone else { return judgement };
        let least = self.machine.rollout().map_or(Duration::ZERO, |it| it.plan.advance.min_time);
        let decision = match judgement.decision {
            Decision::RollBack => Decision::Hold,
            Decision::Advance if now - since < least => Decision::Hold,
            decision @ (Decision::Advance | Decision::Hold | Decision::Pause) => decision,
        };
        Judgement { decision, ..judgement }
    }
}

fn is_divided(weight: Weight) -> bool {
    weight > Weight::ZERO && weight < Weight::FULL
}
