//! How things stand, as the admin API says it in JSON. These are contracts: add, never rename.

mod containers;
mod images;

use serde::{Deserialize, Serialize};

pub use containers::{ContainerCounts, ContainerStatus, DockerStatus, IdleContainer, short};
pub use images::{AllImages, RunningImage, ServiceImages, VersionImage};

use crate::domain::rollout::{Measured, Verdict};
use crate::domain::{ServiceName, Timestamp, VersionName, Weight};

/// The whole program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub adit: String,
    /// When it started (RFC 3339).
    pub started: String,
    /// The snapshot that serves.
    pub generation: u64,
    /// Where clients connect, as really bound.
    pub listeners: Vec<String>,
    /// The certificates that are shown to clients.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
    /// Whether every service has a ready endpoint for its users.
    pub ready: bool,
    /// What is not as it should be, in words: a refused config, a store that can't be written.
    pub problems: Vec<String>,
    /// What is good to know of containers and labels, in words.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The container engine; `None`: none is configured.
    #[serde(default)]
    pub docker: Option<DockerStatus>,
    /// All services by name.
    pub services: Vec<ServiceStatus>,
}

/// A certificate that is shown to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// What the config calls it: its file, or `self-signed`.
    pub certificate: String,
    /// At which listener, as configured.
    pub listener: String,
    /// The hosts that it is for.
    pub hosts: Vec<String>,
    /// When it expires (RFC 3339).
    pub not_after: String,
    /// Whole days until then; negative: it has expired.
    pub days_left: i64,
    /// SHA-256 of the certificate, in hexadecimal with colons.
    pub sha256: String,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// The version users have; `None` with fixed weights.
    pub stable: Option<VersionName>,
    /// The version being released; `None` when no rollout is under way.
    pub canary: Option<VersionName>,
    /// `idle` | `waiting` | `stepping` | `paused` | `baking`; the last rollout's end is in `rollout.outcome`.
    pub phase: String,
    /// While its requests wait.
    #[serde(default)]
    pub held: Option<HeldStatus>,
    /// The rollout under way, else the last one.
    pub rollout: Option<RolloutStatus>,
    /// The deploy that says which version is wanted; `None` when the config says so.
    #[serde(default)]
    pub deploy: Option<DeployStatus>,
    /// All versions by name.
    pub versions: Vec<VersionStatus>,
}

/// A service whose requests wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldStatus {
    /// Since when (RFC 3339).
    pub since: String,
    /// Who said so.
    pub who: String,
    /// Why, if said.
    pub why: Option<String>,
    /// The longest that a request waits, in seconds.
    pub max_wait_seconds: f64,
    /// How many requests may wait at once.
    pub max_waiting: u32,
    /// How many wait now.
    pub waiting: u32,
}

/// The endpoints at an address that was told to drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainStatus {
    /// All endpoints that the address stands for; at least one.
    pub endpoints: Vec<DrainedEndpoint>,
}

/// One endpoint that was told to drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainedEndpoint {
    /// Its service.
    pub service: ServiceName,
    /// Its version.
    pub version: VersionName,
    /// The endpoint itself. `drained`: it has no request in flight and gets none; it may be stopped.
    #[serde(flatten)]
    pub endpoint: EndpointStatus,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// Counts up per service from 1.
    pub number: u64,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
    /// `None` while under way; `promoted` | `aborted` | `superseded`.
    pub outcome: Option<String>,
    /// Why it is in its phase: the reason of the last change.
    pub reason: String,
    /// What it waits for, or what operators can do now; `None` when it goes on by itself.
    #[serde(default)]
    pub next: Option<String>,
    /// The current step from 1; 0 before the first.
    pub step: usize,
    /// How many steps the plan has.
    pub steps: usize,
    /// The canary's share as decided, in percent.
    pub weight: Weight,
    /// The canary's share as counted in this step, in percent; `None` before the first request.
    pub observed: Option<f64>,
    /// The verdict so far.
    pub verdict: Option<Verdict>,
    /// The evidence so far that the canary is worse than tolerated; aborts at its bound.
    #[serde(default)]
    pub harm: Option<Odds>,
    /// The evidence of this step that the canary is no worse than the promote margin; advances at its bound.
    #[serde(default)]
    pub proof: Option<Odds>,
    /// How its checks stand, in the plan's order; none once it is over.
    #[serde(default)]
    pub checks: Vec<Measured>,
    /// When it began (RFC 3339).
    pub started: String,
    /// When it ended (RFC 3339).
    pub ended: Option<String>,
}

/// A deploy in force: it says which version is wanted until the config names another `release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployStatus {
    /// The version it wants.
    pub version: VersionName,
    /// Who deployed it.
    pub who: String,
    /// Why, if said.
    pub why: Option<String>,
    /// When (RFC 3339).
    pub at: String,
    /// The `release` in the config that it goes before.
    pub over: VersionName,
}

/// Evidence as people can read it: `value : 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Odds {
    /// As measured, 0 to 1e12.
    pub value: f64,
    /// Where it decides.
    pub bound: f64,
}

/// One version of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Its name.
    pub name: VersionName,
    /// `stable` | `canary` | `weighted` | `standby`.
    pub role: String,
    /// Its image as configured.
    pub image: Option<String>,
    /// The image's digest, when it is pinned, or when the container engine knows it.
    #[serde(default)]
    pub digest: Option<String>,
    /// The commit it was built from.
    #[serde(default)]
    pub revision: Option<String>,
    /// When it was built (RFC 3339).
    #[serde(default)]
    pub created: Option<String>,
    /// Where its source is, as the image's labels say.
    #[serde(default)]
    pub source: Option<String>,
    /// The container engine's id of its image: `sha256:…`.
    #[serde(default)]
    pub image_id: Option<String>,
    /// Its share as decided, in percent.
    pub weight: Weight,
    /// Requests that ended.
    pub requests: u64,
    /// Attempts that its endpoints failed: no connection, no answer in time, a broken answer, a 5xx of theirs.
    pub failures: u64,
    /// Requests that it failed and that stable answered in its place.
    #[serde(default)]
    pub rescued: u64,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// As configured.
    pub endpoint: String,
    /// Where it is; `None` while its name has no address.
    pub address: Option<String>,
    /// The container behind it, if one is known.
    #[serde(default)]
    pub container: Option<ContainerStatus>,
    /// `new` | `ready` | `down` | `ejected` | `probation` | `unresolved` | `draining` | `drained`; or how its container is:
    /// `starting` | `unhealthy` | `paused` | `restarting` | `stopping` | `exited`.
    pub state: String,
    /// Why: the last check or ejection, or what its container does, in words.
    pub reason: String,
    /// The last check's result: `200 in 1.2 ms`, or its error.
    pub last_check: Option<String>,
    /// When (RFC 3339).
    pub last_check_at: Option<String>,
    /// Equal results in a row; negative: failures.
    pub streak: i64,
    /// Requests under way.
    pub in_flight: i64,
}

impl Status {
    /// The service with this name.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }
}

impl ServiceStatus {
    /// Whether its users can be served: stable, or with fixed weights any version that gets requests, has an endpoint
    /// for them.
    pub fn is_ready(&self) -> bool {
        let serves = |version: &VersionStatus| match &self.stable {
            Some(stable) => version.name == *stable,
            None => version.weight > Weight::ZERO,
        };
        let mut serving = self.versions.iter().filter(|version| serves(version));
        serving.any(|version| version.endpoints.iter().any(EndpointStatus::is_ready))
    }
}

impl EndpointStatus {
    /// Whether it may be given requests.
    pub fn is_ready(&self) -> bool {
        matches!(self.state.as_str(), "ready" | "probation")
    }
}

/// A moment as the API writes it.
pub fn rfc3339(at: Timestamp) -> String {
    at.to_string()
}
