//! Health comes first: what becomes of a rollout when its versions get or lose their ready endpoints.

use super::super::{Action, Phase, Place, Presence, Reason, Rollout};
use super::Machine;
use crate::domain::Timestamp;

impl Machine {
    /// Notes which of the two versions has a ready endpoint, and says what follows.
    pub(super) fn readiness(&mut self, now: Timestamp, canary: bool, stable: bool) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        let mut actions = stable_readiness(rollout, now, stable);
        match (rollout.canary_presence, canary) {
            (Presence::Unknown, false) => rollout.canary_presence = Presence::Missing { since: now },
            (Presence::Missing { .. }, false) => {}
            (Presence::Ready, false) => {
                let seen = Presence::Missing { since: now };
                let reason = if rollout.waits_for_all() { Reason::NotAllReady } else { Reason::CanaryLost };
                actions.extend(rollout.see_canary(now, seen, reason));
            }
            // It may have waited for something else than the canary.
            (Presence::Ready, true) if matches!(rollout.phase, Phase::Waiting { .. }) => {
                actions.extend(self.canary_is_ready(now));
            }
            (Presence::Ready, true) => {}
            (Presence::Unknown | Presence::Missing { .. }, true) => actions.extend(self.canary_is_ready(now)),
        }
        actions
    }

    fn canary_is_ready(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        match rollout.phase {
            Phase::Waiting { .. } => {
                rollout.canary_presence = Presence::Ready;
                match rollout.stopped_before(now, 0) {
                    Some(waiting) => waiting,
                    None => self.enter(now, 0, Reason::CanaryReady.into()),
                }
            }
            Phase::Stepping { .. } | Phase::Baking { .. } | Phase::Paused { .. } => {
                let reason = match rollout.phase.place() {
                    _ if rollout.waits_for_all() => Reason::CanaryReady,
                    Place::Start => Reason::CanaryReady,
                    Place::Step(_) | Place::Weight | Place::Bake => Reason::CanaryBack,
                };
                rollout.see_canary(now, Presence::Ready, reason)
            }
        }
    }
}

/// Notes when stable's last ready endpoint goes, and when one is back. Before it has been seen ready since a start of
/// the program, its absence only means that nobody has looked.
fn stable_readiness(rollout: &mut Rollout, now: Timestamp, ready: bool) -> Vec<Action> {
    match (rollout.stable_presence, ready) {
        (Presence::Unknown | Presence::Missing { .. }, false) | (Presence::Ready, true) => Vec::new(),
        (Presence::Unknown, true) => {
            rollout.stable_presence = Presence::Ready;
            Vec::new()
        }
        (Presence::Ready, false) => {
            rollout.stable_presence = Presence::Missing { since: now };
            rollout.note(now, Reason::StableLost)
        }
        (Presence::Missing { .. }, true) => {
            rollout.stable_presence = Presence::Ready;
            rollout.note(now, Reason::StableBack)
        }
    }
}
