//! Containers and their labels to meaning: which service and version each belongs to, where it is reached, and what its
//! labels say of the service. Pure; what is wrong with a label is said as a [`Notice`] and hurts no other container.

mod address;
mod clashes;
mod labels;
mod members;
mod merging;
mod naming;
mod reading;
mod report;
mod service;
mod voices;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::spec::{Build, ServiceSpec, Spec, VersionSpec};
use crate::domain::container::{Container, Sighting};
use crate::domain::{ServiceName, VersionName};
use merging::Merging;
use reading::Asked;

/// Brings containers and the config together. What it remembers between two calls saves work, and is what a service
/// without containers was last.
#[derive(Debug, Default)]
pub struct Containers {
    /// Services as they were last, to give back the same one when nothing changed.
    last: BTreeMap<ServiceName, Arc<ServiceSpec>>,
    /// Containers as they were read, by id.
    read: BTreeMap<String, Read>,
}

#[derive(Debug)]
struct Read {
    container: Arc<Container>,
    asked: Asked,
}

/// What is known of a service whose containers are looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The version users have; `None`: nothing is recorded of the service yet.
    pub stable: Option<VersionName>,
    /// Versions that users have, or may go back to, as they were last: they stay, without endpoints if they must.
    pub kept: BTreeMap<VersionName, VersionSpec>,
    /// The version that is being released, or was wanted last.
    pub wanted: Option<VersionName>,
    /// The builds that version names stood for when they were first seen.
    pub builds: BTreeMap<VersionName, Build>,
}

/// What is wanted, with the containers in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The config, its services filled up with containers, and the services that only containers name. What is left in
    /// [`Spec::waiting`] has no container yet.
    pub spec: Spec,
    /// What is to be said about containers and labels, in a fixed order, each once.
    pub notices: Vec<Notice>,
    /// Where each container that is served went, by its id; those that are not running are among them.
    pub placed: BTreeMap<String, Placed>,
    /// Why each other container that asks to be served is not, by its id.
    pub left_out: BTreeMap<String, String>,
    /// Services that neither the config nor a container names any more: they stay as they were, without endpoints, until
    /// they are forgotten ([`Containers::forget`]).
    pub lingering: BTreeSet<ServiceName>,
}

/// Where a container belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its service.
    pub service: ServiceName,
    /// Its version.
    pub version: VersionName,
    /// Its endpoint; `None` while it has no address, as one that has ended.
    pub address: Option<SocketAddr>,
}

/// Something about a container that people should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// The container's name; `None`: it is about a service.
    pub container: Option<String>,
    /// The service, as far as it is known.
    pub service: Option<ServiceName>,
    /// The label it is about.
    pub label: Option<String>,
    /// What, and what to do.
    pub what: String,
    /// Whether something is wrong; else it is only good to know.
    pub wrong: bool,
}

impl Containers {
    /// The config and the containers, merged. The same question has the same answer, but for services that linger: they
    /// are what they were when it was last asked.
    pub fn desired(
        &mut self,
        file: &Spec,
        sighting: &Sighting,
        standings: &BTreeMap<ServiceName, Standing>,
    ) -> Desired {
        self.read(sighting);
        let mut merging = Merging::new(self, file, sighting, standings);
        let mut groups = merging.groups();
        for (name, spec) in file.services.iter().chain(&file.waiting) {
            let readings = groups.remove(name).unwrap_or_default();
            merging.config(spec, &readings);
        }
        merging.labels(&groups);
        let desired = merging.finish();
        self.last.clone_from(&desired.spec.services);
        desired
    }

    /// A service that lingers does so no longer.
    pub fn forget(&mut self, service: &ServiceName) {
        self.last.remove(service);
    }

    /// Reads the containers that are new, or not what they were.
    fn read(&mut self, sighting: &Sighting) {
        self.read.retain(|id, _| sighting.containers.contains_key(id));
        for (id, container) in &sighting.containers {
            if self.read.get(id).is_none_or(|read| read.container != *container) {
                let asked = reading::read(container);
                self.read.insert(id.clone(), Read { container: container.clone(), asked });
            }
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(container) = &self.container {
            write!(f, "container {container}: ")?;
        } else if let Some(service) = &self.service {
            write!(f, "service {service}: ")?;
        }
        if let Some(label) = &self.label {
            write!(f, "label {label}: ")?;
        }
        f.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests;
