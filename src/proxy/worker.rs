//! One worker: a thread with a runtime of its own that accepts, serves and drains. A request lives and dies here.

mod door;
mod listed;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::client::life::{Ending, Life};
use super::client::relayed::NoHeader;
use super::date::{HttpDate, http_date};
use super::tunnel::open_ones::OpenTunnels;
use super::view::View;
use super::{Common, Handshake, Shared, Turned};
use crate::clock::Clock;
use crate::domain::routing::Snapshot;
use crate::domain::stats::{PerWorker, VersionCells};
use crate::telemetry::LogWriter;
pub(super) use door::Door;

/// Between two looks at log, snapshot and connections.
const TICK: Duration = Duration::from_millis(100);
/// Every so many ticks connections and pools are looked at.
const SWEEP: u32 = 5;
/// What is read at once, and so the most that a tunnel holds per direction.
const SCRATCH: usize = 64 * 1024;

/// What all tasks of one worker share.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) clock: Clock,
    pub(super) log: RefCell<LogWriter>,
    pub(super) wake: Arc<Notify>,
    pub(super) published: Arc<Notify>,
    pub(super) tunnels: OpenTunnels,
    /// What clients' heads and tunnels are read into: whoever waits owns no buffer.
    pub(super) scratch: RefCell<Box<[u8]>>,
    date: Cell<HttpDate>,
    live: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    view: RefCell<Rc<View>>,
    connections: RefCell<Vec<Rc<Life>>>,
    emptied: Notify,
    draining: Cell<bool>,
    leaving: Notify,
    common: Arc<Common>,
}

/// What the workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// Counts a panic that passes by.
struct PanicCount(Arc<Common>);

/// Runs a worker on this thread until it is told to stop, or has drained.
pub(super) async fn run(
    worker: Rc<Worker>,
    doors: Vec<Door>,
    mut phase: watch::Receiver<Phase>,
    drain: Duration,
) {
    let mut accepting = JoinSet::new();
    for door in doors {
        accepting.spawn_local(door.take_in_all(worker.clone()));
    }
    let mut house = JoinSet::new();
    house.spawn_local(keep_house_always(worker.clone()));
    house.spawn_local(heed(worker.clone()));
    // An error means that nobody is left to tell us anything: stop.
    let told = phase.wait_for(|phase| *phase != Phase::Serving).await.map_or(Phase::Stopped, |phase| *phase);
    if told == Phase::Draining {
        worker.begin_drain(drain);
        let deadline = worker.clock.now() + drain;
        tokio::select! {
            () = worker.empty(&mut accepting) => {}
            () = worker.clock.sleep_until(deadline) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => {}
        }
    }
    worker.end();
}

impl Worker {
    pub(super) fn new(index: usize, shared: &Shared, common: Arc<Common>) -> Rc<Self> {
        let snapshot = shared.live.load_full();
        Rc::new(Self {
            index,
            clock: shared.clock.clone(),
            log: RefCell::new(shared.log.writer()),
            wake: shared.wake.clone(),
            published: shared.published.clone(),
            tunnels: OpenTunnels::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            date: Cell::new(http_date(shared.clock.now())),
            live: RefCell::new(Cache::new(shared.live.clone())),
            view: RefCell::new(Rc::new(View::first(snapshot, index, common.gates.clone()))),
            connections: RefCell::default(),
            emptied: Notify::new(),
            draining: Cell::new(false),
            leaving: Notify::new(),
            common,
        })
    }

    /// The newest snapshot as this worker sees it.
    pub(super) fn view(&self) -> Rc<View> {
        let mut live = self.live.borrow_mut();
        let newest = live.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(newest, &view.snapshot) {
            *view = Rc::new(view.next(newest.clone()));
        }
        view.clone()
    }

    /// The time for `Date`, not older than a tick.
    pub(super) fn date(&self) -> HttpDate {
        self.date.get()
    }

    /// Whether it takes in no more, and lets go of those who wait.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Ready when draining begins.
    pub(super) fn draining_began(&self) -> Notified<'_> {
        self.leaving.notified()
    }

    /// Where requests without a route are counted. `None` in the middle of a panic.
    pub(super) fn unrouted(&self) -> Option<Arc<PerWorker<VersionCells>>> {
        Some(self.view.try_borrow().ok()?.snapshot.unrouted.clone())
    }

    /// Counts how a TLS handshake went.
    pub(super) fn handshake(&self, how: Handshake) {
        self.common.vitals.handshakes[how.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a task here. A panic in it ends it and nothing else.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let count = PanicCount(self.common.clone());
        tokio::task::spawn_local(async move {
            let _count = count;
            task.await;
        });
    }

    /// Does one step of something, whose panic ends that thing and nothing else. `None`: it panicked.
    pub(super) fn guarded<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(step)).ok();
        if done.is_none() {
            self.common.vitals.panics.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    /// A connection ends before anything was asked: it does not say whom it is from.
    pub(super) fn disbelieve(&self, peer: IpAddr, why: &NoHeader) {
        if let NoHeader::Untrusted | NoHeader::Bad(_) = why {
            self.common.vitals.turned(Turned::ProxyHeader);
            tracing::debug!(%peer, %why, "a connection was closed: it must begin with a PROXY header");
        }
    }

    fn begin_drain(&self, drain: Duration) {
        self.draining.set(true);
        // The other half is for their goodbyes, and for the requests in flight.
        self.tunnels.end_all(self.clock.now(), drain / 2);
        for life in self.connections.borrow().iter() {
            life.end(Ending::Gently);
        }
        // Last: once a listener is closed, every connection knows that it goes.
        self.leaving.notify_waiters();
    }

    /// Returns once the last connection is gone and no other can come.
    async fn empty(&self, accepting: &mut JoinSet<()>) {
        while accepting.join_next().await.is_some() {}
        while !self.connections.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }

    fn end(&self) {
        self.view.borrow().retire();
        self.log.borrow_mut().flush();
    }
}

/// Whoever waits for what the newest snapshot has lost must not wait for the next tick.
async fn heed(worker: Rc<Worker>) {
    loop {
        // Before looking: what happens in between is not missed.
        let news = worker.published.notified();
        worker.view().leave_the_lost();
        news.await;
    }
}

/// A panic on the round is counted, and the next round begins.
async fn keep_house_always(worker: Rc<Worker>) {
    loop {
        let count = PanicCount(worker.common.clone());
        let house = keep_house(worker.clone());
        let rounds = tokio::task::spawn_local(async move {
            let _count = count;
            house.await;
        });
        if let Err(error) = rounds.await {
            tracing::error!(%error, "a worker's housekeeping panicked");
        }
    }
}

/// Does what no request should have to wait for.
async fn keep_house(worker: Rc<Worker>) {
    for tick in 0_u32.. {
        worker.clock.sleep_until(worker.clock.now() + TICK).await;
        worker.log.borrow_mut().flush();
        let (view, now) = (worker.view(), worker.clock.now());
        worker.date.set(http_date(now));
        worker.tunnels.look(&view, now, tick % SWEEP == 0);
        // Control may learn only later that an endpoint which left is lost.
        view.leave_the_lost();
        if tick % SWEEP == 0 {
            view.reap(now);
            for life in worker.connections.borrow().iter() {
                life.look(now);
            }
        }
    }
}

impl Drop for PanicCount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.vitals.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}
