//! The points at which hooks are asked before the rollout goes on. Only going on waits for them: whatever stops it or
//! takes from the canary acts at once.

use super::super::{
    Action, End, Gate, GateAnswer, HookPoint, Otherwise, Phase, Place, Reason, Rollout, Strategy,
};
use super::Machine;
use crate::domain::Timestamp;

impl Machine {
    /// Notes what the hooks said. A yes moves nothing by itself: the rollout goes on when the evidence of that moment
    /// still allows it.
    pub(super) fn gate(&mut self, now: Timestamp, answer: GateAnswer) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        let Some(Gate { at, open: false }) = rollout.gate else { return Vec::new() };
        match answer {
            GateAnswer::Open | GateAnswer::Shut { then: Otherwise::Continue, .. } => {
                rollout.gate = Some(Gate { at, open: true });
                rollout.note(now, Reason::GateOpened { at })
            }
            GateAnswer::Shut { why, then: Otherwise::Pause } => {
                let why = Reason::HookRefused { at, why };
                let phase = Phase::Paused { place: rollout.phase.place(), since: now, why: why.clone() };
                rollout.go(now, phase, rollout.weight, why.into())
            }
            GateAnswer::Shut { why, then: Otherwise::Abort } => {
                self.end(now, End::Aborted, Reason::HookRefused { at, why }.into())
            }
        }
    }
}

impl Rollout {
    /// What to do instead of entering step `next` (or, behind the last, of promoting) while hooks have not said yes;
    /// `None` when nothing stands in the way.
    pub(super) fn stopped_before(&mut self, now: Timestamp, next: usize) -> Option<Vec<Action>> {
        let at = self.shut_before(next)?;
        let shut = Some(Gate { at, open: false });
        if self.gate == shut {
            return Some(Vec::new());
        }
        self.gate = shut;
        Some(self.note(now, Reason::GateReached { at, step: next + 1 }))
    }

    /// The first point before step `next` whose hooks have not said yes.
    pub(in super::super) fn shut_before(&self, next: usize) -> Option<HookPoint> {
        let mut points = self.points_before(next);
        points.retain(|point| self.plan.hooks.iter().any(|hook| hook.at == *point));
        let open = self.gate.as_ref().filter(|gate| gate.open);
        let passed = open.and_then(|gate| points.iter().position(|point| *point == gate.at));
        points.get(passed.map_or(0, |last| last + 1)).copied()
    }

    /// Where hooks may be asked on the way to step `next`, in order.
    fn points_before(&self, next: usize) -> Vec<HookPoint> {
        let place = self.phase.place();
        let rise = if place == Place::Start { HookPoint::Start } else { HookPoint::Step };
        let rises = next < self.plan.steps.len();
        let promotes = place == Place::Bake || (self.ends_with(next) && self.plan.bake.is_zero());
        rises.then_some(rise).into_iter().chain(promotes.then_some(HookPoint::Promote)).collect()
    }

    /// Whether nothing is judged step by step any more from `step` on: it is the last of a strategy with one switch, or
    /// behind the last.
    pub(super) fn ends_with(&self, step: usize) -> bool {
        let last = match self.plan.strategy {
            Strategy::Canary => self.plan.steps.len(),
            Strategy::BlueGreen | Strategy::AllAtOnce => self.plan.steps.len().saturating_sub(1),
        };
        step >= last
    }

    /// The program started again: whoever said yes is asked anew.
    pub(super) fn ask_again(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.open = false;
        }
    }
}
