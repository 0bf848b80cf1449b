//! A worker's own mirror of the snapshot, rebuilt only when a new one was published. A request clones `Rc`s from it:
//! no counter that other cores write, no lock, no lookup by hash.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::pool::Pool;
use crate::domain::Timestamp;
use crate::domain::routing::{EndpointId, Service, Snapshot, Standing, Version, pick};

/// One snapshot as one worker sees it.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    services: Vec<Rc<ServiceView>>,
    /// By slot.
    pools: Vec<Option<Rc<Pool>>>,
}

/// A service as one worker sees it: what a long exchange holds on to, instead of the whole snapshot.
pub(super) struct ServiceView(Arc<Service>);

impl View {
    /// Of the first snapshot.
    pub(super) fn first(snapshot: Arc<Snapshot>) -> Self {
        Self { services: Vec::new(), pools: Vec::new(), snapshot: snapshot.clone() }.next(snapshot)
    }

    /// Of the snapshot that replaces this one's. What stays the same is kept, connections above all; endpoints that
    /// left are retired.
    pub(super) fn next(&self, snapshot: Arc<Snapshot>) -> Self {
        let next = Self {
            services: snapshot.services.iter().map(|service| self.keep_service(service)).collect(),
            pools: self.keep_pools(&snapshot),
            snapshot,
        };
        for pool in self.pools.iter().flatten() {
            if next.pool(pool.id).is_none() {
                pool.retire();
            }
        }
        next
    }

    pub(super) fn service(&self, index: usize) -> Option<&Rc<ServiceView>> {
        self.services.get(index)
    }

    /// The less loaded of two endpoints of a version that are not among `tried`.
    pub(super) fn pick(&self, version: &Version, tried: &[EndpointId], worker: usize) -> Option<Rc<Pool>> {
        let picked = pick(
            &version.endpoints,
            fastrand::u64(..),
            |endpoint| {
                let counts = &endpoint.cells.workers;
                // This worker's own load is a fair sample. On probation one request at a time means one in all.
                let in_flight = match endpoint.standing {
                    Standing::Ready => counts[worker].in_flight.get(),
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

    fn keep_service(&self, service: &Arc<Service>) -> Rc<ServiceView> {
        let same = self.services.iter().find(|known| Arc::ptr_eq(&known.0, service));
        same.cloned().unwrap_or_else(|| Rc::new(ServiceView(service.clone())))
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
            pools[slot] = Some(known.cloned().unwrap_or_else(|| Rc::new(Pool::new(endpoint))));
        }
        pools
    }
}

impl Deref for ServiceView {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}
