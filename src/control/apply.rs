//! A new spec: checked against what is running, then applied as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{info, warn};

use super::compile;
use super::containers::Merged;
use super::control::{Control, Scope};
use super::deploy::{Deployments, overlay};
use super::handle::{CommandError, ReloadError, Reloaded};
use super::refuse::{refuse_clashes, refused};
use super::service::{Release, ServiceState};
use super::store::By;
use crate::config::spec::{EndpointAddress, ServiceSpec, Spec, Traffic};
use crate::domain::rollout::{Came, Event, Machine, Operator, Wanted};
use crate::domain::{ServiceName, Timestamp};

impl Control {
    /// Takes over what is wanted now, or says why not. A refused spec changes nothing.
    pub(crate) fn desire(
        &mut self,
        spec: Result<Box<Spec>, String>,
        by: Option<By>,
    ) -> Result<Reloaded, ReloadError> {
        let outcome = spec.map_err(ReloadError::Invalid).and_then(|spec| {
            self.refuse_what_needs_a_restart(&spec)?;
            let merged = self.merge(&spec);
            self.refuse_without_stable(&merged.spec)?;
            refuse_clashes(&merged.spec)?;
            self.apply(*spec, merged)
        });
        self.around.metrics.reload(outcome.is_ok());
        self.note_config(&outcome, by);
        match &outcome {
            Ok(reloaded) => {
                self.problems.config = None;
                info!(generation = reloaded.generation, "config applied");
            }
            Err(ReloadError::Invalid(why) | ReloadError::Refused(why)) => {
                self.problems.config =
                    Some(format!("the last config was refused, the one before it serves: {why}"));
                warn!("config refused: {why}");
            }
            Err(ReloadError::Stopped) => {}
        }
        outcome
    }

    /// Applies the first spec of all.
    ///
    /// # Errors
    /// When it can't be applied, or what follows from it can't be saved.
    pub fn begin(&mut self, spec: Spec) -> Result<(), String> {
        let merged = self.merge(&spec);
        match self.apply(spec, merged) {
            Ok(_) => {
                // No reason not to serve at all; a reload with such a config is refused.
                if let Err(ReloadError::Refused(why)) = refuse_clashes(&self.spec) {
                    warn!("{why}");
                    self.problems.config = Some(why);
                }
                self.problems.store.take().map_or(Ok(()), Err)
            }
            Err(ReloadError::Invalid(why) | ReloadError::Refused(why)) => Err(why),
            Err(ReloadError::Stopped) => Err("control has stopped".to_owned()),
        }
    }

    /// Applies a config, with the containers in it and what was deployed over it, and publishes it.
    fn apply(&mut self, file: Spec, merged: Merged) -> Result<Reloaded, ReloadError> {
        // What containers bring is a fact; a build that was written can be refused.
        self.refuse_changed_builds(&overlay(&file, &merged.deployments))?;
        self.keep(&merged.deployments)?;
        self.file = file;
        self.take_over(merged);
        self.turn(Scope::All);
        let problems = self.problems.store.iter().cloned().collect();
        Ok(Reloaded { generation: self.generation, problems })
    }

    /// What the config took the place of is no longer deployed.
    pub(crate) fn keep(
        &mut self,
        deployments: &BTreeMap<ServiceName, Deployments>,
    ) -> Result<(), ReloadError> {
        let now = self.around.clock.now();
        for (name, record) in deployments {
            if self.deployments.get(name) != Some(record) {
                self.store.keep_deployments(now, name, record).map_err(refused)?;
                self.deployments.insert(name.clone(), record.clone());
            }
        }
        Ok(())
    }

    /// Takes over a spec; the next turn decides and publishes.
    pub(crate) fn install(&mut self, spec: Spec) {
        let gone: Vec<_> =
            self.services.keys().filter(|name| !spec.services.contains_key(*name)).cloned().collect();
        for name in &gone {
            self.remove(name);
        }
        for (name, wanted) in &spec.services {
            // What stays as it is, is not looked at: an event of one container is no reason to touch all services.
            if self.services.get(name).is_some_and(|service| same(&service.spec, wanted)) {
                continue;
            }
            self.change_traffic(name, wanted);
            let service =
                self.services.entry(name.clone()).or_insert_with(|| ServiceState::new(wanted.clone()));
            service.respecify(wanted.clone(), &mut self.slots, self.around.workers);
            service.hold = self.holds.of(name);
        }
        if !same_routes(&self.spec, &spec) {
            self.matcher = Arc::new(compile::matcher(spec.services.values().map(AsRef::as_ref)));
        }
        self.resolver.reconcile(dns_names(&spec));
        self.spec = spec;
        self.reconcile();
        for (name, service) in self.spec.services.clone() {
            self.take_up(&name, &service);
        }
    }

    /// From a release to fixed weights: the rollout under way is withdrawn. From weights to a release: what most users had
    /// is stable, so that the release starts like any other.
    fn change_traffic(&mut self, name: &ServiceName, wanted: &ServiceSpec) {
        let Some(service) = self.services.get_mut(name) else { return };
        match (&service.spec.traffic, &wanted.traffic) {
            (Traffic::Release(_), Traffic::Weights(_)) => {
                let now = self.around.clock.now();
                self.withdraw(name, now);
                let release = self.services.get_mut(name).and_then(|service| service.release.take());
                self.recorded.extend(release.map(|release| (name.clone(), release.machine)));
            }
            (Traffic::Weights(weights), Traffic::Release(_)) => {
                let most =
                    weights.iter().max_by_key(|(_, weight)| *weight).map(|(version, _)| version.clone());
                if let Some(stable) = most.filter(|version| wanted.versions.contains_key(version)) {
                    let machine =
                        self.recorded.entry(name.clone()).or_insert_with(|| Machine::first(stable.clone()));
                    machine.settle(stable);
                }
            }
            (Traffic::Release(_), Traffic::Release(_)) | (Traffic::Weights(_), Traffic::Weights(_)) => {}
        }
    }

    fn withdraw(&mut self, name: &ServiceName, now: Timestamp) {
        let Some(service) = self.services.get(name) else { return };
        if service.release.as_ref().is_none_or(|release| release.machine.rollout().is_none()) {
            return;
        }
        let spec = service.spec.clone();
        let _withdrawn = self.decide(name, None, |machine| {
            let stable = machine.stable().clone();
            let wanted = Wanted { release: &stable, plan: &spec.rollout, salt: (0, 0) };
            let mut actions = machine.on(now, Event::Wanted(wanted));
            // If stable was wanted already, as during an undo's rollout, that ended nothing.
            if machine.rollout().is_some() {
                actions.extend(machine.operator(now, Operator::Abort)?);
            }
            Ok(actions)
        });
    }

    /// Gives a service that is seen for the first time its machine: as it was recorded, or a new one. What can't be
    /// saved now is saved as soon as it can be.
    fn take_up(&mut self, name: &ServiceName, spec: &ServiceSpec) {
        let Traffic::Release(release) = &spec.traffic else { return };
        let now = self.around.clock.now();
        let recorded = self.recorded.remove(name);
        let Some(service) = self.services.get_mut(name).filter(|service| service.release.is_none()) else {
            return;
        };
        let restarted = recorded.is_some();
        let machine = recorded.unwrap_or_else(|| Machine::first(release.clone()));
        service.release = Some(Release::new(machine));
        service.dirty = true;
        if restarted {
            // It only lowers the weight until readiness is known: nothing that must be saved first.
            let _saved = self.decide(name, None, |machine| Ok(machine.on(now, Event::Restarted)));
        }
        self.save_what_is_unsaved(name, now);
    }

    /// Tells the service's machine which version is wanted. Repeated every turn: a rollout whose start could not be saved
    /// starts as soon as it can be.
    pub(crate) fn want(&mut self, name: &ServiceName, now: Timestamp) {
        let _started = self.want_by(name, None, now);
    }

    /// The same, on an operator's order.
    pub(crate) fn want_by(
        &mut self,
        name: &ServiceName,
        by: Option<&By>,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let Some(spec) = self.services.get(name).map(|service| service.spec.clone()) else { return Ok(()) };
        let Traffic::Release(release) = &spec.traffic else { return Ok(()) };
        let released = by.is_none() && self.is_released_by_containers(name);
        let container = released.then(|| self.who_came(name, release).cloned()).flatten();
        let came = container.as_ref().map(|it| Came { container: &it.name, image: &it.image.reference });
        self.decide(name, by, |machine| {
            let salt = compile::salt(name, machine.next_number());
            let wanted = Wanted { release, plan: &spec.rollout, salt };
            Ok(machine.on(now, came.map_or(Event::Wanted(wanted), |came| Event::Came(wanted, came))))
        })
    }

    /// After a start with a config that does not have the recorded stable any more: nobody is left to go back to, so the
    /// version that is wanted takes over as soon as it is ready. (A reload with such a config is refused.)
    pub(crate) fn replace_lost_stable(&mut self, name: &ServiceName, now: Timestamp) {
        let Some((service, machine)) = self
            .services
            .get(name)
            .and_then(|service| Some((service, &service.release.as_ref()?.machine)))
            .filter(|(service, machine)| !service.versions.contains_key(machine.stable()))
        else {
            return;
        };
        let aborted = machine.rollout().is_none();
        let spec = service.spec.clone();
        // What can't be saved is said by `save`, and tried again with the next turn.
        let _made = self.decide(name, None, |machine| {
            if aborted {
                let salt = compile::salt(name, machine.next_number());
                return machine.operator(now, Operator::Retry { version: None, plan: &spec.rollout, salt });
            }
            Ok(machine.on(now, Event::StableGone))
        });
    }

    fn remove(&mut self, name: &ServiceName) {
        if let Some(mut service) = self.services.remove(name) {
            if let Some(release) = service.release.take() {
                self.recorded.insert(name.clone(), release.machine);
            }
            service.dissolve(&mut self.slots);
        }
    }
}

fn same(one: &Arc<ServiceSpec>, other: &Arc<ServiceSpec>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// Whether requests find the same services in the same places.
fn same_routes(one: &Spec, other: &Spec) -> bool {
    one.services.len() == other.services.len()
        && one.services.values().zip(other.services.values()).all(|(one, other)| {
            Arc::ptr_eq(one, other) || (one.name == other.name && one.routes == other.routes)
        })
}

fn dns_names(spec: &Spec) -> BTreeSet<String> {
    let versions = spec.services.values().flat_map(|service| service.versions.values());
    versions
        .flat_map(|version| &version.endpoints)
        .filter_map(|endpoint| match endpoint {
            EndpointAddress::Dns { name, .. } => Some(name.clone()),
            EndpointAddress::Ip(_) => None,
        })
        .collect()
}
