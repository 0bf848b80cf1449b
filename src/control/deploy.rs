//! A version that is released by command: checked, kept in the store, laid over what the config says, and from then on
//! released like any other.

mod order;
mod overlay;
mod record;
mod same_build;

use std::net::SocketAddr;

use super::control::{Control, Scope};
use super::describe;
use super::handle::{CommandError, Verb};
use super::refuse::conflict_of_builds;
use super::report::ServiceStatus;
use super::store::{By, Identity};
use crate::config::spec::Spec;
use crate::domain::rollout::Machine;
use crate::domain::{ServiceName, Timestamp};

pub use order::DeployOrder;
pub(crate) use overlay::{clash, overlay};
pub(crate) use record::{Deployments, Intent};

use order::Site;
use record::AllDeployments;

/// A deploy that changed nothing (but see [`CommandError::NotSaved`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployError {
    /// The order makes no sense: all that is wrong with it, with what to do.
    Invalid(String),
    /// The order makes sense, but not here and now.
    Refused(CommandError),
}

impl Control {
    /// Has a version released, and says how the service stands then. What is deployed is on the disk when this returns.
    pub(crate) fn deploy(
        &mut self,
        name: &ServiceName,
        by: &By,
        order: &DeployOrder,
    ) -> Result<ServiceStatus, DeployError> {
        // A name that is refused for its length is not kept at that length.
        let verb = format!("deploy {:.100}", order.version);
        let mut invalid = None;
        let came = self.on_record(name, verb, by, |control| {
            control.deploy_now(name, by, order).map_err(|error| match error {
                DeployError::Refused(error) => error,
                DeployError::Invalid(what) => {
                    invalid = Some(what.clone());
                    CommandError::Conflict(what)
                }
            })
        });
        came.map_err(|error| invalid.map_or(DeployError::Refused(error), DeployError::Invalid))?;
        describe::service_status(self, name)
            .ok_or_else(|| CommandError::UnknownService(name.to_string()).into())
    }

    fn deploy_now(&mut self, name: &ServiceName, by: &By, order: &DeployOrder) -> Result<(), DeployError> {
        self.known(name)?;
        let now = self.around.clock.now();
        let next = self.prepare(name, by, order, now)?;
        if self.deployments.get(name) != Some(&next) {
            self.store.keep_deployments(now, name, &next).map_err(|error| not_saved(&error.to_string()))?;
            self.deployments.insert(name.clone(), next);
            self.install(overlay(&self.base, &self.deployments));
        }
        let started = self.start_deployed(name, by, now);
        self.turn(Scope::All);
        started
    }

    /// What will be deployed once this order is carried out.
    fn prepare(
        &self,
        name: &ServiceName,
        by: &By,
        order: &DeployOrder,
        now: Timestamp,
    ) -> Result<Deployments, DeployError> {
        let (Some(file), Some(machine)) = (self.base.services.get(name), self.machine_of(name)) else {
            return Err(CommandError::UnknownService(String::new()).into());
        };
        let record = self.deployments.get(name).cloned().unwrap_or_default().current(file, Some(machine));
        let listeners: Vec<SocketAddr> =
            self.around.listeners.iter().filter_map(|address| address.parse().ok()).collect();
        let site = Site { file, machine, record: &record, listeners: &listeners };
        let next = order.prepare(&site, by, now)?;
        for (version, build) in next.builds() {
            let identity = self.store.compare(name, version, build);
            match identity.map_err(|error| not_saved(&error.to_string()))? {
                Identity::Known | Identity::New => {}
                Identity::Conflict { now, known } => {
                    return Err(CommandError::Conflict(conflict_of_builds(version, &now, &known)).into());
                }
            }
        }
        Ok(next)
    }

    /// Starts the rollout, in the place of any other. To deploy an aborted version once more is to order that it is tried
    /// again.
    fn start_deployed(&mut self, name: &ServiceName, by: &By, now: Timestamp) -> Result<(), DeployError> {
        let not_started = |error| match error {
            CommandError::NotSaved(why) => CommandError::NotSaved(format!(
                "the deploy is kept, but its rollout did not start: {why}. It starts as soon as it can be saved"
            )),
            other => other,
        };
        self.want_by(name, Some(by), now).map_err(not_started)?;
        self.end_another_rollout(name, by, now)?;
        let machine = self.machine_of(name);
        let idle = machine.is_some_and(|it| it.rollout().is_none() && it.wanted_release() != it.stable());
        if idle {
            self.operate(name, &Verb::Retry(None), by, now).map_err(not_started)?;
        }
        Ok(())
    }

    /// What was wanted already supersedes nothing: a rollout that goes elsewhere, such as an undo's, would win.
    fn end_another_rollout(
        &mut self,
        name: &ServiceName,
        by: &By,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let other = |machine: &Machine| {
            machine.rollout().is_some_and(|rollout| rollout.canary != *machine.wanted_release())
        };
        if self.machine_of(name).is_some_and(other) {
            return self.operate(name, &Verb::Abort, by, now);
        }
        Ok(())
    }

    /// What stays deployed under this config.
    pub(crate) fn deployments_under(&self, file: &Spec) -> AllDeployments {
        let mut all = self.deployments.clone();
        for (name, record) in &mut all {
            if let Some(service) = file.services.get(name) {
                *record = record.current(service, self.machine_of(name));
            }
        }
        all
    }

    fn machine_of(&self, name: &ServiceName) -> Option<&Machine> {
        let live = self.services.get(name).and_then(|service| service.release.as_ref());
        live.map(|release| &release.machine).or_else(|| self.recorded.get(name))
    }
}

fn not_saved(why: &str) -> DeployError {
    CommandError::NotSaved(format!("not deployed, because it can't be saved: {why}")).into()
}

impl From<CommandError> for DeployError {
    fn from(error: CommandError) -> Self {
        Self::Refused(error)
    }
}

#[cfg(test)]
mod tests;
