//! The only place that wires: build, bind, spawn, drain. No decisions.

mod containers;
mod listeners;

use std::error::Error;
use std::fmt;
use std::io;
use std::iter::successors;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::warn;

use self::containers::Containers;
use crate::admin;
use crate::clock::Clock;
use crate::config::spec::{self, AdminAddress, Spec};
use crate::control::{Control, Handle, Inbox, ReloadRequest, Store, Surroundings};
use crate::domain::routing::{Limits, Snapshot};
use crate::provider::file;
use crate::proxy::{Shared, Stopper, Vitals, Workers};
use crate::telemetry::{AccessLog, Metrics};
use crate::tls::Keyrings;

/// How long to hold new connections in the listeners' queues until the first round of health checks is over.
const FIRST_ROUND: Duration = Duration::from_millis(1500);

/// How long the log's reader may take to read the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What to run.
pub struct Options {
    /// What is wanted.
    pub spec: Spec,
    /// Where it was read from, to be watched; `None`: it never changes.
    pub file: Option<PathBuf>,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The program, running. Dropping it does not stop it: see [`Running::drain`].
pub struct Running {
    listeners: Vec<SocketAddr>,
    /// By listener: `http` or `https`.
    schemes: Vec<&'static str>,
    admin: AdminAddress,
    handle: Handle,
    workers: Workers,
    stop_control: Arc<Notify>,
    control: JoinHandle<()>,
    log: AccessLog,
}

/// Cuts a drain short.
#[derive(Clone)]
pub struct StopSwitch(Stopper);

/// Why the program can't run: what, where, what to do.
#[derive(Debug)]
pub struct StartError(String);

/// Binds, spawns workers and control, and returns once requests are served.
///
/// # Errors
/// When an address is taken, the state can't be kept, or the config asks for what can't be done.
pub fn start(options: Options) -> Result<Running, StartError> {
    let Options { spec, file, clock } = options;
    let workers = spec.workers.map_or_else(cores, usize::from);
    let keyrings = Arc::new(Keyrings::load(&spec, clock.clone()).map_err(StartError)?);
    let bound = Workers::bind(listeners::of(&spec, &keyrings), workers).map_err(said)?;
    let admin = admin::bind(&spec.admin).map_err(said)?;
    warn_of_few_files(spec.limits.connections, bound.room());
    let store = Store::open(&spec.state_dir).map_err(said)?;
    let log = access_log(spec.access_log)?;
    let listeners = bound.addresses();
    let schemes = spec.listeners.iter().map(|one| if one.tls.is_some() { "https" } else { "http" }).collect();
    let metrics = Metrics::new();
    metrics.watch_log(log.clone());
    let (containers, restarts) = containers::of(&spec, &clock, &metrics).map_err(StartError)?;
    let around = Surroundings {
        clock: clock.clone(),
        live: Arc::new(ArcSwap::from_pointee(Snapshot::empty(workers))),
        wake: Arc::new(Notify::new()),
        published: Arc::new(Notify::new()),
        metrics: metrics.clone(),
        workers,
        listeners: listeners.iter().map(ToString::to_string).collect(),
        keyrings: keyrings.clone(),
        restarts,
    };
    let shared = Shared {
        live: around.live.clone(),
        wake: around.wake.clone(),
        published: around.published.clone(),
        clock: clock.clone(),
        log: log.clone(),
    };
    let (handle, inbox, reloads) = Handle::new();
    let stop_control = Arc::new(Notify::new());
    let (admin_address, drain) = (admin.address().clone(), spec.drain);
    let (ready, started) = sync_channel(1);
    let room = Room {
        around,
        store,
        spec,
        admin,
        containers,
        handle: handle.clone(),
        inbox,
        reloads,
        watched: file,
        stop: stop_control.clone(),
    };
    let control = thread::Builder::new()
        .name("adit-control".to_owned())
        .spawn(move || room.run(ready))
        .map_err(|error| StartError(format!("can't start the control thread: {error}")))?;
    started.recv().map_err(|_| StartError("control ended while it was starting".to_owned()))??;
    let workers = bound
        .start(shared, drain)
        .map_err(|error| StartError(format!("can't start the workers: {error}")))?;
    let vitals = workers.vitals();
    listeners::watch_tls(&metrics, &keyrings, &vitals);
    show(&vitals, &metrics);
    Ok(Running { listeners, schemes, admin: admin_address, handle, workers, stop_control, control, log })
}

fn access_log(wanted: spec::AccessLog) -> Result<AccessLog, StartError> {
    match wanted {
        spec::AccessLog::Stdout => AccessLog::to(io::stdout())
            .map_err(|error| StartError(format!("can't start the access log's thread: {error}"))),
        spec::AccessLog::Off => Ok(AccessLog::off()),
    }
}

/// Shows in metrics how the workers are.
fn show(vitals: &Arc<Vitals>, metrics: &Metrics) {
    let reading = |read: fn(&Vitals) -> u64| {
        let vitals = vitals.clone();
        move || read(&vitals)
    };
    metrics.watch_connections(reading(Vitals::connections));
    metrics.watch_panics(reading(Vitals::panics));
    metrics.watch_turned_away({
        let vitals = vitals.clone();
        move || vitals.turned_away().map(|(why, count)| (why.as_str(), count)).to_vec()
    });
}

fn warn_of_few_files(wanted: u32, room: u64) {
    // What nobody asked for is no reason to warn: then there are as many as possible.
    if u64::from(wanted) > room && wanted != Limits::default().connections {
        warn!(
            wanted,
            possible = room,
            "limits.connections can't be met: a process needs a file per connection, and some for endpoints; raise its limit \
             (`ulimit -n`, LimitNOFILE=, --ulimit nofile=), or lower limits.connections"
        );
    }
}

/// Everything that runs on the control thread.
struct Room {
    around: Surroundings,
    store: Store,
    spec: Spec,
    admin: admin::Bound,
    containers: Containers,
    handle: Handle,
    inbox: Inbox,
    reloads: mpsc::Receiver<ReloadRequest>,
    watched: Option<PathBuf>,
    stop: Arc<Notify>,
}

impl Room {
    /// Runs until told to stop; says through `ready` when the first round of checks is over, or why it can't run.
    fn run(self, ready: SyncSender<Result<(), StartError>>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _gone = ready.send(Err(StartError(format!("can't start control's runtime: {error}"))));
                return;
            }
        };
        runtime.block_on(self.serve(ready));
    }

    async fn serve(self, ready: SyncSender<Result<(), StartError>>) {
        let (told, first_round) = oneshot::channel();
        let mut control = match Control::new(self.around.clone(), self.store, self.spec.clone(), told) {
            Ok(control) => control,
            Err(why) => {
                let _gone = ready.send(Err(StartError(why)));
                return;
            }
        };
        let containers = self.containers.begin(&mut control).await;
        if let Err(why) = control.begin(self.spec) {
            let _gone = ready.send(Err(StartError(why)));
            return;
        }
        let journal = match control.journal() {
            Ok(journal) => journal,
            Err(error) => {
                let _gone = ready.send(Err(said(error)));
                return;
            }
        };
        let stop_admin = self.stop.clone();
        let admin =
            admin::serve(self.admin, self.handle.clone(), journal, self.around.metrics.clone(), async move {
                stop_admin.notified().await;
            });
        let reloading =
            reload_when_asked(self.watched, self.around.clone(), self.reloads, self.handle.clone());
        let certificates = self.around.keyrings.clone().watch();
        let containers = containers.forward(self.handle.clone());
        let waiting = async move {
            // Late endpoints don't keep the door shut: requests then find out what is ready.
            let _late = tokio::time::timeout(FIRST_ROUND, first_round).await;
            let _gone = ready.send(Ok(()));
        };
        let others = async { tokio::join!(admin, reloading, certificates, containers, waiting) };
        tokio::select! {
            () = control.run(self.inbox, self.stop) => {}
            ((), (), (), (), ()) = others => {}
        }
    }
}

/// Reads the config again when its file changes or when someone asks, and has control apply it.
async fn reload_when_asked(
    watched: Option<PathBuf>,
    around: Surroundings,
    mut requests: mpsc::Receiver<ReloadRequest>,
    handle: Handle,
) {
    let Some(path) = watched else { return refuse_reloads(requests).await };
    if file::single_file_mount(&path) {
        warn!(
            file = %path.display(),
            "this file is mounted by itself: a save that replaces it will never be seen here; mount its folder instead"
        );
    }
    let mut watcher = file::Watcher::new(&path, around.clock.clone());
    loop {
        let asked = tokio::select! {
            () = watcher.changed() => None,
            request = requests.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
        };
        let (by, reply) = asked.map(|ReloadRequest { by, reply }| (by, reply)).unzip();
        let spec = watcher.load().await.map_err(|error| error.to_string());
        let mut outcome = handle.desire(spec.clone(), by).await;
        match (&mut outcome, spec) {
            (Ok(reloaded), Ok(spec)) => reloaded.problems.extend(around.keyrings.reload(&spec)),
            // Whoever replaced a certificate is not held up by what somebody else wrote into the config.
            _ => around.keyrings.look(),
        }
        if let Some(reply) = reply {
            // Whoever asked may have gone; the reload took effect all the same.
            let _gone = reply.send(outcome);
        }
    }
}

async fn refuse_reloads(mut requests: mpsc::Receiver<ReloadRequest>) {
    while let Some(ReloadRequest { reply, .. }) = requests.recv().await {
        let why = "adit runs without a config file; there is nothing to reload".to_owned();
        let _gone = reply.send(Err(crate::control::ReloadError::Refused(why)));
    }
}

impl Running {
    /// Where clients connect, as really bound.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The same as clients write it: `https://127.0.0.1:8443`.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        self.schemes.iter().zip(&self.listeners).map(|(scheme, address)| format!("{scheme}://{address}"))
    }

    /// Where the admin API listens, as really bound.
    pub fn admin(&self) -> &AdminAddress {
        &self.admin
    }

    /// How to speak to control.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends at once, from another thread, what [`Running::drain`] would wait for.
    pub fn stop_switch(&self) -> StopSwitch {
        StopSwitch(self.workers.stopper())
    }

    /// Stops accepting, lets requests in flight end (as long as `drain` in the config says), then stops. Blocks.
    pub fn drain(self) {
        self.workers.drain();
        self.workers.join();
        self.stop_control.notify_waiters();
        self.stop_control.notify_one();
        if self.control.join().is_err() {
            warn!("the control thread had panicked");
        }
        if !self.log.finish(LAST_LINES) {
            warn!("standard output takes no more: the last lines of the access log are lost");
        }
    }
}

impl StopSwitch {
    /// Ends at once: requests in flight are cut off.
    pub fn now(&self) {
        self.0.stop();
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// An error with all its causes.
fn said(error: impl Error) -> StartError {
    let causes = successors(error.source(), |&cause| cause.source());
    StartError(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for StartError {}
