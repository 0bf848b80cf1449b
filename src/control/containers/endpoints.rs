//! Endpoints that are containers: what the engine says of a container comes before what our own checks say of it.

use std::sync::Arc;

use crate::config::spec::EndpointAddress;
use crate::control::endpoints::{EndpointState, Scene, Slots, VersionState};
use crate::domain::container::{Container, Run, Sighting, Withheld};
use crate::health::{Condition, ProbeError, ProbeResult};

impl VersionState {
    /// Takes over how the containers behind the endpoints stand now. Returns whether that changes who may be given
    /// requests.
    pub(crate) fn meet_containers(&mut self, scene: &Scene<'_>, slots: &mut Slots) -> bool {
        let mut changed = false;
        for endpoint in &mut self.endpoints {
            let before = (endpoint.usable(), endpoint.last_resort());
            match (&endpoint.container, self.spec.containers.get(&endpoint.address)) {
                (Some(old), Some(new)) if begins_anew(old, new) => {
                    let seat = (endpoint.address, endpoint.declared.clone());
                    let fresh = EndpointState::new(seat, Some(new.clone()), scene, slots);
                    let old = std::mem::replace(endpoint, fresh);
                    old.part();
                    slots.give_back(old.id);
                    changed = true;
                    continue;
                }
                (_, Some(new)) => endpoint.meet(new.clone(), scene.is_engine_heard()),
                // The config names the address itself.
                (Some(_), None) if self.spec.endpoints.contains(&EndpointAddress::Ip(endpoint.address)) => {
                    endpoint.container = None;
                    endpoint.tell_workers();
                }
                (Some(_), None) => endpoint.lose_sight(scene.sighting),
                (None, None) => {}
            }
            changed |= before != (endpoint.usable(), endpoint.last_resort());
        }
        changed
    }
}

impl EndpointState {
    /// Why its container gets no requests.
    pub(crate) fn withheld(&self) -> Option<Withheld> {
        let container = self.container.as_ref()?;
        container.withheld().or(self.adrift.then_some(Withheld::Unsure))
    }

    /// Takes note of a check while the engine can't be asked. An address at which nothing listened for a moment may be
    /// another container's by now, and nobody tells: what answers there gets nothing until the engine says who it is.
    /// Returns whether that is new.
    pub(crate) fn doubt(&mut self) -> bool {
        let result = self.check.last.as_ref().map(|last| &last.result);
        let is_nobody_there = matches!(
            result,
            Some(ProbeResult::Failed(ProbeError::Refused | ProbeError::Connect(_) | ProbeError::Closed))
        );
        let doubts = self.container.is_some() && is_nobody_there && !self.adrift;
        if doubts {
            self.adrift = true;
            self.tell_workers();
        }
        doubts
    }

    /// Whether it may be tried when no endpoint of its version is usable: it was good once, and something runs there that
    /// may answer. (So never one of a canary that was never good, and never a container that has ended or is frozen.)
    pub(crate) fn last_resort(&self) -> bool {
        self.draining.is_none()
            && match self.withheld() {
                None => self.check.condition == Condition::Down,
                Some(Withheld::NotHealthy(_)) => self.proven,
                Some(Withheld::NotRunning(_) | Withheld::Unsure) => false,
            }
    }

    /// Whether a check of ours would find anything out: whether anything runs there.
    pub(crate) fn can_be_asked(&self) -> bool {
        !matches!(self.withheld(), Some(Withheld::NotRunning(_)))
    }

    /// Tells the workers that use it what its container and operators say of it.
    pub(crate) fn tell_workers(&self) {
        let stopping = matches!(self.withheld(), Some(Withheld::NotRunning(Run::Stopping)));
        self.cells.lose(self.withheld().is_some_and(Withheld::is_lost));
        self.cells.dismiss(stopping || self.draining.is_some());
    }

    /// Takes over how its container stands.
    fn meet(&mut self, container: Arc<Container>, is_engine_heard: bool) {
        let was_withheld = self.withheld().is_some();
        self.container = Some(container);
        self.adrift &= !is_engine_heard;
        self.awaited |= was_withheld && self.withheld().is_none() && self.check.condition != Condition::Up;
        self.tell_workers();
    }

    /// The config no longer knows a container at this address: it has ended, was removed, or moved.
    fn lose_sight(&mut self, sighting: Option<&Sighting>) {
        let known = self.container.as_ref().and_then(|old| sighting?.containers.get(&old.id));
        match (known, &self.container) {
            (Some(container), _) => self.container = Some(container.clone()),
            (None, Some(old)) => {
                self.container = Some(Arc::new(Container { run: Run::Removed, ..Container::clone(old) }));
            }
            (None, None) => {}
        }
        self.tell_workers();
        self.part();
    }

    /// Its container is not at this address any more, also if it still runs: another one may be. What waits for an answer
    /// must not be sent there again.
    fn part(&self) {
        self.cells.lose(true);
    }
}

/// Whether it is another container than before, or the same one whose process ended: all that is known is about what
/// was there then.
fn begins_anew(old: &Container, new: &Container) -> bool {
    old.id != new.id || (has_process(old.run) && !has_process(new.run))
}

fn has_process(run: Run) -> bool {
    match run {
        Run::Running | Run::Paused | Run::Stopping => true,
        Run::Created | Run::Restarting | Run::Exited { .. } | Run::Removed => false,
    }
}
