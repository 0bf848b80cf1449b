//! What the container engine says, taken into what is wanted. Changes of the config and of containers meet here: both
//! ask for the same merge, and both are taken over in the same way. A fact is never refused: what can't be served is left
//! out and said, and everything else goes on.

mod builds;
mod endpoints;
mod gone;
mod linger;
mod notices;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::control::Control;
use super::deploy::{Deployments, clash, overlay};
use super::journal::{Entry, Fact};
use crate::config::containers::{Containers as Merge, Desired, Notice, Placed, Standing};
use crate::config::spec::{Build, EndpointAddress, ReleaseBy, ServiceSpec, Spec, VersionSpec};
use crate::domain::container::{Container, Engine, Sighting, Site};
use crate::domain::rollout::Machine;
use crate::domain::{ServiceName, Timestamp, VersionName};

/// So often in a turn it is asked again what is wanted: when a service is seen for the first time, its first version is
/// recorded as stable, then the last is released, which is then the canary. What is left waits for the next turn.
const ROUNDS: usize = 4;

/// What control keeps of containers, beside the sighting.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    merge: Merge,
    /// What is known of each service, as it was asked with last.
    standings: BTreeMap<ServiceName, Standing>,
    /// Where each container went, by its id.
    pub(crate) placed: BTreeMap<String, Placed>,
    /// Why each other container is not served, by its id.
    pub(crate) left_out: BTreeMap<String, String>,
    /// Whether the base may not be what is wanted any more: what it rests on changed, or a merge was not taken over.
    stale: bool,
    /// Services without any container left, and when they go.
    lingering: BTreeMap<ServiceName, Timestamp>,
}

impl Containers {
    /// Nothing was seen yet, but these builds are known.
    pub(crate) fn knowing(builds: BTreeMap<ServiceName, BTreeMap<VersionName, Build>>) -> Self {
        let known = |(name, builds)| (name, Standing { builds, ..Standing::default() });
        Self { standings: builds.into_iter().map(known).collect(), ..Self::default() }
    }
}

/// The config, the containers and what was deployed, in one.
pub(crate) struct Merged {
    /// The config and the containers.
    pub(crate) base: Spec,
    /// What was deployed, as far as it counts over that.
    pub(crate) deployments: BTreeMap<ServiceName, Deployments>,
    /// All of it.
    pub(crate) spec: Spec,
    notices: Vec<Notice>,
}

impl Control {
    /// Takes in how the engine's containers stand now; the turn that follows decides and publishes.
    pub(crate) fn sighted(&mut self, sighting: Sighting) {
        if self.sighting.as_ref() == Some(&sighting) {
            return;
        }
        self.note_engine(&sighting.engine);
        self.sighting = Some(sighting);
        self.look_again();
    }

    /// Whether the engine, if there is one, says how its containers are now.
    pub(crate) fn is_engine_heard(&self) -> bool {
        self.sighting.as_ref().is_none_or(|sighting| matches!(sighting.engine, Engine::Connected { .. }))
    }

    /// How often containers are checked at least while the engine can't be asked: nobody else tells then that one has ended
    /// and another has its address. 500 checks a second in all, and every container four times a second at most.
    pub(crate) fn watchfulness(&self) -> Option<Duration> {
        let containers = self.sighting.as_ref().filter(|_| !self.is_engine_heard())?.containers.len();
        let each = Duration::from_millis(2).saturating_mul(u32::try_from(containers).unwrap_or(u32::MAX));
        Some(each.max(Duration::from_millis(250)))
    }

    /// What is wanted under this config.
    pub(crate) fn merge(&mut self, file: &Spec) -> Merged {
        if file.docker.is_none() && self.sighting.is_none() {
            return self.laid_over(file.clone(), Vec::new());
        }
        self.refresh_standings();
        self.containers.stale = true;
        let unheard = unheard(self.started);
        let sighting = self.sighting.as_ref().unwrap_or(&unheard);
        let mut desired = self.containers.merge.desired(file, sighting, &self.containers.standings);
        self.settle_builds(&mut desired);
        self.note_lingering(&desired.lingering);
        let Desired { spec, notices, placed, left_out, .. } = desired;
        (self.containers.placed, self.containers.left_out) = (placed, left_out);
        self.laid_over(spec, notices)
    }

    fn laid_over(&self, base: Spec, mut notices: Vec<Notice>) -> Merged {
        let deployments = self.deployments_under(&base);
        let mut spec = overlay(&base, &deployments);
        for service in spec.services.values_mut() {
            yield_to_deployed(service, &mut notices);
        }
        Merged { base, deployments, spec, notices }
    }

    /// Takes over what was merged; the next turn decides and publishes.
    pub(crate) fn take_over(&mut self, merged: Merged) {
        self.base = merged.base;
        self.containers.stale = false;
        self.tell_notices(merged.notices);
        self.install(merged.spec);
    }

    /// Asks once more what is wanted, and takes over what changed.
    fn look_again(&mut self) {
        let file = self.file.clone();
        let merged = self.merge(&file);
        // What was deployed under another release is no longer, also if that can't be kept now: then it is found again.
        if let Err(error) = self.keep(&merged.deployments) {
            warn!("what is deployed could not be kept: {error:?}");
        }
        self.take_over(merged);
    }

    /// What is wanted depends on where the rollouts stand: whose labels count, which versions stay without containers.
    /// So it is asked again when that changed, however it did.
    pub(crate) fn follow_rollouts(&mut self) {
        if self.file.docker.is_none() && self.sighting.is_none() {
            return;
        }
        for _ in 0..ROUNDS {
            self.refresh_standings();
            if !self.containers.stale {
                return;
            }
            self.look_again();
            let dirty: Vec<_> = self
                .services
                .iter()
                .filter(|(_, service)| service.dirty)
                .map(|(name, _)| name.clone())
                .collect();
            for name in &dirty {
                self.advance(name);
            }
        }
    }

    /// Brings what is known of services up to date. What is wanted is stale when a service has other versions to keep, or
    /// wants another.
    fn refresh_standings(&mut self) {
        let live = self
            .services
            .iter()
            .filter_map(|(name, service)| Some((name, &service.release.as_ref()?.machine)));
        for (name, machine) in live.chain(&self.recorded) {
            let standing = self.containers.standings.entry(name.clone()).or_default();
            self.containers.stale |=
                follow(standing, machine, self.base.services.get(name).map(AsRef::as_ref));
        }
    }

    /// The container that made this version come: the oldest of those that there are.
    pub(crate) fn who_came(&self, service: &ServiceName, version: &VersionName) -> Option<&Arc<Container>> {
        let containers = &self.sighting.as_ref()?.containers;
        self.containers
            .placed
            .iter()
            .filter(|(_, placed)| placed.service == *service && placed.version == *version)
            .filter_map(|(id, _)| containers.get(id))
            .min_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)))
    }

    /// Whether containers say which version of a service is wanted.
    pub(crate) fn is_released_by_containers(&self, name: &ServiceName) -> bool {
        let ordered = self.deployments.get(name).and_then(Deployments::intent).is_some();
        !ordered && self.services.get(name).is_some_and(|it| it.spec.release_by == ReleaseBy::Containers)
    }

    /// Writes down something about a service's containers, in its rollout if one is under way.
    pub(crate) fn note_containers(&mut self, name: &ServiceName, container: Option<String>, what: String) {
        let release = self.services.get(name).and_then(|service| service.release.as_ref());
        self.outbox.put(Entry {
            at: self.around.clock.now(),
            service: Some(name.clone()),
            rollout: release.and_then(|it| it.machine.rollout()).map(|rollout| rollout.number),
            fact: Fact::Containers { container, what },
            by: None,
        });
    }
}

/// Nothing was heard of the engine yet.
fn unheard(started: Timestamp) -> Sighting {
    let engine = Engine::Lost { since: started, why: "it has not been heard yet".to_owned() };
    Sighting { engine, site: Site::Host, containers: BTreeMap::new() }
}

/// Notes where a service's rollouts stand. Returns whether it is other versions than before that matter; how they are is
/// in the base anyway.
fn follow(standing: &mut Standing, machine: &Machine, base: Option<&ServiceSpec>) -> bool {
    let stable = machine.stable();
    let canary = machine.rollout().map(|rollout| &rollout.canary);
    let wanted = canary.unwrap_or(machine.wanted_release());
    let names: BTreeSet<_> = [stable, wanted].into_iter().chain(canary).chain(machine.previous()).collect();
    // What containers never stood for is the config's (or a deploy's), to be kept or to be dropped.
    let kept: BTreeMap<_, _> = names
        .into_iter()
        .filter_map(|name| {
            let build = standing.builds.get(name).filter(|build| build.image_id.is_some())?;
            let last = base.and_then(|service| service.versions.get(name)).cloned();
            Some((name.clone(), last.unwrap_or_else(|| VersionSpec::at(Vec::new(), build.clone()))))
        })
        .collect();
    let same = standing.stable.as_ref() == Some(stable)
        && standing.wanted.as_ref() == Some(wanted)
        && standing.kept.keys().eq(kept.keys());
    standing.kept = kept;
    if !same {
        standing.stable = Some(stable.clone());
        standing.wanted = Some(wanted.clone());
    }
    !same
}

/// An endpoint that was deployed as another version's is not a container's as well.
fn yield_to_deployed(service: &mut Arc<ServiceSpec>, notices: &mut Vec<Notice>) {
    while let Some((endpoint, one, other)) = clash(service) {
        let EndpointAddress::Ip(address) = endpoint.clone() else { return };
        let is_container =
            |version: &VersionName| service.versions[version].containers.contains_key(&address);
        let (yielding, deployed) = match (is_container(one), is_container(other)) {
            (_, true) => (other.clone(), one.clone()),
            (true, false) => (one.clone(), other.clone()),
            (false, false) => return,
        };
        let mut changed = ServiceSpec::clone(service);
        let Some(version) = changed.versions.get_mut(&yielding) else { return };
        version.endpoints.retain(|endpoint| *endpoint != EndpointAddress::Ip(address));
        let container = version.containers.remove(&address);
        notices.push(Notice {
            container: container.map(|container| container.name.clone()),
            service: Some(changed.name.clone()),
            label: None,
            what: format!(
                "its address {address} is an endpoint of {deployed} already, so it is left out of {yielding}"
            ),
            wrong: true,
        });
        *service = Arc::new(changed);
    }
}

#[cfg(test)]
mod tests;
