//! THE DATA PLANE: carries requests on worker threads of its own. It imports domain, telemetry and the clock, never
//! control, config, provider or health: all it knows of them is one snapshot.
//!
//! The way of a request: `worker::door` accepts on the sockets of `client::listeners` -> `client::connection` reads whom it
//! is from, where that is said (`client::relayed`), and finds the protocol
//! -> `handler`, which reads as the steps: `request::normalize`, the snapshot's matcher, `request::admit`, `request::assign`,
//! `endpoint::forward` on a connection of `endpoint::pool` -> `answer` streams the body back -> `observe` counts when it
//! has ended. A 101 that was asked for makes a `tunnel` of the two connections.

mod alarm;
mod answer;
mod block;
mod client;
mod date;
mod endpoint;
mod fault;
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod http1;
mod observe;
mod request;
mod tunnel;
mod turn;
mod view;
mod vitals;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, watch};

use client::crowd::{Crowd, Present};
pub use client::listeners::{BindError, Listener, ToHttps};
use client::{descriptors, listeners};
use request::gate::Gates;
pub use vitals::{Handshake, Turned, Vitals};
use worker::{Door, Phase, Worker};

use crate::clock::Clock;
use crate::domain::routing::{Limits, Snapshot};
use crate::telemetry::AccessLog;

/// What the workers share with the rest of the program.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The routing that serves. Control is its only writer.
    pub live: Arc<ArcSwap<Snapshot>>,
    /// Told when control should look at the counts now: a canary failed a request, or an endpoint keeps failing.
    pub wake: Arc<Notify>,
    /// Told when `live` has a new snapshot: requests may wait for one.
    pub published: Arc<Notify>,
    /// The time.
    pub clock: Clock,
    /// Where requests are logged.
    pub log: AccessLog,
}

/// Worker threads that serve.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    common: Arc<Common>,
}

/// Ends the workers from wherever it is held.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Phase>);

/// Sockets that are bound, and no worker yet. Clients can connect already; they wait.
#[derive(Debug)]
pub struct Bound {
    /// By listener; of each one socket for each worker.
    sockets: Vec<(Listener, Vec<TcpListener>)>,
    workers: usize,
    room: u64,
}

/// What the workers share with each other. Nothing of it is touched by a request that has no limit to obey.
#[derive(Debug, Default)]
struct Common {
    vitals: Arc<Vitals>,
    gates: Arc<Gates>,
    crowd: Arc<Crowd>,
    /// So many connections of clients leave files for other things.
    room: u64,
}

impl Workers {
    /// Binds all listeners for so many workers, at least one, before anything starts.
    ///
    /// # Errors
    /// For the first address that can't be bound: in use, not of this machine, not allowed.
    pub fn bind(listeners: Vec<Listener>, workers: usize) -> Result<Bound, BindError> {
        let workers = workers.max(1);
        let room = descriptors::room_for_clients();
        let sockets = listeners.into_iter().map(|listener| {
            let sockets = listeners::bind(listener.address, workers)?;
            Ok((listener, sockets))
        });
        let mut sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        listeners::lead_on(&mut sockets);
        Ok(Bound { sockets, workers, room })
    }

    /// Begins to end: no more connections are accepted, idle ones close at once, requests in flight may end until the
    /// time given at the start is over.
    pub fn drain(&self) {
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining;
            }
            serving
        });
    }

    /// Ends at once, whatever is in flight.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopped);
    }

    /// A switch that does what [`Workers::stop`] does, for another thread to hold.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.phase.clone())
    }

    /// Waits until all workers have ended. Blocks the thread.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
    }

    /// How they are; stays readable after their end.
    pub fn vitals(&self) -> Arc<Vitals> {
        self.common.vitals.clone()
    }
}

impl Stopper {
    /// Ends at once, whatever is in flight.
    pub fn stop(&self) {
        self.0.send_replace(Phase::Stopped);
    }
}

impl Bound {
    /// The addresses as really bound, in the order they were given.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let first = self.sockets.iter().filter_map(|(_, sockets)| sockets.first()?.local_addr().ok());
        first.collect()
    }

    /// So many connections of clients can be open at once, whatever the limits say: of the files that this process may
    /// open, others are for endpoints.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// Starts the workers. `drain`: how long requests in flight may take to end after [`Workers::drain`].
    ///
    /// # Errors
    /// When a thread or its runtime can't be made. None serves then.
    pub fn start(mut self, shared: Shared, drain: Duration) -> io::Result<Workers> {
        let (phase, _) = watch::channel(Phase::Serving);
        let common = Arc::new(Common { room: self.room, ..Common::default() });
        let mut workers = Workers { threads: Vec::new(), phase, common };
        let (started, outcomes) = mpsc::sync_channel(self.workers);
        for index in 0..self.workers {
            // Each takes one socket of each listener.
            let seat = Seat {
                index,
                sockets: self.sockets.iter_mut().filter_map(take_one).collect(),
                shared: shared.clone(),
                common: workers.common.clone(),
                phase: workers.phase.subscribe(),
                drain,
            };
            let started = started.clone();
            let thread = thread::Builder::new().name(format!("adit-worker-{index}"));
            workers.threads.push(thread.spawn(move || seat.work(&started))?);
        }
        // A worker that fails to start says so; the others end when `workers` is dropped.
        outcomes.iter().take(workers.threads.len()).collect::<io::Result<()>>()?;
        Ok(workers)
    }
}

impl Common {
    /// Whether one more connection of this client may be; counts it as one if that is limited.
    fn admit(&self, client: IpAddr, limits: &Limits) -> Result<Option<Present>, Turned> {
        let Some(most) = limits.connections_per_client else { return Ok(None) };
        let present = self.crowd.enter(client, most);
        if present.is_none() {
            self.vitals.turned(Turned::ClientLimit);
        }
        present.map(Some).ok_or(Turned::ClientLimit)
    }
}

/// What a worker's thread starts with.
struct Seat {
    index: usize,
    sockets: Vec<(Listener, TcpListener)>,
    shared: Shared,
    common: Arc<Common>,
    phase: watch::Receiver<Phase>,
    drain: Duration,
}

impl Seat {
    fn work(self, started: &mpsc::SyncSender<io::Result<()>>) {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tell(started, Err(error)),
        };
        let _inside = runtime.enter();
        let doors = self.sockets.into_iter().map(|(listener, socket)| Door::open(listener, socket));
        let doors = doors.collect::<io::Result<Vec<_>>>();
        match doors {
            Ok(doors) => {
                tell(started, Ok(()));
                let worker = Worker::new(self.index, &self.shared, self.common);
                runtime.block_on(worker::run(worker, doors, self.phase, self.drain));
            }
            Err(error) => tell(started, Err(error)),
        }
    }
}

fn take_one((listener, sockets): &mut (Listener, Vec<TcpListener>)) -> Option<(Listener, TcpListener)> {
    Some((listener.clone(), sockets.pop()?))
}

fn tell(started: &mpsc::SyncSender<io::Result<()>>, outcome: io::Result<()>) {
    // Whoever started us has gone on without waiting: it failed to start another worker, and we are about to end.
    let _gone = started.send(outcome);
}
