//! What clients saw, and whether they go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::harness::now;

/// Complaints that are kept word for word.
const KEPT: usize = 20;

/// Whole answers by kind of client, service and status.
pub(crate) type Counts = BTreeMap<(String, String, u16), u64>;

/// What all that is under way writes to, and is stopped by.
#[derive(Default)]
pub(crate) struct Tally {
    calm: AtomicBool,
    stopped: AtomicBool,
    changed: Condvar,
    lock: Mutex<()>,
    counts: Mutex<Counts>,
    did: Mutex<BTreeMap<&'static str, u64>>,
    complaints: Mutex<Vec<String>>,
}

impl Tally {
    /// The same account, open again.
    pub(crate) fn again(&self) -> Self {
        let (counts, did) = (self.counts(), self.did.lock().unwrap().clone());
        let complaints = self.complaints();
        Self { counts: counts.into(), did: did.into(), complaints: complaints.into(), ..Self::default() }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// No more is released, reloaded or killed: what is under way of that needs traffic to come to its end.
    pub(crate) fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Clients end what they are at.
    pub(crate) fn stop(&self) {
        let _lock = self.lock.lock().unwrap();
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    pub(crate) fn wait_until_stopped(&self) {
        self.pause(Duration::from_secs(24 * 3600));
    }

    /// Does nothing for so long, or until the load stops.
    pub(crate) fn pause(&self, long: Duration) {
        let until = now() + long;
        let mut lock = self.lock.lock().unwrap();
        while !self.is_stopped() && now() < until {
            lock = self.changed.wait_timeout(lock, until - now()).unwrap().0;
        }
    }

    /// So many whole answers.
    pub(crate) fn add(&self, kind: &str, service: &str, status: u16, count: u64) {
        let key = (kind.to_owned(), service.to_owned(), status);
        *self.counts.lock().unwrap().entry(key).or_default() += count;
    }

    /// Something else that was done.
    pub(crate) fn did(&self, what: &'static str) {
        *self.did.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(crate) fn done(&self, what: &str) -> u64 {
        self.did.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    /// Something went wrong that must not.
    pub(crate) fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock().unwrap();
        if complaints.len() < KEPT {
            complaints.push(what);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }

    /// How much of what there was.
    pub(crate) fn report(&self) -> String {
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        for ((kind, service, _), count) in self.counts() {
            *kinds.entry(format!("{kind} to {service}")).or_default() += count;
        }
        let all: u64 = kinds.values().sum();
        format!("{all} requests: {kinds:?}\n{:?}", self.did.lock().unwrap())
    }
}
