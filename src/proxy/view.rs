//! A worker's own mirror of the snapshot, rebuilt only when a new one was published. A request clones `Rc`s from it:
//! no counter that other cores write, no lock, no lookup by hash.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::endpoint::connect::Speech;
use super::endpoint::pool::Pool;
use super::request::gate::{Gate, Gates};
use crate::domain::routing::{Budget, EndpointId, Hold, Role, Service, Snapshot, Standing, Version, pick};
use crate::domain::{Timestamp, Weight};

/// One snapshot as one worker sees it.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    services: Vec<Rc<ServiceView>>,
    /// By slot.
    pools: Vec<Option<Rc<Pool>>>,
    /// The services whose canary is called by a host of its own.
    previews: HashMap<Box<str>, usize>,
    /// Of endpoints that left, as long as anybody waits for them.
    left: RefCell<Vec<Weak<Pool>>>,
    worker: usize,
    gates: Arc<Gates>,
}

/// Where a version of an earlier view stands among those that get requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is one of them, or nothing is known: even with a share of nothing it is where requests may come again.
    Share,
    /// It is the canary, and gets nothing.
    CanaryWithoutShare,
    /// It is none of them.
    Outside,
}

/// A service as one worker sees it: what a long exchange holds on to, instead of the whole snapshot.
pub(super) struct ServiceView {
    service: Arc<Service>,
    /// Of rescues. This worker's; outlives the snapshot.
    pub(super) budget: Rc<RefCell<Budget>>,
    /// How its endpoints are spoken to; stays while that stays.
    speech: Rc<Speech>,
    /// Of retries, by version. This worker's; outlive the snapshot.
    retries: Vec<Rc<RefCell<Budget>>>,
    /// All workers'; `None`: everybody may come in.
    pub(super) gate: Option<Arc<Gate>>,
}

impl View {
    /// Of the first snapshot.
    pub(super) fn first(snapshot: Arc<Snapshot>, worker: usize, gates: Arc<Gates>) -> Self {
        let (services, pools, previews) = (Vec::new(), Vec::new(), HashMap::new());
        let left = RefCell::default();
        Self { services, pools, previews, left, worker, gates, snapshot: snapshot.clone() }.next(snapshot)
    }

    /// Of the snapshot that replaces this one's. What stays the same is kept, connections above all; endpoints that
    /// left are retired.
    pub(super) fn next(&self, snapshot: Arc<Snapshot>) -> Self {
        let services: Vec<_> =
            (0..).zip(&snapshot.services).map(|(index, service)| self.keep_service(index, service)).collect();
        let next = Self {
            pools: self.keep_pools(&services),
            services,
            previews: previews(&snapshot),
            left: RefCell::new(self.left.take()),
            worker: self.worker,
            gates: self.gates.clone(),
            snapshot,
        };
        for pool in self.pools.iter().flatten() {
            if next.pool(pool.id).is_none_or(|kept| !Rc::ptr_eq(kept, pool)) {
                pool.retire();
                next.left.borrow_mut().push(Rc::downgrade(pool));
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

    /// Where a version of a service of an earlier view stands now.
    pub(super) fn place(&self, earlier: &Rc<ServiceView>, version: usize) -> Place {
        let Some(service) = self.same_service(earlier).filter(|service| !service.split.arms().is_empty())
        else {
            return Place::Share;
        };
        let name = &earlier.versions[version].name;
        let mut arms = service.split.arms().iter();
        match arms.find(|arm| service.versions[arm.version].name == *name) {
            None => Place::Outside,
            Some(arm) if arm.role == Role::Canary && arm.weight == Weight::ZERO => Place::CanaryWithoutShare,
            Some(_) => Place::Share,
        }
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
                    Standing::Ready => counts[self.worker].busy(),
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

    /// Whoever waits for an endpoint that left and is lost goes elsewhere.
    pub(super) fn leave_the_lost(&self) {
        self.left.borrow_mut().retain(|pool| {
            let pool = pool.upgrade();
            pool.inspect(|pool| pool.leave_if_lost()).is_some()
        });
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
        let speech = known.map(|known| &known.speech);
        let speech = speech.filter(|speech| speech.connection == service.policy.connection).cloned();
        let speech = speech.unwrap_or_else(|| Speech::new(&service.policy.connection));
        let retries = service.versions.iter().map(|version| {
            let kept = |known: &Rc<ServiceView>| {
                known.version_named(version.name.as_str()).map(|index| known.retries[index].clone())
            };
            known.and_then(kept).unwrap_or_default()
        });
        Rc::new(ServiceView {
            service: service.clone(),
            budget,
            retries: retries.collect(),
            speech,
            gate: self.gates.of(service),
        })
    }

    fn keep_pools(&self, services: &[Rc<ServiceView>]) -> Vec<Option<Rc<Pool>>> {
        let mut pools = Vec::new();
        let endpoints = services.iter().flat_map(|service| {
            let endpoints = service.versions.iter().flat_map(|version| &version.endpoints);
            endpoints.map(|endpoint| (&service.speech, endpoint))
        });
        for (speech, endpoint) in endpoints {
            let Ok(slot) = usize::try_from(endpoint.id.slot) else { continue };
            if pools.len() <= slot {
                pools.resize_with(slot + 1, || None);
            }
            let known = self
                .pool(endpoint.id)
                .filter(|pool| Arc::ptr_eq(&pool.cells, &endpoint.cells) && Rc::ptr_eq(&pool.speech, speech));
            let pool = known.cloned().unwrap_or_else(|| Rc::new(Pool::new(endpoint, speech, self.worker)));
            pools[slot] = Some(pool);
        }
        pools
    }
}

impl ServiceView {
    /// How many requests of this version may still be sent again.
    pub(super) fn retries(&self, version: usize) -> RefMut<'_, Budget> {
        self.retries[version].borrow_mut()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::routing::{Endpoint, Split};
    use crate::domain::stats::{EndpointCells, PerWorker};

    fn endpoint(slot: u32) -> Endpoint {
        Endpoint {
            id: EndpointId { slot, birth: slot },
            address: ([127, 0, 0, 1], 9000).into(),
            declared: "127.0.0.1:9000".into(),
            standing: Standing::Ready,
            cells: Arc::new(EndpointCells::new(1)),
        }
    }

    /// A snapshot whose one service has these endpoints.
    fn snapshot(endpoints: &[Endpoint]) -> Arc<Snapshot> {
        let version =
            Version { name: "v1".into(), endpoints: endpoints.to_vec(), cells: Arc::new(PerWorker::new(1)) };
        let service = Service {
            name: "web".into(),
            policy: Arc::default(),
            versions: vec![version],
            split: Split::whole(0),
            rollout: None,
            hold: None,
            limiter: None,
        };
        Arc::new(Snapshot { services: vec![Arc::new(service)], ..Snapshot::empty(1) })
    }

    #[test]
    fn a_worker_keeps_the_pools_of_endpoints_that_stay_and_makes_those_of_new_ones() {
        let endpoints: Vec<_> = (0..100).map(endpoint).collect();
        let first = View::first(snapshot(&endpoints[..99]), 0, Arc::default());
        let next = first.next(snapshot(&endpoints[1..]));
        let kept = |id| match (first.pool(id), next.pool(id)) {
            (Some(before), Some(now)) => Some(Rc::ptr_eq(before, now)),
            (None, Some(_)) => Some(false),
            (_, None) => None,
        };
        let kept: Vec<_> = endpoints.iter().map(|endpoint| kept(endpoint.id)).collect();
        let expected = [None].into_iter().chain([Some(true); 98]).chain([Some(false)]);
        assert_eq!(kept, expected.collect::<Vec<_>>());
    }
}
