//! A new spec: checked against what is running, then applied as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::compile;
use super::control::{Control, Scope};
use super::deploy::{Deployments, clash, overlay};
use super::handle::{CommandError, ReloadError, Reloaded};
use super::service::{Release, ServiceState};
use super::store::{By, Identity, StoreError};
use crate::config::spec::{Build, EndpointAddress, Listener, ServiceSpec, Spec, Traffic};
use crate::domain::rollout::{Event, Machine, Operator, Wanted};
use crate::domain::{ServiceName, Timestamp, VersionName};

impl Control {
    /// Takes over what is wanted now, or says why not. A refused spec changes nothing.
    pub(crate) fn desire(
        &mut self,
        spec: Result<Box<Spec>, String>,
        by: Option<By>,
    ) -> Result<Reloaded, ReloadError> {
        let outcome = spec.map_err(ReloadError::Invalid).and_then(|spec| {
            self.refuse_what_needs_a_restart(&spec)?;
            let wanted = overlay(&spec, &self.deployments_under(&spec));
            self.refuse_without_stable(&wanted)?;
            refuse_clashes(&wanted)?;
            self.apply(*spec)
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
        match self.apply(spec) {
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

    /// Applies a config, with what was deployed over it, and publishes it.
    pub(crate) fn apply(&mut self, file: Spec) -> Result<Reloaded, ReloadError> {
        let deployments = self.deployments_under(&file);
        let spec = overlay(&file, &deployments);
        self.refuse_changed_builds(&spec)?;
        self.keep(deployments)?;
        self.file = file;
        self.install(spec);
        self.turn(Scope::All);
        let problems = self.problems.store.iter().cloned().collect();
        Ok(Reloaded { generation: self.generation, problems })
    }

    /// What the config took the place of is no longer deployed.
    fn keep(&mut self, deployments: BTreeMap<ServiceName, Deployments>) -> Result<(), ReloadError> {
        let now = self.around.clock.now();
        for (name, record) in deployments {
            if self.deployments.get(&name) != Some(&record) {
                self.store.keep_deployments(now, &name, &record).map_err(refused)?;
                self.deployments.insert(name, record);
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
            self.change_traffic(name, wanted);
            let service =
                self.services.entry(name.clone()).or_insert_with(|| ServiceState::new(wanted.clone()));
            service.respecify(wanted.clone(), &mut self.slots, self.around.workers);
            service.hold = self.holds.of(name);
        }
        self.matcher = Arc::new(compile::matcher(spec.services.values().map(AsRef::as_ref)));
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
        self.decide(name, by, |machine| {
            let salt = compile::salt(name, machine.next_number());
            let wanted = Wanted { release, plan: &spec.rollout, salt };
            Ok(machine.on(now, Event::Wanted(wanted)))
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

    /// A config that takes away the version users have would be an outage, or a switch that nobody judged.
    fn refuse_without_stable(&self, spec: &Spec) -> Result<(), ReloadError> {
        for (name, service) in &self.services {
            let Some(wanted) = spec.services.get(name) else { continue };
            let Some(release) = &service.release else { continue };
            let stable = release.machine.stable();
            if matches!(wanted.traffic, Traffic::Release(_)) && !wanted.versions.contains_key(stable) {
                return Err(ReloadError::Refused(format!(
                    "services.{name}: {stable} is stable, users have it now; keep `versions.{stable}` beside the new version \
                     until the rollout is promoted (`adit promote {name} --full` does it at once)"
                )));
            }
        }
        Ok(())
    }

    fn refuse_what_needs_a_restart(&self, spec: &Spec) -> Result<(), ReloadError> {
        let now = &self.spec;
        let changed: Vec<_> = [
            ("workers", now.workers != spec.workers),
            ("drain", now.drain != spec.drain),
            ("access_log", now.access_log != spec.access_log),
            ("admin", now.admin != spec.admin),
            ("state", now.state_dir != spec.state_dir),
            ("listeners", !same_doors(&now.listeners, &spec.listeners)),
            ("docker", engine(now) != engine(spec)),
        ]
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(ReloadError::Refused(format!(
            "{} can't be changed by a reload; restart adit to change it, or set it back",
            changed.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        )))
    }

    /// A version name seen with another image or commit is a different build.
    fn refuse_changed_builds(&mut self, spec: &Spec) -> Result<(), ReloadError> {
        let now = self.around.clock.now();
        // All are compared before any is remembered: a config that is refused leaves no trace.
        for (name, version, build) in builds(spec) {
            match self.store.compare(name, version, build).map_err(refused)? {
                Identity::Known | Identity::New => {}
                Identity::Conflict { now, known } => {
                    let what = conflict_of_builds(version, &now, &known);
                    return Err(ReloadError::Refused(format!("services.{name}.versions.{version}: {what}")));
                }
            }
        }
        for (name, version, build) in builds(spec) {
            self.store.identify(now, name, version, build).map_err(refused)?;
        }
        Ok(())
    }
}

fn same_doors(now: &[Listener], wanted: &[Listener]) -> bool {
    now.len() == wanted.len() && now.iter().zip(wanted).all(|(now, wanted)| now.is_same_door(wanted))
}

/// What of an engine is fixed while it is watched.
fn engine(spec: &Spec) -> Option<(&Option<String>, Duration)> {
    spec.docker.as_ref().map(|docker| (&docker.endpoint, docker.relist))
}

fn refused(error: StoreError) -> ReloadError {
    ReloadError::Refused(error.to_string())
}

/// What to say when `version` stood for another build before.
pub(crate) fn conflict_of_builds(version: &VersionName, now: &str, known: &str) -> String {
    format!(
        "`{now}` is another build than the `{known}` that the name {version} was first seen with; give the new build a \
         version name of its own"
    )
}

/// A config and a deploy that are both fine can still name the same endpoint for two versions.
fn refuse_clashes(spec: &Spec) -> Result<(), ReloadError> {
    for (name, service) in &spec.services {
        if let Some((endpoint, one, other)) = clash(service) {
            return Err(ReloadError::Refused(format!(
                "services.{name}: {endpoint} would be an endpoint of both {one} and {other}, one of which was deployed and is \
                 in use; give the config's version other endpoints"
            )));
        }
    }
    Ok(())
}

fn builds(spec: &Spec) -> impl Iterator<Item = (&ServiceName, &VersionName, &Build)> {
    spec.services.iter().flat_map(|(name, service)| {
        service.versions.iter().map(move |(version, spec)| (name, version, &spec.build))
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
