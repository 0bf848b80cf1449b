//! The container engine, as far as it can be asked: found, lost and found again is an event, and each is said once.

use tracing::{info, warn};

use super::control::Control;
use super::journal::{Entry, Fact};
use crate::domain::container::Engine;

impl Control {
    /// Notes whether the engine can be asked, where that is another thing than before `now` was heard. Attempts that fail for
    /// one reason and then for another are one loss.
    pub(crate) fn note_engine(&mut self, now: &Engine) {
        let before = self.sighting.as_ref().map(|sighting| &sighting.engine);
        if before.is_some_and(|before| same(before, now)) {
            return;
        }
        let (connected, detail) = match now {
            Engine::Connected { version } => {
                info!(version, "container engine found");
                (true, version)
            }
            Engine::Lost { why, .. } => {
                warn!(why, "container engine lost: its containers are taken to be as they were seen last");
                (false, why)
            }
        };
        let fact = Fact::Engine { connected, detail: detail.clone() };
        let at = self.around.clock.now();
        self.outbox.put(Entry { at, service: None, rollout: None, fact, by: None });
        self.write_notes();
    }
}

fn same(one: &Engine, other: &Engine) -> bool {
    match (one, other) {
        (Engine::Connected { version: one }, Engine::Connected { version: other }) => one == other,
        (Engine::Lost { .. }, Engine::Lost { .. }) => true,
        (Engine::Connected { .. }, Engine::Lost { .. }) | (Engine::Lost { .. }, Engine::Connected { .. }) => {
            false
        }
    }
}
