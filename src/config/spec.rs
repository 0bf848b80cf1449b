//! What a config means: checked, defaulted, immutable.

mod containers;
mod listener;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::build;
use crate::domain::container::Container;
use crate::domain::rollout::Plan;
use crate::domain::routing::{HostPattern, Limits, Policy, RouteMatch, TrustedProxies};
use crate::domain::{ServiceName, VersionName, Weight};
pub use containers::{DockerSpec, Recover, ReleaseBy};
pub use listener::{
    CertificateFiles, ClientAuth, ClientCertificates, Listener, Redirect, Tls, TlsFiles, TlsVersion,
};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Worker threads; `None`: one per core.
    pub workers: Option<NonZeroUsize>,
    /// How long requests in flight may take to end after SIGTERM. Default 8 s.
    pub drain: Duration,
    /// Whether requests are logged to standard output. Default: yes.
    pub access_log: AccessLog,
    /// Where the admin API listens.
    pub admin: Admin,
    /// Where decisions are kept. Default `./.adit`.
    pub state_dir: PathBuf,
    /// How much of what happened is kept. Default: all of it, for ever.
    pub keep: Keep,
    /// Who may speak for others. Default: nobody.
    pub trusted_proxies: Arc<TrustedProxies>,
    /// How much every client may take.
    pub limits: Arc<Limits>,
    /// The container engine whose containers are served too; `None`: none.
    pub docker: Option<DockerSpec>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The services by name.
    pub services: BTreeMap<ServiceName, Arc<ServiceSpec>>,
    /// Services that can't be served before a container brings them a version: the config names none, or not the wanted
    /// one. What has no version at all has an empty [`Traffic::Weights`].
    pub waiting: BTreeMap<ServiceName, Arc<ServiceSpec>>,
}

/// What becomes of a request's log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// A JSON line on standard output.
    #[default]
    Stdout,
    /// Nothing.
    Off,
}

/// The admin API's address and protection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens. Default `127.0.0.1:9900`.
    pub address: AdminAddress,
    /// A file with the bearer token; required when the address is not loopback.
    pub token_file: Option<PathBuf>,
}

/// Where the admin API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A TCP address. Port 0: any free port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// What of the history is let go; what is `None` is no reason to. A service's last rollout always stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// What is older than this (an hour to a hundred years); a rollout is as old as its end.
    pub age: Option<Duration>,
    /// What is not among the newest so many rollouts of its service (1 to 1,000,000).
    pub rollouts: Option<u32>,
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// What leads to it; at least one.
    pub routes: Vec<RouteMatch>,
    /// Its versions by name; at least one.
    pub versions: BTreeMap<VersionName, VersionSpec>,
    /// Which version users get.
    pub traffic: Traffic,
    /// Active health checks.
    pub health: HealthSpec,
    /// Passive ejection.
    pub eject: EjectSpec,
    /// What the data plane needs to know. What is in [`Self::tls_files`] is read into it by whoever reads the config.
    pub policy: Policy,
    /// Certificates and keys for its endpoints.
    pub tls_files: EndpointTlsFiles,
    /// How a new version is released.
    pub rollout: Plan,
    /// What is done about a container that stays unhealthy. Default: nothing.
    pub recover: Recover,
    /// Who says which version is wanted.
    pub release_by: ReleaseBy,
}

/// Which version users get.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// This one; when it changes, a rollout starts.
    Release(VersionName),
    /// A fixed division without a rollout. The weights add up to 100 %.
    Weights(Vec<(VersionName, Weight)>),
}

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionSpec {
    /// Its endpoints, each named once. None: its containers are gone, and it is remembered because users have it.
    pub endpoints: Vec<EndpointAddress>,
    /// The containers behind endpoints, by their address.
    pub containers: BTreeMap<SocketAddr, Arc<Container>>,
    /// Health checks of its own, in the place of the service's.
    pub health: Option<HealthSpec>,
    /// What it was made of.
    pub build: Build,
}

/// Which build a version is, as far as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Build {
    /// The image, as it was written.
    pub image: Option<String>,
    /// The commit it was built from, as it was written.
    #[serde(default)]
    pub revision: Option<String>,
    /// When it was built (RFC 3339, in UTC).
    #[serde(default)]
    pub created: Option<String>,
    /// Where its source is: a URL, as the image's labels say.
    #[serde(default)]
    pub source: Option<String>,
    /// The engine's id of the image, `sha256:…`.
    #[serde(default)]
    pub image_id: Option<String>,
}

/// Where an endpoint is: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EndpointAddress {
    /// A fixed address.
    Ip(SocketAddr),
    /// A name to look up; each of its addresses is an endpoint.
    Dns {
        /// The name, lower case.
        name: String,
        /// The port at each address.
        port: u16,
    },
}

/// Active health checks of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSpec {
    /// GET this and expect 200 to 299; `None`: a TCP connection is enough.
    pub path: Option<String>,
    /// Ask this service of gRPC's health protocol (empty: the server as a whole) and expect `SERVING`; `None`: don't.
    pub grpc: Option<String>,
    /// Between two checks. Default 2 s, ±10 % jitter.
    pub interval: Duration,
    /// For one check. Default 1 s.
    pub timeout: Duration,
    /// Successes in a row until a failed endpoint is ready again. Default 2. (A new one needs one.)
    pub rise: u32,
    /// Failures in a row until a ready endpoint is out. Default 3.
    pub fall: u32,
}

/// Files that TLS towards a service's endpoints needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTlsFiles {
    /// Certificate authorities; `None`: those of the machine.
    pub ca: Option<PathBuf>,
    /// What we show to endpoints that ask who we are.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// Passive ejection of a service's endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct EjectSpec {
    /// Failures in a row until an endpoint is ejected. Default 5.
    pub consecutive_failures: u32,
    /// The first ejection; the n-th in a row lasts n times as long. Default 10 s.
    pub base: Duration,
    /// The longest ejection. Default 5 min.
    pub max: Duration,
    /// At most this share of a version's endpoints is out, computed after ejecting. Default 50 %.
    pub max_percent: Weight,
}

impl Spec {
    /// How long requests in flight may take to end when nothing else is said.
    pub const DEFAULT_DRAIN: Duration = Duration::from_secs(8);
    /// Where decisions are kept when nothing else is said, relative to the current directory.
    pub const DEFAULT_STATE_DIR: &'static str = "./.adit";

    /// A proxy without a file: `listen` answers every request from `to`, as version `v1` of a service `default`,
    /// whose endpoints are checked by connecting to them.
    pub fn front_door(listen: SocketAddr, to: Vec<EndpointAddress>) -> Self {
        let (service, version) = (ServiceName::from("default"), VersionName::from("v1"));
        let mut endpoints = to;
        endpoints.sort();
        endpoints.dedup();
        let versions = BTreeMap::from([(version.clone(), VersionSpec::at(endpoints, Build::default()))]);
        let spec = ServiceSpec {
            name: service.clone(),
            routes: vec![RouteMatch::to_host(HostPattern::Any)],
            versions,
            traffic: Traffic::Release(version),
            health: HealthSpec::default(),
            eject: EjectSpec::default(),
            policy: Policy { eject_after: EjectSpec::default().consecutive_failures, ..Policy::default() },
            tls_files: EndpointTlsFiles::default(),
            rollout: Plan::default(),
            recover: Recover::default(),
            release_by: ReleaseBy::default(),
        };
        Self { services: BTreeMap::from([(service, Arc::new(spec))]), ..Self::without_services(listen) }
    }

    /// A proxy without a file: `listen` answers what the labels of the engine's containers say.
    pub fn of_docker(listen: SocketAddr) -> Self {
        Self { docker: Some(DockerSpec::default()), ..Self::without_services(listen) }
    }

    fn without_services(listen: SocketAddr) -> Self {
        Self {
            workers: None,
            drain: Self::DEFAULT_DRAIN,
            access_log: AccessLog::default(),
            admin: Admin::default(),
            state_dir: Self::DEFAULT_STATE_DIR.into(),
            keep: Keep::default(),
            trusted_proxies: Arc::default(),
            limits: Arc::default(),
            docker: None,
            listeners: vec![Listener::plain(listen)],
            services: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }
}

impl ServiceSpec {
    /// Whether the versions are there that its traffic goes to.
    pub fn can_be_served(&self) -> bool {
        match &self.traffic {
            Traffic::Release(version) => self.versions.contains_key(version),
            Traffic::Weights(weights) => {
                !weights.is_empty() && weights.iter().all(|(version, _)| self.versions.contains_key(version))
            }
        }
    }
}

impl VersionSpec {
    /// A version that is only these endpoints and this build.
    pub fn at(endpoints: Vec<EndpointAddress>, build: Build) -> Self {
        Self { endpoints, build, ..Self::default() }
    }
}

impl Build {
    /// `sha256:…`, when the image is pinned.
    pub fn digest(&self) -> Option<&str> {
        self.image.as_deref().and_then(build::digest)
    }
}

impl Default for AdminAddress {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 9900)))
    }
}

impl Default for EjectSpec {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base: Duration::from_secs(10),
            max: Duration::from_secs(300),
            max_percent: Weight::from_percent(50.0).unwrap_or(Weight::FULL),
        }
    }
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            path: None,
            grpc: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        }
    }
}
