//! One version's endpoints as control knows them: where they are, how they do, whether they may be used.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::store::By;
use crate::config::spec::{EjectSpec, EndpointAddress, ServiceSpec, VersionSpec};
use crate::domain::Timestamp;
use crate::domain::container::{Container, Engine, Sighting};
use crate::domain::routing::{Endpoint, EndpointId, Standing};
use crate::domain::stats::{EndpointCells, PerWorker, VersionCells};
use crate::health::{self, Candidate, Change, CheckState, Condition, Outlier, Place, ProbePlan, Sample};

/// The addresses that names were last found to have.
pub(crate) type Addresses = BTreeMap<String, Vec<IpAddr>>;

/// What endpoints are brought in line with, beside the spec.
pub(crate) struct Scene<'a> {
    pub(crate) names: &'a Addresses,
    /// What the container engine said last.
    pub(crate) sighting: Option<&'a Sighting>,
    pub(crate) workers: usize,
    pub(crate) now: Timestamp,
}

impl Scene<'_> {
    /// Whether the engine says how its containers are now.
    pub(crate) fn is_engine_heard(&self) -> bool {
        self.sighting.is_some_and(|sighting| matches!(sighting.engine, Engine::Connected { .. }))
    }
}

/// A version of a service, with its endpoints.
#[derive(Debug)]
pub(crate) struct VersionState {
    pub(crate) spec: VersionSpec,
    pub(crate) cells: Arc<PerWorker<VersionCells>>,
    pub(crate) endpoints: Vec<EndpointState>,
    /// Whether every name has an address.
    resolved: bool,
}

/// One address that serves a version.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) id: EndpointId,
    pub(crate) address: SocketAddr,
    pub(crate) declared: Arc<str>,
    /// The container behind it, as it was seen last.
    pub(crate) container: Option<Arc<Container>>,
    /// Was fit for requests once.
    pub(crate) proven: bool,
    /// It may be another container's by now, for all we know.
    pub(crate) adrift: bool,
    /// Its container has become good, and its next check is waited for.
    pub(crate) awaited: bool,
    pub(crate) cells: Arc<EndpointCells>,
    /// Not wanted any more; serves until another endpoint is ready.
    pub(crate) leaving: bool,
    /// Gets nothing new, by an operator's word: who said so, and why.
    pub(crate) draining: Option<By>,
    pub(crate) check: CheckState,
    pub(crate) outlier: Outlier,
}

/// Hands out endpoint ids: dense slots, each use with a birth of its own.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    free: Vec<u32>,
    next: u32,
    births: u32,
}

impl Slots {
    fn take(&mut self) -> EndpointId {
        self.births = self.births.wrapping_add(1);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        EndpointId { slot, birth: self.births }
    }

    pub(super) fn give_back(&mut self, id: EndpointId) {
        self.free.push(id.slot);
    }
}

impl VersionState {
    /// A version that nothing is known of yet.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            spec: VersionSpec::default(),
            cells: Arc::new(PerWorker::new(workers)),
            endpoints: Vec::new(),
            resolved: false,
        }
    }

    /// Brings the endpoints in line with the spec and the addresses that names have. Those that stay keep their
    /// health, counters and connections. One that is usable but not wanted any more stays until another one is: a
    /// replaced endpoint must not leave before the new one has passed its check. Returns whether anything changed.
    ///
    /// An endpoint that is a container is its container: it goes with it, and another container is another endpoint, also
    /// at the same address.
    pub(crate) fn reconcile(&mut self, scene: &Scene<'_>, slots: &mut Slots) -> bool {
        let wanted = addresses(&self.spec, scene.names);
        self.resolved = self.spec.endpoints.iter().all(|endpoint| found(endpoint, scene.names));
        let mut changed = self.meet_containers(scene, slots);
        let before = self.endpoints.len();
        for endpoint in &mut self.endpoints {
            let leaving = !wanted.contains_key(&endpoint.address);
            changed |= leaving != endpoint.leaving;
            endpoint.leaving = leaving;
        }
        let replaced = self.replaced();
        self.endpoints.retain(|endpoint| {
            let stays = !endpoint.leaving || (endpoint.container.is_none() && endpoint.usable() && !replaced);
            if !stays {
                slots.give_back(endpoint.id);
            }
            stays
        });
        changed |= self.endpoints.len() != before;
        let here: HashSet<_> = self.endpoints.iter().map(|endpoint| endpoint.address).collect();
        for (address, declared) in wanted {
            if !here.contains(&address) {
                let container = self.spec.containers.get(&address).cloned();
                self.endpoints.push(EndpointState::new((address, declared.into()), container, scene, slots));
                changed = true;
            }
        }
        changed
    }

    /// Whether it is made of containers (or of nothing any more), and none of them may be given requests now.
    pub(crate) fn is_gone(&self) -> bool {
        self.resolved
            && self.endpoints.iter().all(|endpoint| endpoint.container.is_some())
            && self.candidates().is_empty()
    }

    fn replaced(&self) -> bool {
        self.endpoints.iter().any(|endpoint| !endpoint.leaving && endpoint.usable())
    }

    /// Whether an endpoint stayed for want of another, and is not needed, or of no use, any more.
    pub(crate) fn can_let_go(&self) -> bool {
        let replaced = self.replaced();
        self.endpoints.iter().any(|endpoint| endpoint.leaving && (replaced || !endpoint.usable()))
    }

    /// Gives all endpoints' slots back: the version is gone.
    pub(crate) fn dissolve(self, slots: &mut Slots) {
        for endpoint in self.endpoints {
            slots.give_back(endpoint.id);
        }
    }

    /// Whether any endpoint may be given requests.
    pub(crate) fn ready(&self) -> bool {
        self.endpoints.iter().any(EndpointState::usable)
    }

    /// Whether each endpoint that is wanted may be given requests: every name has an address, and all are usable.
    pub(crate) fn all_ready(&self) -> bool {
        let mut wanted = self.endpoints.iter().filter(|endpoint| !endpoint.leaving);
        self.resolved && self.ready() && wanted.all(EndpointState::usable)
    }

    /// What the data plane may use: the usable endpoints. When none passes its checks, all that once did: a request
    /// that may fail is better than one that must (DATA_PLANE: panic only at zero healthy).
    pub(crate) fn candidates(&self) -> Vec<Endpoint> {
        let usable: Vec<_> = self.endpoints.iter().filter(|endpoint| endpoint.usable()).collect();
        let chosen = if usable.is_empty() {
            self.endpoints.iter().filter(|endpoint| endpoint.last_resort()).collect()
        } else {
            usable
        };
        chosen.into_iter().map(EndpointState::compile).collect()
    }

    /// Looks at the counters and ejects, or lets back in, whom the rules name.
    pub(crate) fn judge_outliers(&mut self, now: Timestamp, spec: &EjectSpec) -> Vec<(SocketAddr, Change)> {
        let mut candidates: Vec<_> = self
            .endpoints
            .iter_mut()
            .map(|endpoint| Candidate {
                sample: sample(&endpoint.cells),
                fit: endpoint.check.condition == Condition::Up && endpoint.draining.is_none(),
                record: &mut endpoint.outlier,
            })
            .collect();
        let changes = health::judge(now, &mut candidates, spec, fastrand::f64);
        changes
            .into_iter()
            .map(|(index, change)| {
                let endpoint = &self.endpoints[index];
                if matches!(change, Change::Ejected { .. }) {
                    endpoint.cells.forgive();
                }
                (endpoint.address, change)
            })
            .collect()
    }

    /// The next moment at which an ejection may change.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.endpoints.iter().filter_map(|endpoint| health::deadline(&endpoint.outlier)).min()
    }

    /// The probes that the endpoints need; those of containers at least every `watchful`.
    pub(crate) fn probes<'a>(
        &'a self,
        service: &'a ServiceSpec,
        watchful: Option<Duration>,
    ) -> impl Iterator<Item = (EndpointId, ProbePlan)> + use<'a> {
        let spec = self.spec.health.as_ref().unwrap_or(&service.health);
        self.endpoints.iter().filter(|endpoint| endpoint.can_be_asked()).map(move |endpoint| {
            let mut spec = spec.clone();
            if let Some(longest) = watchful.filter(|_| endpoint.container.is_some()) {
                spec.interval = spec.interval.min(longest);
            }
            let plan = ProbePlan {
                address: endpoint.address,
                host: endpoint.declared.to_string(),
                connection: service.policy.connection.clone(),
                spec,
            };
            (endpoint.id, plan)
        })
    }
}

impl Drop for EndpointState {
    /// Whichever way it left: nobody else could tell the workers that hold on to it.
    fn drop(&mut self) {
        self.cells.dismiss(true);
    }
}

impl EndpointState {
    /// Nothing is known of it yet.
    pub(crate) fn new(
        (address, declared): (SocketAddr, Arc<str>),
        container: Option<Arc<Container>>,
        scene: &Scene<'_>,
        slots: &mut Slots,
    ) -> Self {
        let endpoint = Self {
            id: slots.take(),
            address,
            declared,
            container,
            proven: false,
            adrift: false,
            awaited: false,
            cells: Arc::new(EndpointCells::new(scene.workers)),
            leaving: false,
            draining: None,
            check: CheckState::new(scene.now),
            outlier: Outlier::new(scene.now),
        };
        endpoint.tell_workers();
        endpoint
    }

    /// Passed its checks, is not ejected, not being drained, and its container (if it is one) is as it should be.
    pub(crate) fn usable(&self) -> bool {
        self.draining.is_none()
            && self.withheld().is_none()
            && self.check.condition == Condition::Up
            && !matches!(self.outlier.place(), Place::Ejected { .. })
    }

    fn compile(&self) -> Endpoint {
        Endpoint {
            id: self.id,
            address: self.address,
            declared: self.declared.clone(),
            standing: match self.outlier.place() {
                Place::Probation { .. } => Standing::Probation,
                Place::In { .. } | Place::Ejected { .. } => Standing::Ready,
            },
            cells: self.cells.clone(),
        }
    }
}

/// Whether it is known where this endpoint is.
fn found(endpoint: &EndpointAddress, names: &Addresses) -> bool {
    match endpoint {
        EndpointAddress::Ip(_) => true,
        EndpointAddress::Dns { name, .. } => names.get(name).is_some_and(|found| !found.is_empty()),
    }
}

/// Each address that the version has now, with the way it was written.
fn addresses(spec: &VersionSpec, names: &Addresses) -> BTreeMap<SocketAddr, String> {
    let mut found = BTreeMap::new();
    for endpoint in &spec.endpoints {
        match endpoint {
            EndpointAddress::Ip(address) => {
                found.insert(*address, endpoint.to_string());
            }
            EndpointAddress::Dns { name, port } => {
                for ip in names.get(name).into_iter().flatten() {
                    found.entry(SocketAddr::new(*ip, *port)).or_insert_with(|| endpoint.to_string());
                }
            }
        }
    }
    found
}

fn sample(cells: &EndpointCells) -> Sample {
    // In this order: workers count a failure before its attempt, so no failure is missed.
    let attempts = cells.workers.sum(|worker| worker.attempts.get());
    let failures = cells.workers.sum(|worker| worker.failures.get());
    Sample { attempts, failures, streak: cells.streak() }
}
