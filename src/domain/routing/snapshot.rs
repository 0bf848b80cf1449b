//! Everything the data plane needs to know, immutable, replaced as a whole: routes, weights and endpoints always
//! agree. Control is its only writer.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Hold, Limiter, Limits, Matcher, Policy, Split, TrustedProxies};
use crate::domain::stats::{EndpointCells, PerWorker, VersionCells};
use crate::domain::{ServiceName, VersionName};

/// One consistent state of the routing.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with every publication.
    pub generation: u64,
    /// Finds the service of a request: an index into `services`.
    pub matcher: Arc<Matcher>,
    /// All services. An `Arc` stays the same from one snapshot to the next while nothing in it changed.
    pub services: Vec<Arc<Service>>,
    /// Who may speak for others.
    pub trusted: Arc<TrustedProxies>,
    /// What holds for every client's connection that begins now.
    pub limits: Arc<Limits>,
    /// Counts requests that no route matched.
    pub unrouted: Arc<PerWorker<VersionCells>>,
}

/// A service as the data plane sees it.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// How it wants its requests treated.
    pub policy: Arc<Policy>,
    /// Its versions; those without traffic can still be chosen by hand.
    pub versions: Vec<Version>,
    /// Which version a request goes to.
    pub split: Split,
    /// The rollout's number while one is under way.
    pub rollout: Option<u64>,
    /// While there is one, requests wait.
    pub hold: Option<Arc<Hold>>,
    /// What has been used of its rate limit, if it has one.
    pub limiter: Option<Arc<Limiter>>,
}

/// A version as the data plane sees it.
#[derive(Debug)]
pub struct Version {
    /// Its name.
    pub name: VersionName,
    /// The endpoints that may be given requests now. Empty: none is ready.
    pub endpoints: Vec<Endpoint>,
    /// Counters, one set per worker.
    pub cells: Arc<PerWorker<VersionCells>>,
}

/// One address that serves a version.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Small, unique among the living, reused only after the endpoint left the snapshot. Workers index by it.
    pub id: EndpointId,
    /// Where to connect.
    pub address: SocketAddr,
    /// As it was configured: an address, or a DNS name with a port.
    pub declared: Arc<str>,
    /// How far it is trusted.
    pub standing: Standing,
    /// Counters.
    pub cells: Arc<EndpointCells>,
}

/// Names an endpoint on the request path. `slot` is a dense index; `birth` tells two users of a slot apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId {
    /// Dense: 0 up to the most endpoints that ever lived at once.
    pub slot: u32,
    /// Unique in the life of the process.
    pub birth: u32,
}

/// How far an endpoint is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Passed its checks.
    Ready,
    /// Back from an ejection: one request at a time until one goes well.
    Probation,
}

impl Snapshot {
    /// Nothing to serve yet.
    pub fn empty(workers: usize) -> Self {
        Self {
            generation: 0,
            matcher: Arc::default(),
            services: Vec::new(),
            trusted: Arc::default(),
            limits: Arc::default(),
            unrouted: Arc::new(PerWorker::new(workers)),
        }
    }
}

impl Service {
    /// The index of the version with this name.
    pub fn version_named(&self, name: &str) -> Option<usize> {
        self.versions.iter().position(|version| version.name.as_str() == name)
    }
}
