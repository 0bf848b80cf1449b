//! What was deployed to a service, as it is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::spec::{Build, EndpointAddress, ServiceSpec, Traffic, VersionSpec};
use crate::domain::rollout::{End, Machine};
use crate::domain::{ServiceName, Timestamp, VersionName};

/// What was deployed, by service.
pub(crate) type AllDeployments = BTreeMap<ServiceName, Deployments>;

/// What was deployed to a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployments {
    /// The versions that the config does not define. Bounded: see [`Deployments::current`].
    pub(super) versions: BTreeMap<VersionName, Deployed>,
    /// What is wanted, while that is said by a deploy.
    pub(super) intent: Option<Intent>,
    /// The version that was stable before the last promotion: kept, so that there is a way back to it.
    #[serde(default)]
    pub(super) previous: Option<VersionName>,
    /// Versions of the config whose endpoints were deployed as another version since. They are gone until then.
    #[serde(default)]
    pub(super) yielded: BTreeSet<VersionName>,
}

/// A deployed version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deployed {
    pub(super) endpoints: Vec<EndpointAddress>,
    pub(super) build: Build,
}

/// The order to release a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The version that is wanted.
    pub(crate) version: VersionName,
    /// The config's `release` when it was ordered: the order counts until the config names another.
    pub(crate) over: VersionName,
    /// Who ordered it.
    pub(crate) who: String,
    /// Why, if said.
    pub(crate) why: Option<String>,
    /// When.
    pub(crate) at: Timestamp,
}

impl Deployments {
    /// Which version is wanted, while that is said by a deploy.
    pub(crate) fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Which builds the deployed versions are.
    pub(crate) fn builds(&self) -> impl Iterator<Item = (&VersionName, &Build)> {
        self.versions.iter().map(|(name, deployed)| (name, &deployed.build))
    }

    /// What is left of it under this config, with the rollouts standing so: the order until the config names another
    /// `release`; the versions that are wanted, stable, canary or the way back. Where the config names a deployed
    /// version's endpoint for one of its own, the deployed version goes, unless users have it.
    pub(crate) fn current(&self, file: &ServiceSpec, machine: Option<&Machine>) -> Self {
        let mut now = self.clone();
        let exists = |name: &VersionName| now.versions.contains_key(name) || file.versions.contains_key(name);
        let holds = |intent: &Intent| {
            file.traffic == Traffic::Release(intent.over.clone()) && exists(&intent.version)
        };
        now.intent = self.intent.clone().filter(holds);
        let Some(machine) = machine else { return now };
        if let Some(last) = machine.last().filter(|last| last.end == End::Promoted) {
            now.previous = Some(last.stable.clone());
        }
        let wanted = now.intent.as_ref().map(|intent| &intent.version);
        let in_use = |name: &VersionName| Some(name) == wanted || has_users(machine, name);
        let (previous, yielded) = (&now.previous, &now.yielded);
        let taken = |deployed: &Deployed| {
            let others = file.versions.iter().filter(|(name, _)| !yielded.contains(*name));
            others.into_iter().any(|(_, version)| shares(version, &deployed.endpoints))
        };
        now.versions.retain(|name, deployed| {
            !file.versions.contains_key(name)
                && (in_use(name) || (previous.as_ref() == Some(name) && !taken(deployed)))
        });
        let deployed = &now.versions;
        now.yielded.retain(|name| {
            let version = file.versions.get(name);
            version.is_some_and(|version| deployed.values().any(|it| shares(version, &it.endpoints)))
        });
        now
    }
}

/// Whether this version is stable or canary.
pub(super) fn has_users(machine: &Machine, version: &VersionName) -> bool {
    machine.stable() == version || machine.rollout().is_some_and(|rollout| rollout.canary == *version)
}

/// Whether a version has one of these endpoints.
pub(super) fn shares(version: &VersionSpec, endpoints: &[EndpointAddress]) -> bool {
    version.endpoints.iter().any(|endpoint| endpoints.contains(endpoint))
}
