//! What people see and say of containers: a control with hand-made sightings.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tempfile::{TempDir, tempdir};
use tokio::sync::{Notify, oneshot};

use super::control::{Control, Scope, Surroundings};
use super::describe;
use super::drain::{DrainOrder, DrainVerb};
use super::handle::CommandError;
use super::report::{AllImages, ContainerCounts, EndpointStatus, ServiceImages};
use super::store::{By, Store};
use crate::clock::Clock;
use crate::config::containers::Notice;
use crate::config::parse;
use crate::config::spec::Spec;
use crate::domain::Timestamp;
use crate::domain::container::{Container, Engine, Health, Image, Ports, Run, Sighting, Site};
use crate::domain::routing::Snapshot;
use crate::telemetry::Metrics;
use crate::tls::Keyrings;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const CONFIG: &str = "[docker]\n[[listeners]]\naddress = '127.0.0.1:8080'\n";

/// A control over a directory of its own.
struct World {
    control: Control,
    spec: Spec,
    dir: TempDir,
}

impl World {
    /// The service `web`, whose version `v1` has these containers as endpoints.
    fn of(containers: &[(Container, u16)]) -> Self {
        let dir = tempdir().unwrap();
        let spec = parse(CONFIG, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let control = begun(&spec, &dir);
        let mut world = Self { control, spec, dir };
        world.see(containers, Vec::new());
        world
    }

    /// The engine says how containers stand; those with a port of their host can be reached there.
    fn see(&mut self, endpoints: &[(Container, u16)], others: Vec<Container>) {
        let reached = endpoints.iter().map(|(container, port)| {
            let mut container = container.clone();
            container.ports.host_network = true;
            container.labels.insert("adit.port".into(), port.to_string());
            container
        });
        self.hear(sighting(reached.chain(others)));
    }

    fn hear(&mut self, sighting: Sighting) {
        self.control.sighted(sighting);
        self.control.turn(Scope::All);
    }

    /// The same program again.
    fn restart(&mut self) {
        // The folder is one program's at a time.
        self.control = begun(&self.spec, &tempdir().unwrap());
        self.control = begun(&self.spec, &self.dir);
    }

    fn drain(&mut self, what: &str, verb: DrainVerb) -> Result<Vec<EndpointStatus>, CommandError> {
        let by = By { who: "ada".into(), why: None };
        let order = DrainOrder { endpoint: what.to_owned(), verb, by };
        let status = self.control.drain(&order)?;
        Ok(status.endpoints.into_iter().map(|drained| drained.endpoint).collect())
    }

    /// The state of each endpoint, by its container's name.
    fn states(&self) -> Vec<(String, String)> {
        let status = describe::status(&self.control);
        let endpoints = &status.services[0].versions[0].endpoints;
        let name = |it: &EndpointStatus| it.container.clone().expect("it is a container").name;
        endpoints.iter().map(|it| (name(it), it.state.clone())).collect()
    }

    /// The kinds and records of all events.
    fn events(&self) -> Vec<String> {
        let events = self.control.journal().unwrap().after(0, None, 100).unwrap();
        events.into_iter().map(|event| format!("{} {}", event.kind, event.record["state"])).collect()
    }
}

/// A control that has its config.
fn begun(spec: &Spec, dir: &TempDir) -> Control {
    let mut control = control(spec, dir);
    control.begin(spec.clone()).unwrap();
    control
}

fn control(spec: &Spec, dir: &TempDir) -> Control {
    let (clock, _manual) = Clock::manual(NOW);
    let around = Surroundings {
        live: Arc::new(ArcSwap::from_pointee(Snapshot::empty(1))),
        wake: Arc::default(),
        published: Arc::new(Notify::new()),
        metrics: Metrics::new(),
        workers: 1,
        listeners: Vec::new(),
        keyrings: Arc::new(Keyrings::load(spec, clock.clone()).unwrap()),
        restarts: None,
        clock,
    };
    let (first_round, _done) = oneshot::channel();
    Control::new(around, Store::open(dir.path()).unwrap(), spec.clone(), first_round).unwrap()
}

/// A container whose id is these digits and zeros.
fn container(name: &str, digits: &str) -> Container {
    Container {
        id: format!("{digits:0<64}"),
        name: name.into(),
        created: NOW,
        image: Image {
            reference: "r.example:5000/shop/web:1.4.0".into(),
            id: "sha256:aa".into(),
            digests: vec!["other@sha256:01".into(), "r.example:5000/shop/web@sha256:02".into()],
            ..Image::default()
        },
        labels: [("adit.service", "web"), ("adit.version", "v1")]
            .map(|(label, text)| (label.to_owned(), text.to_owned()))
            .into(),
        run: Run::Running,
        health: None,
        ports: Ports { exposed: [8080].into(), ..Ports::default() },
    }
}

fn sighting(containers: impl IntoIterator<Item = Container>) -> Sighting {
    Sighting {
        engine: Engine::Connected { version: "28.2.2".into() },
        site: Site::Host,
        containers: containers.into_iter().map(|it| (it.id.clone(), Arc::new(it))).collect(),
    }
}

fn lost(why: &str) -> Sighting {
    Sighting { engine: Engine::Lost { since: NOW, why: why.into() }, ..sighting([]) }
}

fn notice(container: &str, what: &str, wrong: bool) -> Notice {
    let label = Some("adit.port".to_owned());
    Notice { container: Some(container.into()), service: None, label, what: what.into(), wrong }
}

#[tokio::test]
async fn an_endpoint_says_how_its_container_is_and_why_it_gets_nothing() {
    for (run, health, state, reason) in [
        (Run::Running, None, "new", "waits for its first passed check"),
        (Run::Running, Some(Health::Healthy), "new", "waits for its first passed check"),
        (Run::Running, Some(Health::Starting), "starting", "its health check has no result yet"),
        (Run::Running, Some(Health::Unhealthy), "unhealthy", "its health check fails"),
        (Run::Created, None, "starting", "created, not started"),
        (Run::Paused, Some(Health::Healthy), "paused", "paused"),
        (Run::Restarting, None, "restarting", "restarting"),
        (Run::Stopping, None, "stopping", "being stopped"),
        (
            Run::Exited { code: 137, out_of_memory: true },
            None,
            "exited",
            "ended for want of memory (exit code 137)",
        ),
    ] {
        let mut world = World::of(&[(container("web-1", "a1b2"), 9001)]);
        world.see(&[(Container { run, health, ..container("web-1", "a1b2") }, 9001)], Vec::new());
        let status = describe::status(&world.control);
        let endpoint = &status.services[0].versions[0].endpoints[0];
        assert_eq!(
            (endpoint.state.as_str(), endpoint.reason.as_str()),
            (state, reason),
            "{run:?} {health:?}"
        );
        let behind = endpoint.container.as_ref().expect("a container");
        assert_eq!((behind.name.as_str(), behind.short_id()), ("web-1", "a1b200000000"));
    }
}

#[tokio::test]
async fn the_engine_says_what_becomes_of_all_its_containers() {
    let mut world = World::of(&[]);
    let unhealthy = Container { health: Some(Health::Unhealthy), ..container("web-2", "a2") };
    let ended = Container { run: Run::Exited { code: 0, out_of_memory: false }, ..container("web-3", "a3") };
    let (bad, unread) = (container("web-4", "a4"), container("web-5", "a5"));
    world.see(&[(container("web-1", "a1"), 9001), (unhealthy, 9002)], vec![ended, bad, unread]);
    world.control.problems.containers =
        vec![notice("web-4", "there is no port", true), notice("web-1", "is the default", false)];
    let status = describe::status(&world.control);
    let docker = status.docker.expect("it is configured");
    let counts = ContainerCounts { seen: 5, served: 1, withheld: 2, left_out: 2 };
    assert_eq!(
        (docker.connected, docker.version.as_deref(), docker.containers),
        (true, Some("28.2.2"), counts)
    );
    let said: Vec<_> = docker
        .withheld
        .iter()
        .chain(&docker.left_out)
        .map(|it| format!("{} {}: {}", it.container.name, it.state, it.reasons.join("; ")))
        .collect();
    let expected = [
        "web-2 unhealthy: its health check fails",
        "web-3 exited: ended with exit code 0",
        "web-4 running: label adit.port: there is no port",
        "web-5 running: ",
    ];
    assert_eq!(said, expected);
    assert_eq!(status.problems, ["container web-4: label adit.port: there is no port"]);
    assert_eq!(status.notes, ["container web-1: label adit.port: is the default"]);
}

#[tokio::test]
async fn a_program_that_knows_no_service_and_no_engine_is_not_ready() {
    let mut world = World::of(&[]);
    assert!(describe::status(&world.control).ready, "the engine has nothing to serve");
    world.hear(lost("permission denied"));
    assert!(!describe::status(&world.control).ready);
}

#[tokio::test]
async fn a_version_is_known_by_the_digest_that_its_image_was_pulled_by() {
    let world = World::of(&[(container("web-1", "a1"), 9001)]);
    let status = describe::status(&world.control);
    assert_eq!(status.services[0].versions[0].digest.as_deref(), Some("sha256:02"));
}

#[tokio::test]
async fn images_show_the_containers_of_a_version_also_those_that_ended() {
    let mut world = World::of(&[]);
    let ended = Container { run: Run::Exited { code: 1, out_of_memory: false }, ..container("web-2", "a2") };
    world.see(&[(container("web-1", "a1"), 9001)], vec![ended]);
    let images = AllImages::of(&describe::status(&world.control));
    let ServiceImages { service, versions } = &images.services[0];
    let shown: Vec<_> = versions[0]
        .containers
        .iter()
        .map(|it| (it.container.name.as_str(), it.address.as_deref(), it.state.as_str()))
        .collect();
    assert_eq!(service.as_str(), "web");
    assert_eq!(shown, [("web-1", Some("127.0.0.1:9001"), "new"), ("web-2", None, "exited")]);
    assert_eq!(versions[0].endpoints, [""; 0]);
}

#[tokio::test]
async fn an_engine_that_is_lost_is_a_problem_and_one_event_however_often_it_is_tried() {
    let mut world = World::of(&[]);
    for seen in [sighting([]), lost("refused"), lost("no such file"), lost("refused"), sighting([])] {
        world.hear(seen);
    }
    assert_eq!(world.events(), [r#"engine "connected""#, r#"engine "lost""#, r#"engine "connected""#]);
    world.control.sighting = Some(lost("refused"));
    let status = describe::status(&world.control);
    let problem = &status.problems[0];
    assert!(problem.contains("refused") && problem.contains("2023-11-14T22:13:20"), "{problem}");
    assert!(status.docker.is_some_and(|docker| !docker.connected && docker.since.is_some()));
}

#[tokio::test]
async fn a_container_is_drained_by_its_name_its_id_or_enough_of_its_id() {
    for what in ["web-1", "a1b2", "A1B200", &container("", "a1b2").id, "127.0.0.1:9001"] {
        let mut world = World::of(&[(container("web-1", "a1b2"), 9001), (container("web-2", "a1c3"), 9002)]);
        let drained = world.drain(what, DrainVerb::Drain).unwrap();
        assert_eq!((drained.len(), drained[0].state.as_str()), (1, "drained"), "{what}");
        let states = [("web-1".to_owned(), "drained".to_owned()), ("web-2".into(), "new".into())];
        assert_eq!(world.states(), states, "{what}");
    }
}

#[tokio::test]
async fn what_may_mean_several_containers_or_none_is_refused_with_those_that_there_are() {
    let mut world = World::of(&[(container("web-1", "abcd1"), 9001), (container("web-2", "abcd2"), 9002)]);
    let Err(CommandError::AmbiguousEndpoint(what)) = world.drain("abcd", DrainVerb::Drain) else {
        panic!("two begin so")
    };
    assert!(what.contains("web-1 (abcd10000000), web-2 (abcd20000000)"), "{what}");
    for unknown in ["abc", "web-3", "127.0.0.1:9003", "abcdé"] {
        let Err(CommandError::UnknownEndpoint(known)) = world.drain(unknown, DrainVerb::Drain) else {
            panic!("there is no {unknown}")
        };
        assert_eq!(known, "web-1 (127.0.0.1:9001), web-2 (127.0.0.1:9002)", "{unknown}");
    }
}

#[tokio::test]
async fn an_address_goes_before_a_name() {
    let named = Container { name: "127.0.0.1:9002".into(), ..container("", "a1b2") };
    let mut world = World::of(&[(named, 9001), (container("web-2", "a1c3"), 9002)]);
    let drained = world.drain("127.0.0.1:9002", DrainVerb::Drain).unwrap();
    assert_eq!(drained[0].container.as_ref().map(|it| it.name.as_str()), Some("web-2"));
}

#[tokio::test]
async fn a_drain_goes_with_its_container_and_not_with_its_address() {
    let (one, other) = (container("web-1", "a1b2"), container("web-2", "a1c3"));
    let ended = Container { run: Run::Exited { code: 0, out_of_memory: false }, ..one.clone() };
    let mut world = World::of(&[(one.clone(), 9001)]);
    world.drain("web-1", DrainVerb::Drain).unwrap();
    // It is stopped, and another one gets its address.
    world.see(&[(other.clone(), 9001)], vec![ended]);
    assert_eq!(world.states(), [("web-2".to_owned(), "new".to_owned())]);
    assert_eq!(world.drain("web-1", DrainVerb::Look).unwrap()[0].state, "drained");
    // It is started again, elsewhere; and the program too.
    world.restart();
    world.see(&[(other, 9001), (one, 9007)], Vec::new());
    let states = [("web-2".to_owned(), "new".to_owned()), ("web-1".into(), "drained".into())];
    assert_eq!(world.states(), states);
    world.drain("web-1", DrainVerb::Cancel).unwrap();
    assert_eq!(world.states()[1].1, "new");
}

#[tokio::test]
async fn a_drain_ends_when_its_container_is_removed_and_not_while_the_engine_is_silent() {
    let one = container("web-1", "a1b2");
    let mut world = World::of(&[(one.clone(), 9001)]);
    world.drain("web-1", DrainVerb::Drain).unwrap();
    world.restart();
    world.hear(lost("refused"));
    world.see(&[(one.clone(), 9001)], Vec::new());
    assert_eq!(world.states(), [("web-1".to_owned(), "drained".to_owned())], "nobody said that it is gone");
    world.see(&[(container("web-9", "a9"), 9009)], Vec::new());
    world.see(&[(one, 9001)], Vec::new());
    assert_eq!(world.states(), [("web-1".to_owned(), "new".to_owned())]);
}

#[tokio::test]
async fn a_container_that_is_no_endpoint_has_nothing_to_drain_and_says_why() {
    let mut world = World::of(&[]);
    let ended = Container { run: Run::Exited { code: 3, out_of_memory: false }, ..container("web-1", "a1") };
    world.see(&[(container("web-2", "a2"), 9002)], vec![ended]);
    let Err(CommandError::Conflict(why)) = world.drain("web-1", DrainVerb::Drain) else { panic!("it ended") };
    assert!(why.contains("container web-1 is no endpoint now: ended with exit code 3"), "{why}");
}
