//! Which image runs, as `GET /v1/services/{s}/images` says it in JSON: made of the status alone, so that the two never
//! disagree. These are contracts: add, never rename.

use serde::{Deserialize, Serialize};

use super::{ContainerStatus, DockerStatus, EndpointStatus, ServiceStatus, Status, VersionStatus};
use crate::domain::{ServiceName, VersionName, Weight};

/// The images of all services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllImages {
    /// By name.
    pub services: Vec<ServiceImages>,
}

/// The images of a service's versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceImages {
    /// Whose.
    pub service: ServiceName,
    /// All versions by name.
    pub versions: Vec<VersionImage>,
}

/// What a version was made of, and where it runs. What is `None` is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionImage {
    /// The version's name.
    pub name: VersionName,
    /// `stable` | `canary` | `weighted` | `standby`.
    pub role: String,
    /// Its share as decided, in percent.
    pub weight: Weight,
    /// The image, as it was written.
    pub image: Option<String>,
    /// What registries know it by: `sha256:…`.
    pub digest: Option<String>,
    /// What the container engine knows it by: `sha256:…`.
    pub image_id: Option<String>,
    /// When it was built (RFC 3339).
    pub created: Option<String>,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// Other versions of the service that are this very image.
    pub same_image: Vec<VersionName>,
    /// The containers that it runs in, by name.
    pub containers: Vec<RunningImage>,
    /// Its endpoints without a container that is known, as configured.
    pub endpoints: Vec<String>,
}

/// A container of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningImage {
    /// Which one.
    #[serde(flatten)]
    pub container: ContainerStatus,
    /// Where it is reached; `None` when it is not.
    pub address: Option<String>,
    /// As `state` of an endpoint.
    pub state: String,
    /// Why, in words.
    pub reason: String,
}

impl AllImages {
    /// As the status has them.
    pub fn of(status: &Status) -> Self {
        let images = |service| ServiceImages::of(service, status.docker.as_ref());
        Self { services: status.services.iter().map(images).collect() }
    }
}

impl ServiceImages {
    /// As the status has them.
    pub fn of(service: &ServiceStatus, docker: Option<&DockerStatus>) -> Self {
        let version = |version| VersionImage::of(version, service, docker);
        Self { service: service.name.clone(), versions: service.versions.iter().map(version).collect() }
    }
}

impl VersionImage {
    fn of(version: &VersionStatus, service: &ServiceStatus, docker: Option<&DockerStatus>) -> Self {
        let others = service.versions.iter().filter(|other| other.name != version.name);
        let bare = version.endpoints.iter().filter(|endpoint| endpoint.container.is_none());
        Self {
            name: version.name.clone(),
            role: version.role.clone(),
            weight: version.weight,
            image: version.image.clone(),
            digest: version.digest.clone(),
            image_id: version.image_id.clone(),
            created: version.created.clone(),
            revision: version.revision.clone(),
            source: version.source.clone(),
            same_image: others.filter(|other| same(version, other)).map(|it| it.name.clone()).collect(),
            containers: containers(version, &service.name, docker),
            endpoints: bare.map(|endpoint| endpoint.endpoint.clone()).collect(),
        }
    }
}

/// Whether two versions are one image, as far as it can be told. (An image may be known by several digests; by its id it
/// is itself.)
fn same(one: &VersionStatus, other: &VersionStatus) -> bool {
    match (&one.image_id, &other.image_id) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => one.digest.is_some() && one.digest == other.digest,
    }
}

/// Those behind its endpoints, and those that have none now.
fn containers(
    version: &VersionStatus,
    service: &ServiceName,
    docker: Option<&DockerStatus>,
) -> Vec<RunningImage> {
    let mut all: Vec<_> = version.endpoints.iter().filter_map(running).collect();
    let idle = docker.into_iter().flat_map(|docker| docker.withheld.iter().chain(&docker.left_out));
    let idle = idle.filter(|it| it.service.as_ref() == Some(service));
    for it in idle.filter(|it| it.version.as_ref() == Some(&version.name)) {
        if all.iter().all(|known| known.container.id != it.container.id) {
            all.push(RunningImage {
                container: it.container.clone(),
                address: None,
                state: it.state.clone(),
                reason: it.reasons.join("; "),
            });
        }
    }
    all.sort_by(|one, other| one.container.name.cmp(&other.container.name));
    all
}

fn running(endpoint: &EndpointStatus) -> Option<RunningImage> {
    Some(RunningImage {
        container: endpoint.container.clone()?,
        address: endpoint.address.clone(),
        state: endpoint.state.clone(),
        reason: endpoint.reason.clone(),
    })
}
