//! What becomes of services when containers come, change and go: control alone, with a clock that stands still, and checks
//! and requests by hand.

mod doubt;
mod endpoints;
mod lingering;
mod publishing;
mod rollouts;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Control;
use crate::clock::{Clock, Manual};
use crate::config;
use crate::config::spec::Spec;
use crate::control::control::Scope;
use crate::control::endpoints::EndpointState;
use crate::control::store::By;
use crate::control::{Command, Store, Surroundings, Verb};
use crate::domain::container::{Container, Engine, Health, Image, Ports, Run, Sighting, Site};
use crate::domain::rollout::{Machine, PhaseName, Reason};
use crate::domain::routing::{EndpointId, Role, Service, Snapshot};
use crate::domain::{ServiceName, Timestamp, VersionName, Weight};
use crate::health::{CheckState, Condition, LastCheck, ProbeError, ProbeResult, Report};
use crate::provider::docker::Restart;
use crate::telemetry::Metrics;
use crate::tls::Keyrings;

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const FILE: &str = "[docker]\n[[listeners]]\naddress = '127.0.0.1:8080'\n";

/// Control, its store, and an engine of our making.
struct World {
    control: Control,
    hand: Arc<Manual>,
    clock: Clock,
    containers: BTreeMap<String, Container>,
    restarts: mpsc::Receiver<Restart>,
    dir: tempfile::TempDir,
}

fn spec(text: &str) -> Spec {
    config::parse(text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

impl World {
    fn new() -> Self {
        Self::with(FILE)
    }

    fn with(file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(START);
        let (control, restarts) = start(file, &clock, &dir);
        Self { control, hand, clock, containers: BTreeMap::new(), restarts, dir }
    }

    /// As after kill -9: only what is on the disk is left.
    fn restart(&mut self, file: &str) {
        let other = tempfile::tempdir().unwrap();
        let (idle, _) = start(FILE, &self.clock, &other);
        drop(std::mem::replace(&mut self.control, idle));
        (self.control, self.restarts) = start(file, &self.clock, &self.dir);
        self.see();
    }

    /// A container of service `web` runs from now on, created now.
    fn run(&mut self, name: &str, version: &str) {
        self.run_with(name, version, &[]);
    }

    fn run_with(&mut self, name: &str, version: &str, labels: &[(&str, &str)]) {
        self.hand.advance(Duration::from_secs(1));
        let container = container(name, version, self.clock.now(), labels);
        self.containers.insert(name.to_owned(), container);
        self.see();
    }

    /// Runs, and passes its first check.
    fn serve(&mut self, name: &str, version: &str) {
        self.run(name, version);
        self.good(name);
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Container)) {
        change(self.containers.get_mut(name).unwrap());
        self.see();
    }

    /// It ended: a container that does not run has no address.
    fn exit(&mut self, name: &str) {
        self.change(name, |it| {
            it.run = Run::Exited { code: 137, out_of_memory: false };
            it.ports.networks.clear();
        });
    }

    fn remove(&mut self, name: &str) {
        self.containers.remove(name);
        self.see();
    }

    fn see(&mut self) {
        let containers = self.containers.values().map(|it| (it.id.clone(), Arc::new(it.clone()))).collect();
        let engine = Engine::Connected { version: "28".to_owned() };
        self.control.sighted(Sighting { engine, site: Site::Host, containers });
        self.control.turn(Scope::Changed);
    }

    fn pass(&mut self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
        self.control.turn(Scope::All);
    }

    fn good(&mut self, name: &str) {
        let result = ProbeResult::Passed { status: None, took: Duration::from_millis(1) };
        self.probe(name, Condition::Up, result);
    }

    fn probe(&mut self, name: &str, condition: Condition, result: ProbeResult) {
        let id = self.endpoint(name).id;
        let mut state = CheckState::new(self.clock.now());
        (state.condition, state.last) = (condition, Some(LastCheck { at: self.clock.now(), result }));
        self.control.probed(Report { id, state });
        self.control.turn(Scope::Changed);
    }

    fn command(&mut self, verb: Verb) {
        let (service, who) = (ServiceName::from("web"), "ops".to_owned());
        self.control.command(&Command { service, verb, who, why: None }).unwrap();
    }

    fn endpoints(&self) -> impl Iterator<Item = &EndpointState> {
        let versions = self.control.services.values().flat_map(|service| service.versions.values());
        versions.flat_map(|version| &version.endpoints)
    }

    fn endpoint(&self, name: &str) -> &EndpointState {
        let is = |it: &&EndpointState| it.container.as_ref().is_some_and(|container| container.name == name);
        self.endpoints().find(is).unwrap_or_else(|| panic!("no endpoint is {name}"))
    }

    fn machine(&self) -> &Machine {
        &self.control.services["web"].release.as_ref().unwrap().machine
    }

    fn service(&self) -> Arc<Service> {
        let live = self.control.around.live.load();
        live.services.iter().find(|service| service.name.as_str() == "web").expect("web is served").clone()
    }

    fn is_served(&self) -> bool {
        self.control.around.live.load().services.iter().any(|service| service.name.as_str() == "web")
    }

    fn generation(&self) -> u64 {
        self.control.around.live.load().generation
    }

    /// Stable, the canary and its share, as the data plane divides requests.
    fn division(&self) -> String {
        let service = self.service();
        let name = |role| {
            let arm = service.split.arm(role)?;
            Some((service.versions[arm.version].name.clone(), arm.weight))
        };
        match (name(Role::Stable), name(Role::Canary)) {
            (Some((stable, _)), Some((canary, weight))) => format!("{stable} {canary} {weight}"),
            (Some((stable, _)), None) => format!("{stable}"),
            (None, canary) => format!("{canary:?}"),
        }
    }

    /// Where requests to this version may go.
    fn candidates(&self, version: &str) -> Vec<String> {
        let service = self.service();
        let found = service.versions.iter().find(|it| it.name.as_str() == version);
        found.map_or(Vec::new(), |it| it.endpoints.iter().map(|it| it.address.to_string()).collect())
    }

    fn phase(&self) -> PhaseName {
        self.machine().phase()
    }

    /// The whole journal, in words.
    fn journal(&mut self) -> Vec<String> {
        self.control.turn(Scope::All);
        let journal = self.control.journal().unwrap();
        let events = journal.after(0, None, 1_000).unwrap();
        events.into_iter().map(|event| format!("{} {} {:?}", event.kind, event.record, event.who)).collect()
    }

    fn told(&mut self, words: &str) -> usize {
        self.journal().iter().filter(|line| line.contains(words)).count()
    }
}

fn start(file: &str, clock: &Clock, dir: &tempfile::TempDir) -> (Control, mpsc::Receiver<Restart>) {
    let spec = spec(file);
    let (restarter, restarts) = mpsc::channel(8);
    let around = Surroundings {
        clock: clock.clone(),
        live: Arc::new(ArcSwap::from_pointee(Snapshot::empty(1))),
        wake: Arc::new(Notify::new()),
        published: Arc::new(Notify::new()),
        metrics: Metrics::new(),
        workers: 1,
        listeners: Vec::new(),
        keyrings: Arc::new(Keyrings::load(&spec, clock.clone()).unwrap()),
        restarts: Some(restarter),
    };
    let store = Store::open(dir.path()).unwrap();
    let (first_round, _nobody) = oneshot::channel();
    let mut control = Control::new(around, store, spec.clone(), first_round).unwrap();
    control.begin(spec).unwrap();
    (control, restarts)
}

fn digest(of: &str) -> String {
    let sum = of.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("{sum:064x}")
}

/// The address of a container: the number at the end of its name.
fn ip(name: &str) -> IpAddr {
    let number: u8 = name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
    let version = name.as_bytes().get(5).map_or(0, |digit| digit.saturating_sub(b'0'));
    IpAddr::from([10, 0, version, number])
}

/// `web-v2-1` of version `v2`, made of image `web:v2`.
fn container(name: &str, version: &str, created: Timestamp, labels: &[(&str, &str)]) -> Container {
    let own = [("adit.service", "web"), ("adit.port", "80"), ("adit.version", version)];
    let labels = own.iter().chain(labels).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Container {
        id: digest(&format!("{name}{created:?}")),
        name: name.to_owned(),
        created,
        image: Image {
            reference: format!("web:{version}"),
            id: format!("sha256:{}", digest(version)),
            ..Image::default()
        },
        labels: labels.collect(),
        run: Run::Running,
        health: None,
        ports: Ports { networks: BTreeMap::from([("net".to_owned(), ip(name))]), ..Ports::default() },
    }
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

#[tokio::test]
async fn the_first_version_that_is_seen_is_stable_at_once() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    assert_eq!((world.division().as_str(), world.candidates("v1")), ("v1", vec!["10.0.1.1:80".to_owned()]));
}

#[tokio::test]
async fn of_two_versions_that_are_there_at_first_the_older_one_is_stable_and_the_newer_one_is_released() {
    let mut world = World::new();
    world.containers.insert("web-v1-1".into(), container("web-v1-1", "v1", START, &[]));
    let later = START + Duration::from_secs(5);
    world.containers.insert("web-v2-1".into(), container("web-v2-1", "v2", later, &[]));
    world.see();
    assert_eq!(world.machine().stable().as_str(), "v1");
    assert_eq!(world.machine().rollout().map(|rollout| rollout.canary.as_str()), Some("v2"));
}

#[tokio::test]
async fn a_container_of_a_new_version_starts_a_rollout_that_says_which_container_it_was() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.run("web-v2-1", "v2");
    let reason = world.machine().rollout().map(|rollout| rollout.reason.to_string());
    assert_eq!(reason.as_deref(), Some("container web-v2-1 (image web:v2) came"));
    assert_eq!(world.machine().weight(), Weight::ZERO, "it is not ready");
    let story = world.control.journal().unwrap().story(&"web".into(), None).unwrap().unwrap();
    assert_eq!(story.rollout.reason, "container web-v2-1 (image web:v2) came");
    world.good("web-v2-1");
    assert_eq!(world.division(), "v1 v2 1 %");
}

#[tokio::test]
async fn more_containers_of_the_canary_join_it() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.serve("web-v2-2", "v2");
    assert_eq!(world.candidates("v2"), ["10.0.2.1:80", "10.0.2.2:80"]);
    assert_eq!(world.machine().next_number(), 2, "it is the same rollout");
}

#[tokio::test]
async fn scaling_an_old_version_up_changes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::PromoteFull);
    world.serve("web-v1-2", "v1");
    assert_eq!((world.division().as_str(), world.phase()), ("v2", PhaseName::Idle));
}

#[test]
fn an_address_is_as_the_name_says() {
    assert_eq!(SocketAddr::new(ip("web-v2-7"), 80).to_string(), "10.0.2.7:80");
}
