//! The loop. Per turn: hear what came, feed the machines, save, then act, compile once, publish once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::containers::Containers;
use super::deploy::Deployments;
use super::describe;
use super::drain::Drains;
use super::endpoints::{Addresses, Scene, Slots};
use super::handle::{Inbox, Message};
use super::hold::Holds;
use super::journal::{Journal, Outbox};
use super::outside::Outside;
use super::record::Pruned;
use super::recover::Recoveries;
use super::service::ServiceState;
use super::store::{Store, StoreError};
use crate::clock::Clock;
use crate::config::containers::Notice;
use crate::config::spec::Spec;
use crate::domain::container::Sighting;
use crate::domain::rollout::Machine;
use crate::domain::routing::{Matcher, Snapshot};
use crate::domain::stats::{PerWorker, VersionCells};
use crate::domain::{ServiceName, Timestamp};
use crate::health::{Probes, Report};
use crate::provider::docker::Restart;
use crate::provider::{Found, Names};
use crate::telemetry::Metrics;
use crate::tls::Keyrings;

/// Between two turns when nothing happens.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Workers may wake control once in so long: 200 judgements a second at most, however fast a canary fails.
const WAKE_PAUSE: Duration = Duration::from_millis(5);
/// Probe results and addresses that control has not looked at yet; their senders wait beyond that.
pub(crate) const REPORTS: usize = 256;

/// What control shares with the rest of the program.
#[derive(Clone)]
pub struct Surroundings {
    /// Where the time comes from.
    pub clock: Clock,
    /// Where the snapshot goes. Control is its only writer.
    pub live: Arc<ArcSwap<Snapshot>>,
    /// Workers notify it when a canary failed or an endpoint failed too often.
    pub wake: Arc<Notify>,
    /// Notified when `live` has a new snapshot.
    pub published: Arc<Notify>,
    /// Where the numbers go.
    pub metrics: Arc<Metrics>,
    /// How many workers count.
    pub workers: usize,
    /// The listeners' addresses as really bound, for status.
    pub listeners: Vec<String>,
    /// What the listeners show of themselves, for status.
    pub keyrings: Arc<Keyrings>,
    /// Where containers are restarted; `None`: there is no engine.
    pub restarts: Option<mpsc::Sender<Restart>>,
}

/// The one writer.
pub struct Control {
    pub(crate) around: Surroundings,
    pub(crate) store: Store,
    /// Machines of services that the config does not name now.
    pub(crate) recorded: BTreeMap<ServiceName, Machine>,
    pub(crate) holds: Holds,
    pub(crate) drains: Drains,
    /// What is wanted: the config, and over it what was deployed.
    pub(crate) spec: Spec,
    /// The config alone.
    pub(crate) file: Spec,
    /// The config, with the containers in it.
    pub(crate) base: Spec,
    pub(crate) deployments: BTreeMap<ServiceName, Deployments>,
    pub(crate) services: BTreeMap<ServiceName, ServiceState>,
    /// What the container engine said last; `None`: none is configured, or it has not been heard yet.
    pub(crate) sighting: Option<Sighting>,
    pub(crate) containers: Containers,
    pub(crate) recoveries: Recoveries,
    pub(crate) names: Addresses,
    pub(crate) slots: Slots,
    pub(crate) matcher: Arc<Matcher>,
    pub(crate) unrouted: Arc<PerWorker<VersionCells>>,
    pub(crate) resolver: Names,
    pub(crate) probes: Probes,
    pub(crate) outside: Outside,
    pub(crate) problems: Problems,
    pub(crate) started: Timestamp,
    pub(crate) generation: u64,
    /// What was published before, as long as a worker may have it: to take a large one apart is nothing for a worker.
    pub(crate) replaced: Vec<Arc<Snapshot>>,
    /// When all services are looked at even if nothing happens.
    pub(crate) next_tick: Timestamp,
    pub(crate) next_series: Timestamp,
    /// What happened beside decisions, and is not written yet.
    pub(crate) outbox: Outbox,
    pub(crate) pruned: Pruned,
    pub(crate) reports: mpsc::Receiver<Report>,
    found: mpsc::Receiver<Found>,
    pub(crate) first_round: Option<oneshot::Sender<()>>,
}

/// Which services a turn is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All: time has passed, or a worker called.
    All,
    /// Those that something happened to, and those in a rollout. A probe of one of a thousand services is no reason to
    /// look at the others.
    Changed,
}

/// What is not as it should be, by cause.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) config: Option<String>,
    pub(crate) store: Option<String>,
    pub(crate) names: BTreeMap<String, String>,
    /// Containers, labels and images that are not as they should be.
    pub(crate) containers: Vec<Notice>,
}

impl Control {
    /// Control that knows what the store recorded, and nothing yet of what is wanted. `first_round` is told once every
    /// endpoint has been checked.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn new(
        around: Surroundings,
        store: Store,
        spec: Spec,
        first_round: oneshot::Sender<()>,
    ) -> Result<Self, String> {
        let recorded = store.load().map_err(|error| error.to_string())?;
        let deployments = store.deployments().map_err(|error| error.to_string())?;
        let nothing = Spec { services: BTreeMap::new(), waiting: BTreeMap::new(), ..spec };
        let holds = Holds::recorded(&store).map_err(|error| error.to_string())?;
        let drains = Drains::recorded(&store).map_err(|error| error.to_string())?;
        let containers = Containers::knowing(store.builds().map_err(|error| error.to_string())?);
        let (reporter, reports) = mpsc::channel(REPORTS);
        let (finder, found) = mpsc::channel(REPORTS);
        let unrouted = around.live.load().unrouted.clone();
        Ok(Self {
            resolver: Names::new(around.clock.clone(), finder),
            probes: Probes::new(around.clock.clone(), reporter),
            outside: Outside::new(&around.clock),
            started: around.clock.now(),
            store,
            recorded,
            file: nothing.clone(),
            base: nothing.clone(),
            spec: nothing,
            deployments,
            holds,
            drains,
            services: BTreeMap::new(),
            sighting: None,
            containers,
            recoveries: Recoveries::default(),
            names: Addresses::new(),
            slots: Slots::default(),
            matcher: Arc::default(),
            unrouted,
            problems: Problems::default(),
            generation: 0,
            replaced: Vec::new(),
            next_tick: Timestamp::default(),
            next_series: Timestamp::default(),
            outbox: Outbox::default(),
            pruned: Pruned::default(),
            reports,
            found,
            first_round: Some(first_round),
            around,
        })
    }

    /// Readers of what it writes down.
    ///
    /// # Errors
    /// When the file can't be opened for reading.
    pub fn journal(&self) -> Result<Journal, StoreError> {
        self.store.journal()
    }

    /// Turns until all senders of `inbox` are gone or `stop` is notified.
    pub async fn run(mut self, mut inbox: Inbox, stop: Arc<Notify>) {
        let mut pauses = pauses();
        let mut deadline = self.deadline();
        loop {
            let mut scope = Some(Scope::Changed);
            tokio::select! {
                () = stop.notified() => break,
                Some(report) = self.reports.recv() => scope = self.probed_all(report),
                Some(found) = self.found.recv() => self.resolved(found),
                Some(report) = self.outside.report() => self.heard(report),
                message = inbox.recv() => match message {
                    Some(message) => self.hear(message),
                    None => break,
                },
                () = woken(&mut pauses, &self.around.wake) => scope = Some(Scope::All),
                () = self.around.clock.sleep_until(deadline) => scope = Some(Scope::All),
            }
            // However much else there is to do, all services are looked at once in a while.
            if self.around.clock.now() >= deadline {
                scope = Some(Scope::All);
            }
            if let Some(scope) = scope {
                self.turn(scope);
                deadline = self.deadline();
            }
        }
        info!("control stopped");
    }

    fn hear(&mut self, message: Message) {
        // An asker that no longer waits is no error: the command was carried out all the same.
        match message {
            Message::Desired(spec, by, reply) => {
                let _gone = reply.send(self.desire(spec, by));
            }
            Message::Command(command, reply) => {
                let _gone = reply.send(self.command(&command));
            }
            Message::Deploy(service, by, order, reply) => {
                let _gone = reply.send(self.deploy(&service, &by, &order));
            }
            Message::Sighted(sighting) => self.sighted(*sighting),
            Message::Hold(order, reply) => {
                let _gone = reply.send(self.hold(&order));
            }
            Message::Drain(order, reply) => {
                let _gone = reply.send(self.drain(&order));
            }
            Message::Status(reply) => {
                let _gone = reply.send(describe::status(self));
            }
        }
    }

    fn resolved(&mut self, found: Found) {
        match found.result {
            Ok(addresses) => {
                self.problems.names.remove(&found.name);
                if self.names.get(&found.name) != Some(&addresses) {
                    info!(name = found.name, ?addresses, "name resolved");
                    self.names.insert(found.name, addresses);
                    self.reconcile();
                }
            }
            Err(why) => {
                // The last good addresses stay: a resolver that is down must not empty a service.
                if self.problems.names.get(&found.name) != Some(&why) {
                    warn!(name = found.name, why, "name not resolved");
                }
                self.problems.names.insert(found.name, why);
            }
        }
    }

    /// Brings endpoints and probes in line with spec and names.
    pub(crate) fn reconcile(&mut self) {
        let scene = Scene {
            names: &self.names,
            sighting: self.sighting.as_ref(),
            workers: self.around.workers,
            now: self.around.clock.now(),
        };
        for service in self.services.values_mut() {
            service.reconcile(&scene, &mut self.slots);
        }
        self.take_up_drains();
        let watchful = self.watchfulness();
        self.probes.reconcile(self.services.values().flat_map(|it| it.probes(watchful)).collect());
        self.check_awaited();
    }

    fn deadline(&self) -> Timestamp {
        if self.problems.store.is_some() {
            // What is due can't be decided while it can't be saved: not a reason to try without a pause.
            return self.next_tick;
        }
        let due = self.services.values().filter_map(ServiceState::deadline).min();
        due.map_or(self.next_tick, |due| due.min(self.next_tick))
    }
}

fn pauses() -> Interval {
    let mut pauses = interval(WAKE_PAUSE);
    pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pauses
}

/// Returns when a worker calls, at most once in [`WAKE_PAUSE`]. A call that is taken and then cancelled is not lost:
/// whatever cancelled it leads to a turn that reads the same counters.
async fn woken(pauses: &mut Interval, wake: &Notify) {
    wake.notified().await;
    pauses.tick().await;
}
