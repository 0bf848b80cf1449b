//! What is known of the engine's containers, and how events and looks change it. Pure.
//!
//! Bad news acts at once, from the event; good news comes from a look. A look that began before the last event about its
//! container is not believed: whoever looks sees to that.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::container::{Seen, Stop};
use super::event::{Event, What};
use crate::domain::Timestamp;
use crate::domain::container::{Container, Health, Run};

/// A container that outlives the signal that should have ended it, and its stop timeout, by this much has not been
/// stopped.
const GRACE: Duration = Duration::from_secs(30);

/// All containers that ask to be served.
#[derive(Debug, Default)]
pub(super) struct Known {
    containers: BTreeMap<String, Entry>,
    /// Grows with everything that is learned.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    container: Arc<Container>,
    started: String,
    stop: Stop,
    told_to_stop: Option<Timestamp>,
    out_of_memory: bool,
    /// When something was learned of it last.
    learned: u64,
}

/// A moment in the order in which things were learned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(u64);

/// What made us look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something happened to it.
    Event,
    /// It was in a full list.
    List,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Whether anything is different now.
    pub(super) changed: bool,
    /// Whether the container must be looked at.
    pub(super) look: bool,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Whether anything is different now.
    pub(super) changed: bool,
    /// Whether something had happened that an event should have told.
    pub(super) unannounced: bool,
}

impl Known {
    /// All containers, as they are to be told.
    pub(super) fn containers(&self) -> BTreeMap<String, Arc<Container>> {
        self.containers.iter().map(|(id, entry)| (id.clone(), entry.container.clone())).collect()
    }

    /// Now, in the order in which things are learned.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.clock)
    }

    /// Takes in an event.
    pub(super) fn hear(&mut self, event: &Event, now: Timestamp) -> Learned {
        self.clock += 1;
        if event.what == What::Destroyed {
            return Learned { changed: self.containers.remove(&event.container).is_some(), look: false };
        }
        let Some(entry) = self.containers.get_mut(&event.container) else {
            return Learned { changed: false, look: event.asks };
        };
        entry.learned = self.clock;
        let before = (entry.container.run, entry.container.health);
        let look = entry.hear(&event.what, now);
        Learned { changed: before != (entry.container.run, entry.container.health), look }
    }

    /// Takes in what a look showed.
    pub(super) fn look(&mut self, seen: Seen, cause: Cause, now: Timestamp) -> Looked {
        self.clock += 1;
        let id = seen.container.id.clone();
        if seen.container.run == Run::Running {
            self.take_addresses_over(&seen.container);
        }
        match self.containers.get_mut(&id) {
            Some(entry) => {
                entry.learned = self.clock;
                entry.look(seen, cause, now)
            }
            None => {
                self.containers.insert(id, Entry::new(seen, self.clock));
                Looked { changed: true, unannounced: true }
            }
        }
    }

    /// The engine knows it no more. Returns whether anything is different now.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        self.containers.remove(id).is_some()
    }

    /// A list that was asked for at `asked` has only these. Returns those that are gone now.
    pub(super) fn keep_only(&mut self, listed: &BTreeSet<String>, asked: Moment) -> BTreeSet<String> {
        // What something was learned of since may be younger than the list.
        let gone = |id: &String, entry: &mut Entry| !listed.contains(id) && entry.learned <= asked.0;
        self.containers.extract_if(.., gone).map(|(id, _)| id).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.containers.len()
    }

    /// The ids of the images that are in use.
    pub(super) fn images(&self) -> BTreeSet<&str> {
        self.containers.values().map(|entry| entry.container.image.id.as_str()).collect()
    }

    /// An ended container keeps its address for a while; now it is another's.
    fn take_addresses_over(&mut self, by: &Container) {
        let published: BTreeSet<_> = by.ports.published.values().flatten().collect();
        for entry in self.containers.values_mut() {
            let old = &entry.container;
            if old.id == by.id || matches!(old.run, Run::Running | Run::Paused | Run::Stopping) {
                continue;
            }
            let shared =
                old.ports.networks.iter().any(|(name, address)| by.ports.networks.get(name) == Some(address))
                    || old.ports.published.values().flatten().any(|address| published.contains(address));
            if shared {
                let ports = &mut Arc::make_mut(&mut entry.container).ports;
                ports.networks.clear();
                ports.published.clear();
            }
        }
    }
}

impl Entry {
    fn new(seen: Seen, learned: u64) -> Self {
        Self {
            container: Arc::new(seen.container),
            started: seen.started,
            stop: seen.stop,
            told_to_stop: None,
            out_of_memory: false,
            learned,
        }
    }

    /// Returns whether it must be looked at.
    fn hear(&mut self, what: &What, now: Timestamp) -> bool {
        match *what {
            What::Signalled(signal) => {
                if signal.ends(self.stop.signal) {
                    self.told_to_stop = Some(now);
                    if self.container.run == Run::Running {
                        self.set_run(Run::Stopping);
                    }
                }
                false
            }
            What::Died { code } => {
                self.told_to_stop = None;
                self.set_run(Run::Exited { code, out_of_memory: self.out_of_memory });
                true
            }
            What::OutOfMemory => {
                self.out_of_memory = true;
                false
            }
            What::Paused => {
                self.set_run(Run::Paused);
                true
            }
            What::Unhealthy => {
                Arc::make_mut(&mut self.container).health = Some(Health::Unhealthy);
                true
            }
            What::Started => {
                self.told_to_stop = None;
                self.out_of_memory = false;
                true
            }
            What::Destroyed | What::Changed => true,
        }
    }

    fn look(&mut self, mut seen: Seen, cause: Cause, now: Timestamp) -> Looked {
        let unannounced = self.is_news(&seen);
        self.judge_stop(&seen, cause, now);
        if self.told_to_stop.is_some() && seen.container.run == Run::Running {
            seen.container.run = Run::Stopping;
        }
        if self.keeps_addresses(&seen.container, cause) {
            let old = &self.container.ports;
            let ports = &mut seen.container.ports;
            (ports.networks, ports.published) = (old.networks.clone(), old.published.clone());
        }
        (self.started, self.stop) = (seen.started, seen.stop);
        let changed = *self.container != seen.container;
        if changed {
            self.container = Arc::new(seen.container);
        }
        Looked { changed, unannounced }
    }

    /// Whether events should have told of a difference. (That a stop is over by now, nobody tells.)
    fn is_news(&self, seen: &Seen) -> bool {
        let (old, new) = (&*self.container, &seen.container);
        let still_stopping =
            old.run == Run::Stopping && new.run == Run::Running && seen.started == self.started;
        let other_run = !still_stopping && mem::discriminant(&old.run) != mem::discriminant(&new.run);
        other_run || old.health != new.health || old.name != new.name
    }

    /// Whether it is still being stopped.
    fn judge_stop(&mut self, seen: &Seen, cause: Cause, now: Timestamp) {
        let Some(told) = self.told_to_stop else { return };
        let is_over = match seen.container.run {
            Run::Running => {
                let overdue = cause == Cause::List && now - told >= self.stop.timeout + GRACE;
                overdue || seen.started != self.started
            }
            Run::Paused | Run::Stopping => false,
            Run::Created | Run::Restarting | Run::Exited { .. } | Run::Removed => true,
        };
        if is_over {
            self.told_to_stop = None;
        }
    }

    /// The engine names no address of what does not run. Requests may be under way there, and whoever carries them must
    /// be able to tell which container they are lost with.
    fn keeps_addresses(&self, seen: &Container, cause: Cause) -> bool {
        let has_none = seen.ports.networks.is_empty() && seen.ports.published.is_empty();
        let for_now = match seen.run {
            Run::Restarting => true,
            Run::Exited { .. } | Run::Removed => cause == Cause::Event,
            Run::Created | Run::Running | Run::Paused | Run::Stopping => false,
        };
        has_none && for_now
    }

    fn set_run(&mut self, run: Run) {
        Arc::make_mut(&mut self.container).run = run;
    }
}

#[cfg(test)]
mod tests;
