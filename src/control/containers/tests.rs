//! What becomes of services when containers come, change and go: control alone, with a clock that stands still, and checks
//! and requests by hand.

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

#[tokio::test]
async fn the_same_sighting_again_publishes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.generation();
    world.see();
    assert_eq!(world.generation(), before);
}

#[tokio::test]
async fn a_sighting_that_changes_nothing_that_counts_publishes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.generation();
    let other = Container { labels: BTreeMap::new(), ..container("db-1", "1", START, &[]) };
    world.containers.insert("db-1".into(), other);
    world.see();
    assert_eq!(world.generation(), before);
}

#[tokio::test]
async fn an_event_of_one_service_recompiles_no_other() {
    let mut world = World::new();
    for number in 0..50 {
        for replica in 0..10 {
            let name = format!("s{number}-{replica}");
            let host = format!("s{number}.example");
            let service = format!("s{number}");
            let labels = [("adit.service", service.as_str()), ("adit.hosts", host.as_str())];
            let mut one = container(&name, "v1", START, &labels);
            one.ports.networks = BTreeMap::from([("net".to_owned(), IpAddr::from([10, 1, number, replica]))]);
            world.containers.insert(name, one);
        }
    }
    world.see();
    let before = world.control.around.live.load_full();
    assert_eq!(before.services.len(), 50);
    world.good("s7-3");
    world.change("s7-3", |it| it.run = Run::Paused);
    let after = world.control.around.live.load_full();
    let changed = before.services.iter().zip(&after.services).filter(|(one, other)| !Arc::ptr_eq(one, other));
    let changed: Vec<_> = changed.map(|(one, _)| one.name.to_string()).collect();
    assert_eq!(changed, ["s7"]);
    assert!(Arc::ptr_eq(&before.matcher, &after.matcher), "the routes are as they were");
}

#[tokio::test]
async fn a_container_that_is_not_as_it_should_be_gets_nothing_whatever_our_checks_say() {
    for (run, health) in [
        (Run::Paused, None),
        (Run::Stopping, None),
        (Run::Restarting, None),
        (Run::Running, Some(Health::Starting)),
        (Run::Running, Some(Health::Unhealthy)),
    ] {
        let mut world = World::new();
        world.serve("web-v1-1", "v1");
        world.serve("web-v1-2", "v1");
        world.change("web-v1-1", |it| (it.run, it.health) = (run, health));
        assert_eq!(world.candidates("v1"), ["10.0.1.2:80"], "{run:?} {health:?}");
    }
}

#[tokio::test]
async fn a_frozen_or_ended_container_is_lost_and_one_that_is_stopped_is_dismissed() {
    for (run, lost, dismissed) in [
        (Run::Paused, true, false),
        (Run::Stopping, false, true),
        (Run::Exited { code: 0, out_of_memory: false }, true, true),
        (Run::Running, false, false),
    ] {
        let mut world = World::new();
        world.serve("web-v1-1", "v1");
        let cells = world.endpoint("web-v1-1").cells.clone();
        world.change("web-v1-1", |it| it.run = run);
        assert_eq!((cells.is_lost(), cells.is_dismissed()), (lost, dismissed), "{run:?}");
    }
}

#[tokio::test]
async fn a_container_that_was_removed_is_lost_too() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let cells = world.endpoint("web-v1-1").cells.clone();
    world.remove("web-v1-1");
    assert!(cells.is_lost() && cells.is_dismissed());
    assert_eq!(world.candidates("v1"), Vec::<String>::new());
}

#[tokio::test]
async fn a_frozen_container_serves_again_when_it_is_thawed() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let cells = world.endpoint("web-v1-1").cells.clone();
    world.change("web-v1-1", |it| it.run = Run::Paused);
    assert_eq!(world.candidates("v1"), Vec::<String>::new(), "not even in panic");
    world.change("web-v1-1", |it| it.run = Run::Running);
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
    assert!(!cells.is_lost());
}

#[tokio::test]
async fn another_container_at_the_same_address_starts_from_zero() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.endpoint("web-v1-1");
    let (id, cells): (EndpointId, _) = (before.id, before.cells.clone());
    world.run("web-v1-1", "v1");
    let now = world.endpoint("web-v1-1");
    assert_ne!(now.id, id);
    assert!(!Arc::ptr_eq(&now.cells, &cells) && cells.is_lost() && !now.cells.is_lost());
    assert_eq!((now.check.condition, world.candidates("v1")), (Condition::New, vec![]));
}

#[tokio::test]
async fn an_address_that_goes_from_one_version_to_another_is_another_endpoint() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.endpoint("web-v1-1").id;
    world.containers.remove("web-v1-1");
    let reused = container("web-v1-1", "v2", world.clock.now(), &[]);
    world.containers.insert("web-v1-1".into(), reused);
    world.see();
    assert_eq!((world.candidates("v1"), world.candidates("v2")), (vec![], vec![]));
    assert_ne!(world.endpoint("web-v1-1").id, before);
}

#[tokio::test]
async fn a_container_that_was_restarted_with_the_same_address_passes_its_checks_again_first() {
    let mut world = World::new();
    let host = |it: &mut Container| (it.ports.host_network, it.ports.networks) = (true, BTreeMap::new());
    world.run("web-v1-1", "v1");
    world.change("web-v1-1", host);
    world.good("web-v1-1");
    assert_eq!(world.candidates("v1"), ["127.0.0.1:80"]);
    world.change("web-v1-1", |it| it.run = Run::Restarting);
    world.change("web-v1-1", |it| it.run = Run::Running);
    assert_eq!(
        (world.candidates("v1"), world.endpoint("web-v1-1").check.condition),
        (vec![], Condition::New)
    );
}

#[tokio::test]
async fn in_panic_an_unhealthy_container_that_was_good_once_is_tried_but_none_that_never_was() {
    let mut world = World::new();
    let refused = || ProbeResult::Failed(ProbeError::Refused);
    world.serve("web-v1-1", "v1");
    world.run_with("web-v1-2", "v1", &[]);
    world.change("web-v1-2", |it| it.health = Some(Health::Unhealthy));
    world.good("web-v1-2");
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
    world.probe("web-v1-1", Condition::Down, refused());
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
}

#[tokio::test]
async fn while_a_container_does_not_run_nobody_checks_it_and_then_it_is_checked_at_once() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let id = world.endpoint("web-v1-1").id;
    let probed = |world: &World| world.control.services["web"].probes(None).any(|(probed, _)| probed == id);
    assert!(probed(&world));
    world.change("web-v1-1", |it| it.run = Run::Paused);
    assert!(!probed(&world));
    world.change("web-v1-1", |it| it.run = Run::Running);
    assert!(probed(&world));
}

#[tokio::test]
async fn when_the_last_container_of_stable_goes_users_are_served_by_the_canary_and_the_rollout_goes_on() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::SetWeight(weight(5.0)));
    world.command(Verb::Resume);
    assert_eq!(world.division(), "v1 v2 5 %");
    world.exit("web-v1-1");
    assert_eq!(world.division(), "v1 v2 100 %", "every request to v1 would fail");
    assert_eq!((world.machine().weight(), world.phase()), (weight(5.0), PhaseName::Stepping));
    assert_eq!(world.told("nothing of v1 is left: v2 gets its requests until it is back"), 1);
}

#[tokio::test]
async fn the_canary_helps_out_until_a_replaced_stable_has_passed_its_checks() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    let created = world.containers["web-v1-1"].created;
    world.containers.remove("web-v1-1");
    world.containers.insert("web-v1-2".into(), container("web-v1-2", "v1", created, &[]));
    world.see();
    assert_eq!(world.division(), "v1 v2 100 %", "v1 has a container that nobody has checked");
    world.good("web-v1-2");
    assert_eq!(world.division(), "v1 v2 1 %");
}

#[tokio::test]
async fn stable_gets_its_share_again_when_it_is_back() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    let as_it_was = world.containers["web-v1-1"].clone();
    world.exit("web-v1-1");
    assert_eq!(world.division(), "v1 v2 100 %");
    world.change("web-v1-1", |it| *it = as_it_was);
    assert_eq!(world.division(), "v1 v2 100 %", "it has not passed its checks again");
    world.good("web-v1-1");
    assert_eq!(world.division(), "v1 v2 1 %");
    assert_eq!(world.told("v1 is back: v2 gets 1 % again"), 1);
}

#[tokio::test]
async fn a_canary_that_is_not_wanted_yet_gets_nothing_because_stable_is_gone() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::SetWeight(Weight::ZERO));
    world.remove("web-v1-1");
    assert_eq!(world.division(), "v1 v2 0 %");
}

#[tokio::test]
async fn an_abort_gives_the_canary_nothing_any_more_even_if_nothing_is_left_of_stable() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.remove("web-v1-1");
    world.command(Verb::Abort);
    assert_eq!((world.division().as_str(), world.candidates("v1")), ("v1", vec![]));
    world.pass(60);
    assert_eq!(world.division(), "v1", "and it stays so");
}

#[tokio::test]
async fn stable_without_containers_stays_stable_over_a_restart() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.remove("web-v1-1");
    world.restart(FILE);
    assert_eq!(world.machine().stable().as_str(), "v1");
    assert_eq!(world.machine().rollout().map(|rollout| rollout.canary.as_str()), Some("v2"));
    world.good("web-v2-1");
    assert_eq!(world.division(), "v1 v2 100 %");
}

#[tokio::test]
async fn a_canary_whose_containers_all_end_gets_nothing_and_is_given_up_when_none_comes_back() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.exit("web-v2-1");
    assert_eq!(world.division(), "v1 v2 0 %");
    world.pass(599);
    assert!(world.machine().rollout().is_some());
    world.pass(2);
    let last = world.machine().last().map(|last| last.reason.clone());
    assert_eq!(last, Some(Reason::NotReadyInTime));
}

#[tokio::test]
async fn removing_the_canarys_containers_withdraws_it() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.remove("web-v2-1");
    assert_eq!(world.division(), "v1");
    let last = world.machine().last().map(|last| last.reason.clone());
    assert_eq!(last, Some(Reason::ContainersWithdrawn));
}

#[tokio::test]
async fn a_newer_version_takes_the_canarys_place() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.serve("web-v3-1", "v3");
    assert_eq!(world.division(), "v1 v3 1 %");
    let superseded = world.machine().last().map(|last| last.reason.clone());
    assert_eq!(superseded, Some(Reason::Superseded { by: VersionName::from("v3") }));
}

#[tokio::test]
async fn a_promoted_version_stays_promoted_when_the_old_ones_containers_go() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::PromoteFull);
    world.remove("web-v1-1");
    assert_eq!((world.division().as_str(), world.candidates("v2").len()), ("v2", 1));
    assert!(world.service().version_named("v1").is_some(), "the way back is remembered");
}

#[tokio::test]
async fn in_the_bake_it_is_said_that_there_is_no_way_back_when_the_old_containers_go() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.run_with("web-v2-1", "v2", &[("adit.rollout.bake", "10m")]);
    world.good("web-v2-1");
    while world.phase() == PhaseName::Stepping {
        world.command(Verb::Promote);
    }
    assert_eq!(world.phase(), PhaseName::Baking);
    world.remove("web-v1-1");
    assert_eq!(world.told("nothing of v1 is left: there is no way back from v2"), 1);
    world.pass(601);
    assert_eq!((world.machine().stable().as_str(), world.phase()), ("v2", PhaseName::Idle));
}

#[tokio::test]
async fn starting_the_old_version_again_releases_it_like_any_other() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::PromoteFull);
    world.remove("web-v1-1");
    world.serve("web-v1-2", "v1");
    assert_eq!(world.division(), "v2 v1 1 %");
}

#[tokio::test]
async fn an_aborted_version_whose_containers_still_run_is_not_tried_again() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::Abort);
    world.serve("web-v2-2", "v2");
    world.pass(60);
    assert_eq!((world.division().as_str(), world.phase()), ("v1", PhaseName::Idle));
}

#[tokio::test]
async fn while_the_engine_is_away_who_broke_off_gets_nothing_until_it_says_who_is_there() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v1-2", "v1");
    let engine = Engine::Lost { since: world.clock.now(), why: "connection refused".into() };
    let sighting = Sighting { engine, ..world.control.sighting.clone().unwrap() };
    world.control.sighted(sighting);
    world.control.turn(Scope::Changed);
    assert_eq!(world.candidates("v1").len(), 2);
    // One check that nobody answered: not down yet, but who knows who answers the next.
    world.probe("web-v1-1", Condition::Up, ProbeResult::Failed(ProbeError::Refused));
    assert_eq!(world.candidates("v1"), ["10.0.1.2:80"]);
    world.good("web-v1-1");
    assert_eq!(world.candidates("v1"), ["10.0.1.2:80"], "what answers there may be another container");
    world.see();
    assert_eq!(world.candidates("v1").len(), 2);
}

#[tokio::test]
async fn while_the_engine_is_away_a_slow_answer_is_no_reason_to_doubt_who_gives_it() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let engine = Engine::Lost { since: world.clock.now(), why: "connection refused".into() };
    let sighting = Sighting { engine, ..world.control.sighting.clone().unwrap() };
    world.control.sighted(sighting);
    let timeout = ProbeError::TimedOut(Duration::from_secs(1));
    world.probe("web-v1-1", Condition::Up, ProbeResult::Failed(timeout));
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
}

#[tokio::test]
async fn a_container_that_runs_on_elsewhere_is_lost_where_it_was() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let cells = world.endpoint("web-v1-1").cells.clone();
    world.change("web-v1-1", |it| it.ports.networks.clear());
    assert!(cells.is_lost() && cells.is_dismissed(), "another container may have its address");
}

#[tokio::test]
async fn an_engine_that_is_lost_changes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.generation();
    let known = world.control.sighting.clone().unwrap();
    let engine = Engine::Lost { since: world.clock.now(), why: "connection refused".into() };
    world.control.sighted(Sighting { engine, ..known });
    world.control.turn(Scope::Changed);
    assert_eq!((world.generation(), world.candidates("v1").len()), (before, 1));
}

#[tokio::test]
async fn a_service_without_containers_lingers_for_ten_minutes_and_then_goes() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.remove("web-v1-1");
    world.pass(599);
    assert!(world.is_served(), "503");
    assert_eq!(world.candidates("v1"), Vec::<String>::new());
    world.pass(1);
    assert!(!world.is_served(), "404");
    assert_eq!(world.told("none has come for ten minutes: the service is gone"), 1);
}

#[tokio::test]
async fn a_service_that_went_begins_again_where_it_stood() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.remove("web-v1-1");
    world.pass(600);
    world.serve("web-v2-1", "v2");
    assert_eq!(world.machine().stable().as_str(), "v1");
    assert_eq!(world.machine().rollout().map(|rollout| rollout.canary.as_str()), Some("v2"));
}

#[tokio::test]
async fn a_container_that_comes_in_time_ends_the_lingering() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.remove("web-v1-1");
    world.pass(300);
    world.serve("web-v1-2", "v1");
    world.pass(600);
    assert_eq!(world.candidates("v1"), ["10.0.1.2:80"]);
}

const WEB: &str = "[services.web]\nhosts = ['web.example']\nrelease = 'v1'\n\
                   versions.v1.endpoints = ['127.0.0.1:9001']\n";

#[tokio::test]
async fn where_the_config_names_the_release_containers_start_no_rollout() {
    let mut world = World::with(&format!("{FILE}{WEB}"));
    world.serve("web-v2-1", "v2");
    assert_eq!((world.phase(), world.candidates("v2")), (PhaseName::Idle, vec!["10.0.2.1:80".to_owned()]));
}

#[tokio::test]
async fn a_reload_that_drops_a_written_stable_is_refused_and_containers_serve_on() {
    let mut world = World::with(&format!("{FILE}{WEB}"));
    world.serve("web-v2-1", "v2");
    let other = WEB.replace("'v1'", "'v2'").replace("versions.v1", "versions.v3").replace("9001", "9003");
    let by = By { who: "ops".into(), why: None };
    let came = world.control.desire(Ok(Box::new(spec(&format!("{FILE}{other}")))), Some(by));
    assert!(came.is_err(), "{came:?}");
    world.serve("web-v2-2", "v2");
    assert_eq!(world.candidates("v2").len(), 2);
    assert!(world.service().version_named("v3").is_none(), "nothing of what was refused is in force");
}

#[tokio::test]
async fn a_reload_keeps_what_containers_brought() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let more = format!("{FILE}{}", WEB.replace("services.web", "services.api"));
    world.control.desire(Ok(Box::new(spec(&more))), None).unwrap();
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
    assert!(world.control.services.contains_key("api"));
}

#[tokio::test]
async fn a_moved_tag_is_another_version_also_after_a_restart() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.restart(FILE);
    let mut moved = container("web-v1-2", "v1", world.clock.now(), &[]);
    moved.image.id = format!("sha256:{}", digest("another"));
    world.containers.insert("web-v1-2".into(), moved);
    world.see();
    let canary = world.machine().rollout().map(|rollout| rollout.canary.clone());
    assert!(canary.as_ref().is_some_and(|canary| canary.as_str().starts_with("v1-")), "{canary:?}");
    assert!(world.control.problems.containers.iter().any(|notice| notice.what.contains("stood for image")));
}

#[tokio::test]
async fn a_container_that_stays_ill_is_restarted_and_that_is_on_record_before_it_is_done() {
    let mut world = World::new();
    let recover = [("adit.recover", "restart")];
    world.run_with("web-v1-1", "v1", &recover);
    world.good("web-v1-1");
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    world.pass(0);
    world.pass(29);
    assert!(world.restarts.try_recv().is_err(), "not after 29 s");
    world.pass(1);
    let asked = world.restarts.try_recv().expect("a restart is asked for");
    assert_eq!(asked.container, world.containers["web-v1-1"].id);
    assert_eq!(world.told("a restart is asked for"), 1);
    asked.reply.send(Ok(())).unwrap();
    world.pass(1);
    assert_eq!(world.told("was restarted"), 1);
}

#[tokio::test]
async fn a_service_that_did_not_ask_for_it_has_no_container_restarted() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    world.pass(0);
    world.pass(3_600);
    assert!(world.restarts.try_recv().is_err());
}

#[tokio::test]
async fn a_restart_that_failed_is_on_record() {
    let mut world = World::new();
    world.run_with("web-v1-1", "v1", &[("adit.recover", "restart")]);
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    world.pass(0);
    world.pass(30);
    let asked = world.restarts.try_recv().expect("a restart is asked for");
    asked.reply.send(Err("403 Forbidden".into())).unwrap();
    world.pass(1);
    assert_eq!(world.told("could not be restarted: 403 Forbidden"), 1);
}

#[test]
fn an_address_is_as_the_name_says() {
    assert_eq!(SocketAddr::new(ip("web-v2-7"), 80).to_string(), "10.0.2.7:80");
}
