//! What becomes of a rollout when it is judged.

use std::time::Duration;

use super::super::{
    Action, Cause, Decision, End, Judgement, OnFailure, OnMaxTime, Outcome, Phase, Place, Promotion, Reason,
    Rollout,
};
use super::Machine;
use crate::domain::Timestamp;

impl Machine {
    /// Takes in what the judge makes of the evidence, and says what follows.
    pub(super) fn evidence(&mut self, now: Timestamp, judgement: Judgement) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        if judgement.is_failed() && judgement.decision == Decision::RollBack {
            return self.failed(now, judgement);
        }
        // Undecided or good: that matters only at a step, and only while the canary is there to be judged.
        let Phase::Stepping { step, since } = rollout.phase else { return Vec::new() };
        if !rollout.canary_ready() {
            return Vec::new();
        }
        let age = now - since;
        match decision(rollout, &judgement, age) {
            Decision::Hold => Vec::new(),
            Decision::RollBack | Decision::Pause if rollout.plan.analysis.dry_run => {
                rollout.note_once(now, cause(Reason::WouldTimeOut, judgement))
            }
            Decision::RollBack => self.end(now, End::Aborted, cause(Reason::MaxTime, judgement)),
            Decision::Pause => {
                let phase = Phase::Paused { place: Place::Step(step), since: now, why: Reason::MaxTime };
                rollout.go(now, phase, rollout.weight, cause(Reason::MaxTime, judgement))
            }
            Decision::Advance => match may_advance(rollout, judgement.verdict.outcome, age) {
                Some(reason) => self.leave(now, cause(reason, judgement)),
                None => Vec::new(),
            },
        }
    }

    /// Leaves the step, unless it is a dry run or hooks have to be asked before.
    fn leave(&mut self, now: Timestamp, cause: Cause) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        if rollout.plan.analysis.dry_run {
            return rollout.note_once(now, Cause { reason: Reason::WouldAdvance, ..cause });
        }
        let next = rollout.first_step_above(rollout.weight);
        match rollout.stopped_before(now, next) {
            Some(waiting) => waiting,
            None => self.enter(now, next, cause),
        }
    }

    fn failed(&mut self, now: Timestamp, judgement: Judgement) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        match (rollout.phase.place(), rollout.plan.on_failure) {
            // Nothing was sent to it yet: that evidence is about something else.
            (Place::Start, _) => Vec::new(),
            (Place::Step(_) | Place::Weight | Place::Bake, _) if rollout.plan.analysis.dry_run => {
                rollout.note_once(now, cause(Reason::WouldAbort, judgement))
            }
            (Place::Step(_) | Place::Weight | Place::Bake, OnFailure::Abort) => {
                let reason = match judgement.verdict.is_of_check() {
                    true => Reason::CheckFailed { rule: judgement.verdict.rule.clone() },
                    false => Reason::VerdictFailed,
                };
                self.end(now, End::Aborted, cause(reason, judgement))
            }
            (place @ (Place::Step(_) | Place::Weight | Place::Bake), OnFailure::Freeze) => {
                rollout.freeze(now, place, cause(Reason::VerdictFailed, judgement))
            }
        }
    }

    /// The bake's time is over: the canary becomes stable, unless it is a dry run or hooks have to be asked before.
    pub(super) fn bake_over(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        if rollout.plan.analysis.dry_run {
            return rollout.note_once(now, Reason::WouldPromote.into());
        }
        match rollout.stopped_before(now, rollout.plan.steps.len()) {
            Some(waiting) => waiting,
            None => self.end(now, End::Promoted, Reason::BakeOver.into()),
        }
    }
}

impl Rollout {
    /// Whether it stands still because the canary was found worse.
    pub(in super::super) fn is_frozen(&self) -> bool {
        matches!(self.phase, Phase::Paused { why: Reason::VerdictFailed, .. })
    }

    /// Whether the bake is over and something else has to happen before the canary becomes stable.
    pub(super) fn waits_at_the_end(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| !gate.open) || self.noted.contains(&Reason::WouldPromote)
    }

    /// Stops where it is, at the weight that it has; recorded once, also when an operator had paused it before.
    fn freeze(&mut self, now: Timestamp, place: Place, cause: Cause) -> Vec<Action> {
        if self.is_frozen() {
            return Vec::new();
        }
        let since = match self.phase {
            Phase::Paused { since, .. } => since,
            Phase::Waiting { .. } | Phase::Stepping { .. } | Phase::Baking { .. } => now,
        };
        self.go(now, Phase::Paused { place, since, why: Reason::VerdictFailed }, self.weight, cause)
    }
}

/// What the judge decided. A preview that was held back until `max_time` is undecided like any other step.
fn decision(rollout: &Rollout, judgement: &Judgement, age: Duration) -> Decision {
    let advance = rollout.plan.advance;
    let overdue = rollout.previews() && age >= advance.max_time.max(rollout.dwell());
    match (judgement.decision, advance.on_max_time) {
        (Decision::Hold, OnMaxTime::Abort) if overdue => Decision::RollBack,
        (Decision::Hold, OnMaxTime::Pause | OnMaxTime::AdvanceIfNoHarm) if overdue => Decision::Pause,
        (decided, _) => decided,
    }
}

/// Why a step of this age may be left, if it may. The judge looked at the times too; but a weight that rises too early
/// can't be taken back, so the machine does not take its word for it.
fn may_advance(rollout: &Rollout, outcome: Outcome, age: Duration) -> Option<Reason> {
    let advance = rollout.plan.advance;
    let old_enough = age >= rollout.dwell();
    match outcome {
        Outcome::Failed => None,
        // Without users there is nothing to prove: it is the plan that orders the switch.
        Outcome::Successful | Outcome::Inconclusive | Outcome::Error if rollout.previews() => {
            (old_enough && rollout.plan.promotion == Promotion::Auto).then_some(Reason::PreviewOver)
        }
        Outcome::Successful => old_enough.then_some(Reason::VerdictSuccessful),
        Outcome::Inconclusive => (advance.on_max_time == OnMaxTime::AdvanceIfNoHarm
            && age >= advance.max_time.max(rollout.dwell()))
        .then_some(Reason::NoHarm),
        Outcome::Error => None,
    }
}

/// A verdict that says nothing is no part of why a preview is over.
fn cause(reason: Reason, judgement: Judgement) -> Cause {
    let says_why = reason != Reason::PreviewOver || judgement.verdict.outcome == Outcome::Successful;
    Cause { reason, verdict: says_why.then_some(judgement.verdict) }
}
