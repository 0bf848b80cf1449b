//! Going back after a promotion, and what is remembered for it.

use super::super::{
    Action, End, Ended, Ordered, PhaseName, Place, Plan, Reason, Refused, Transition, Wanted,
};
use super::Machine;
use crate::domain::{Timestamp, VersionName, Weight};

/// So many versions that were stable before are remembered.
const FORMER: usize = 16;

impl Machine {
    /// The version that was stable before the last promotion; `None` when none is known, or all were gone back to.
    pub fn previous(&self) -> Option<&VersionName> {
        self.former.last()
    }

    /// Goes back after a promotion. The version that is left is not started again by a `release` that still names it.
    /// While baking, nothing is promoted yet: there it is an abort.
    pub(in super::super) fn undo(
        &mut self,
        now: Timestamp,
        to: Option<&VersionName>,
        warm: bool,
        (plan, salt): (&Plan, (u64, u64)),
    ) -> Result<Vec<Action>, Refused> {
        let ordered = Reason::Operator(Ordered::Undo);
        if let Some(rollout) = &self.rollout {
            let back = to.is_none_or(|to| *to == rollout.stable);
            if rollout.phase.place() == Place::Bake && back {
                return Ok(self.end(now, End::Aborted, ordered.into()));
            }
            let (stable, canary) = (rollout.stable.clone(), rollout.canary.clone());
            return Err(Refused::NotPromoted { stable, canary });
        }
        let stable = &self.stable;
        let Some(to) = to.or(self.previous()) else {
            return Err(Refused::NothingToUndo { stable: stable.clone() });
        };
        if to == stable {
            return Err(Refused::StableAlready { stable: stable.clone() });
        }
        let to = to.clone();
        if warm && self.former.contains(&to) {
            return Ok(self.switch_back(now, to, ordered));
        }
        let undone = self.wanted == self.stable;
        let actions = self.start(now, Wanted { release: &to, plan, salt }, ordered);
        self.aborted |= undone;
        if let Some(rollout) = &mut self.rollout {
            rollout.undoes = true;
        }
        Ok(actions)
    }

    /// Users have this version again, now and unjudged: they had it before.
    fn switch_back(&mut self, now: Timestamp, to: VersionName, reason: Reason) -> Vec<Action> {
        let number = self.next_number;
        let stable = self.stable.clone();
        self.next_number += 1;
        self.aborted |= self.wanted == stable;
        self.go_back(to.clone());
        self.aborted &= self.wanted != self.stable;
        self.last = Some(Ended {
            number,
            stable: stable.clone(),
            canary: to.clone(),
            steps: 0,
            step: 0,
            started: now,
            at: now,
            end: End::Promoted,
            reason: reason.clone(),
            verdict: None,
        });
        let transition = Transition {
            rollout: number,
            stable,
            canary: to,
            at: now,
            from: PhaseName::Idle,
            to: PhaseName::Promoted,
            step: 0,
            weight: Weight::FULL,
            reason,
            verdict: None,
        };
        vec![Action::Record(transition), Action::CloseEpoch]
    }

    /// This version becomes stable, and the one that was is remembered.
    pub(super) fn succeed(&mut self, version: VersionName) {
        if version == self.stable {
            return;
        }
        self.former.retain(|former| *former != version && *former != self.stable);
        self.former.push(std::mem::replace(&mut self.stable, version));
        let surplus = self.former.len().saturating_sub(FORMER);
        self.former.drain(..surplus);
    }

    /// This version is stable again; all that came after it is not worth going back to.
    pub(super) fn go_back(&mut self, version: VersionName) {
        if let Some(at) = self.former.iter().position(|former| *former == version) {
            self.former.truncate(at);
        }
        self.stable = version;
    }

    /// Whether users have a version again that they had before, and no rollout came in between.
    pub(super) fn went_back_from(&self, before: &Self) -> bool {
        self.rollout.is_none() && self.stable != before.stable && before.former.contains(&self.stable)
    }
}
