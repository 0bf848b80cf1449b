//! What operators can tell the machine to do.

use super::{
    Action, End, Machine, Operator, Ordered, Phase, Place, Plan, Presence, Reason, Refused, Rollout,
    StepChange, Wanted,
};
use crate::domain::{Timestamp, VersionName, Weight};

impl Machine {
    /// Does what an operator says, and says what follows, as [`Machine::on`] does.
    ///
    /// # Errors
    /// When the state does not allow it: what, and what to do instead. Nothing changed then.
    pub fn operator(&mut self, now: Timestamp, command: Operator<'_>) -> Result<Vec<Action>, Refused> {
        let frozen = self.rollout().is_some_and(Rollout::is_frozen);
        let actions = match command {
            Operator::Promote => self.promote(now),
            Operator::PromoteFull => self.promote_full(now),
            Operator::Abort => self.abort(now),
            Operator::Pause => self.pause(now),
            Operator::Resume => self.resume(now),
            Operator::SetWeight(weight) => self.set_weight(now, weight),
            Operator::Retry { version, plan, salt } => self.retry(now, version, plan, salt),
            Operator::Undo { to, warm, plan, salt } => self.undo(now, to, warm, (plan, salt)),
        }?;
        Ok(if frozen { self.afresh(actions) } else { actions })
    }

    /// An operator has seen the failed verdict and goes on all the same: with the evidence behind it, the next look would
    /// freeze the rollout again. So the evidence starts anew; the chance of a wrong verdict (alpha) is then that of a
    /// rollout that starts here.
    fn afresh(&self, mut actions: Vec<Action>) -> Vec<Action> {
        let Some(rollout) = self.rollout() else { return actions };
        actions.retain(|action| !matches!(action, Action::OpenEpoch { .. }));
        let epoch = Action::OpenEpoch { weight: rollout.weight_now(), step: StepChange::New };
        actions.extend([Action::CloseEpoch, epoch]);
        actions
    }

    fn promote(&mut self, now: Timestamp) -> Result<Vec<Action>, Refused> {
        self.require_ready_canary()?;
        let rollout = self.under_way()?;
        let next = match rollout.phase.place() {
            Place::Start => Some(0),
            Place::Step(_) | Place::Weight => Some(rollout.first_step_above(rollout.weight)),
            Place::Bake => None,
        };
        let asked = rollout.shut_before(next.unwrap_or(rollout.plan.steps.len())).is_none();
        let ordered = if asked { Ordered::Promote } else { Ordered::PromoteUnasked };
        let cause = Reason::Operator(ordered).into();
        Ok(match next {
            Some(step) => self.enter(now, step, cause),
            None => self.end(now, End::Promoted, cause),
        })
    }

    /// Refused without a ready canary: "full" is about judging and stepping. It can't make endpoints ready, and a
    /// stable version without one is an outage.
    fn promote_full(&mut self, now: Timestamp) -> Result<Vec<Action>, Refused> {
        self.require_ready_canary()?;
        Ok(self.end(now, End::Promoted, Reason::Operator(Ordered::PromoteFull).into()))
    }

    fn abort(&mut self, now: Timestamp) -> Result<Vec<Action>, Refused> {
        self.under_way()?;
        Ok(self.end(now, End::Aborted, Reason::Operator(Ordered::Abort).into()))
    }

    fn pause(&mut self, now: Timestamp) -> Result<Vec<Action>, Refused> {
        let rollout = self.under_way()?;
        let place = match rollout.phase {
            Phase::Paused { .. } => return Err(Refused::AlreadyPaused { weight: rollout.weight }),
            Phase::Waiting { .. } | Phase::Stepping { .. } | Phase::Baking { .. } => rollout.phase.place(),
        };
        let why = Reason::Operator(Ordered::Pause);
        let phase = Phase::Paused { place, since: now, why: why.clone() };
        Ok(rollout.go(now, phase, rollout.weight, why.into()))
    }

    /// Goes on where it was paused. A weight set by hand stays until the evidence lets it rise to the first step above;
    /// at 0 there would never be any, so from there it goes to the first step. What is timed starts anew.
    fn resume(&mut self, now: Timestamp) -> Result<Vec<Action>, Refused> {
        let rollout = self.under_way()?;
        let Phase::Paused { place, .. } = rollout.phase else {
            return Err(Refused::NotPaused { phase: rollout.phase.name() });
        };
        if !rollout.canary_ready() {
            rollout.canary_presence = Presence::Missing { since: now };
        }
        let cause = Reason::Operator(Ordered::Resume).into();
        Ok(match place {
            // Hooks that said no, or were not waited for, are asked again.
            Place::Start if !rollout.canary_ready() || rollout.shut_before(0).is_some() => {
                rollout.go(now, Phase::Waiting { since: now }, rollout.weight, cause)
            }
            Place::Start => self.enter(now, 0, cause),
            Place::Step(step) => rollout.go(now, Phase::Stepping { step, since: now }, rollout.weight, cause),
            Place::Weight if rollout.weight == Weight::ZERO => self.enter(now, 0, cause),
            Place::Weight => {
                let step = rollout.first_step_above(rollout.weight).saturating_sub(1);
                rollout.go(now, Phase::Stepping { step, since: now }, rollout.weight, cause)
            }
            Place::Bake => rollout.go(now, Phase::Baking { since: now }, rollout.weight, cause),
        })
    }

    fn set_weight(&mut self, now: Timestamp, weight: Weight) -> Result<Vec<Action>, Refused> {
        let rollout = self.under_way()?;
        let why = Reason::Operator(Ordered::SetWeight);
        let phase = Phase::Paused { place: Place::Weight, since: now, why: why.clone() };
        Ok(rollout.go(now, phase, weight, why.into()))
    }

    fn retry(
        &mut self,
        now: Timestamp,
        version: Option<&VersionName>,
        plan: &Plan,
        salt: (u64, u64),
    ) -> Result<Vec<Action>, Refused> {
        if let Some(rollout) = self.rollout() {
            return Err(Refused::UnderWay { canary: rollout.canary.clone() });
        }
        let wanted = self.wanted_release().clone();
        if let Some(version) = version.filter(|version| **version != wanted) {
            return Err(Refused::NotWanted { version: version.clone(), wanted });
        }
        if self.aborted().is_none() {
            return Err(Refused::NotAborted { wanted });
        }
        let wanted = Wanted { release: &wanted, plan, salt };
        Ok(self.start(now, wanted, Reason::Operator(Ordered::Retry)))
    }

    fn require_ready_canary(&mut self) -> Result<(), Refused> {
        let rollout = self.under_way()?;
        if rollout.canary_ready() {
            return Ok(());
        }
        let (canary, strategy) = (rollout.canary.clone(), rollout.plan.strategy);
        Err(if rollout.waits_for_all() {
            Refused::NotAllReady { canary, strategy }
        } else {
            Refused::CanaryNotReady { canary }
        })
    }
}
