//! A service that only containers name stays for a while when the last of them is removed: 503, and then no more. Whoever
//! replaces containers removes the old ones first.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::info;

use crate::control::control::Control;
use crate::domain::ServiceName;

/// How long a service stays without any container.
pub(super) const LINGERS: Duration = Duration::from_secs(600);

impl Control {
    /// Notes which services have lost their last container, and which have one again.
    pub(super) fn note_lingering(&mut self, lingering: &BTreeSet<ServiceName>) {
        let until = self.around.clock.now() + LINGERS;
        self.containers.lingering.retain(|name, _| lingering.contains(name));
        for name in lingering {
            if self.containers.lingering.contains_key(name) {
                continue;
            }
            self.containers.lingering.insert(name.clone(), until);
            info!(service = %name, "its last container was removed: it answers 503, and goes in ten minutes");
            let what = "the last one was removed: the service answers 503, and goes in ten minutes";
            self.note_containers(name, None, what.to_owned());
        }
    }

    /// Lets services go whose time is over.
    pub(crate) fn let_lingering_go(&mut self) {
        let now = self.around.clock.now();
        let due: Vec<_> = self
            .containers
            .lingering
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &due {
            self.containers.lingering.remove(name);
            self.containers.merge.forget(name);
            info!(service = %name, "it has had no container for ten minutes, and is gone");
            let what = "none has come for ten minutes: the service is gone";
            self.note_containers(name, None, what.to_owned());
        }
        if !due.is_empty() {
            self.look_again();
        }
    }
}
