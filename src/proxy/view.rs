//! A worker's own mirror of the snapshot, rebuilt only when a new one was published. A request clones `Rc`s from it:
//! no counter that other cores write, no lock, no lookup by hash.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::endpoint::pool::Pool;
use super::request::gate::{Gate, Gates};
use crate::domain::routing::{Budget, EndpointId, Hold, Service, Snapshot, Standing, Version, pick};
use crate::domain::{Timestamp, Weight};

/// One snapshot as one worker sees it.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    services: Vec<Rc<ServiceView>>,
    /// By slot.
    pools: Vec<Option<Rc<Pool>>>,
    /// The services whose canary is called by a host of its own.
    previews: HashMap<Box<str>, usize>,
    worker: usize,
    gates: Arc<Gates>,
}

/// A service as one worker sees it: what a long exchange holds on to, instead of the whole snapshot.
pub(super) struct ServiceView {
    service: Arc<Service>,
    /// This worker's; outlives the snapshot.
    pub(super) budget: Rc<RefCell<Budget>>,
    /// All workers'; `None`: everybody may come in.
    pub(super) gate: Option<Arc<Gate>>,
}

impl View {
    /// Of the first snapshot.
    pub(super) fn first(snapshot: Arc<Snapshot>, worker: usize, gates: Arc<Gates>) -> Self {
        let (services, pools, previews) = (Vec::new(), Vec::new(), HashMap::new());
        Self { services, pools, previews, worker, gates, snapshot: snapshot.clone() }.next(snapshot)
    }

    /// Of the snapshot that replaces this one's. What stays the same is kept, connections above all; endpoints that
    /// left are retired.
    pub(super) fn next(&self, snapshot: Arc<Snapshot>) -> Self {
        let next = Self {
            services: (0..)
                .zip(&snapshot.services)
                .map(|(index, service)| self.keep_service(index, service))
                .collect(),
            pools: self.keep_pools(&snapshot),
            previews: previews(&snapshot),
            worker: self.worker,
            gates: self.gates.clone(),
            snapshot,
        };
        for pool in self.pools.iter().flatten() {
            if next.pool(pool.id).is_none_or(|kept| !Rc::ptr_eq(kept, pool)) {
                pool.retire();
            }
        }
        next
    }

    pub(super) fn service(&self, index: usize) -> Option<&Rc<ServiceView>> {
        self.services.get(index)
    }

    /// The service whose canary this host is for. Lower case, without port.
    pub(super) fn preview(&self, host: &str) -> Option<usize> {
        // Almost nobody has one: then nothing is hashed.
        if self.previews.is_empty() { None } else { self.previews.get(host).copied() }
    }

    /// Whether requests still wait for the end of this hold.
    pub(super) fn holds(&self, hold: &Arc<Hold>) -> bool {
        let holds = self.services.iter().filter_map(|service| service.hold.as_ref());
        holds.into_iter().any(|one| Arc::ptr_eq(one, hold))
    }

    /// What became of a service of an earlier view.
    pub(super) fn same_service(&self, earlier: &Rc<ServiceView>) -> Option<&Rc<ServiceView>> {
        self.services.iter().find(|service| Rc::ptr_eq(service, earlier) || service.name == earlier.name)
    }

    /// What became of a version of a service of an earlier view.
    pub(super) fn same_version(&self, earlier: &Rc<ServiceView>, version: usize) -> Option<&Version> {
        let service = self.same_service(earlier)?;
        let name = &earlier.versions[version].name;
        service.versions.iter().find(|version| version.name == *name)
    }

    /// Whether a version of a service of an earlier view is (still) given a share of its requests.
    pub(super) fn has_share(&self, earlier: &Rc<ServiceView>, version: usize) -> bool {
        let name = &earlier.versions[version].name;
        self.same_service(earlier).is_some_and(|service| {
            let mut arms = service.split.arms().iter();
            arms.any(|arm| arm.weight > Weight::ZERO && service.versions[arm.version].name == *name)
        })
    }

    /// The less loaded of two endpoints of a version that are not among `tried`.
    pub(super) fn pick(&self, version: &Version, tried: &[EndpointId]) -> Option<Rc<Pool>> {
        let picked = pick(
            &version.endpoints,
            fastrand::u64(..),
            |endpoint| {
                let counts = &endpoint.cells.workers;
                // This worker's own load is a fair sample. On probation one request at a time means one in all.
                let in_flight = match endpoint.standing {
                    Standing::Ready => counts[self.worker].in_flight.get(),
                    Standing::Probation => counts.iter().map(|counts| counts.in_flight.get()).sum(),
                };
                u32::try_from(in_flight.max(0)).unwrap_or(u32::MAX)
            },
            |id| !tried.contains(&id),
        )?;
        self.pool(picked.id).cloned()
    }

    /// Closes connections that waited for too long.
    pub(super) fn reap(&self, now: Timestamp) {
        for pool in self.pools.iter().flatten() {
            pool.reap(now);
        }
    }

    /// Closes all idle connections to endpoints.
    pub(super) fn retire(&self) {
        for pool in self.pools.iter().flatten() {
            pool.retire();
        }
    }

    fn pool(&self, id: EndpointId) -> Option<&Rc<Pool>> {
        let slot = self.pools.get(usize::try_from(id.slot).ok()?)?;
        slot.as_ref().filter(|pool| pool.id == id)
    }

    /// `index`: where it is now, and most likely was before.
    fn keep_service(&self, index: usize, service: &Arc<Service>) -> Rc<ServiceView> {
        let here = self.services.get(index).filter(|known| known.name == service.name);
        let known = here.or_else(|| self.services.iter().find(|known| known.name == service.name));
        if let Some(same) = known.filter(|known| Arc::ptr_eq(&known.service, service)) {
            return same.clone();
        }
        let budget = known.map(|known| known.budget.clone()).unwrap_or_default();
        Rc::new(ServiceView { service: service.clone(), budget, gate: self.gates.of(service) })
    }

    fn keep_pools(&self, snapshot: &Snapshot) -> Vec<Option<Rc<Pool>>> {
        let mut pools = Vec::new();
        let versions = snapshot.services.iter().flat_map(|service| &service.versions);
        for endpoint in versions.flat_map(|version| &version.endpoints) {
            let Ok(slot) = usize::try_from(endpoint.id.slot) else { continue };
            if pools.len() <= slot {
                pools.resize_with(slot + 1, || None);
            }
            let known = self.pool(endpoint.id).filter(|pool| Arc::ptr_eq(&pool.cells, &endpoint.cells));
            pools[slot] = Some(known.cloned().unwrap_or_else(|| Rc::new(Pool::new(endpoint, self.worker))));
        }
        pools
    }
}

fn previews(snapshot: &Snapshot) -> HashMap<Box<str>, usize> {
    let hosts = snapshot.services.iter().map(|service| service.policy.preview_host.clone());
    (0..).zip(hosts).filter_map(|(index, host)| Some((host?, index))).collect()
}

impl Deref for ServiceView {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
