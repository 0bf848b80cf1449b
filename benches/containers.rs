//! What it costs to look at containers: at the first sight of all, and when one of them changed. What is wanted of them
//! alone, and all of it: from the engine's word to the snapshot that workers read, with what is saved in between.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adit::clock::Clock;
use adit::config;
use adit::config::containers::Containers;
use adit::config::spec::Spec;
use adit::control::{Control, Handle, Store, Surroundings};
use adit::domain::Timestamp;
use adit::domain::container::{Container, Engine, Health, Image, Ports, Run, Sighting, Site};
use adit::domain::routing::Snapshot;
use adit::telemetry::Metrics;
use adit::tls::Keyrings;
use arc_swap::ArcSwap;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};

criterion_group!(benches, desired, published);
criterion_main!(benches);

const CONTAINERS: u16 = 500;
const SERVICES: u16 = 50;

/// One of ten containers of a service, with the labels that people write.
fn container(number: u16) -> Container {
    let [high, low] = number.to_be_bytes();
    let service = format!("service-{}", number % SERVICES);
    let hosts = format!("{service}.shop.example,www.{service}.shop.example");
    let labels = [
        ("adit.service", service.as_str()),
        ("adit.hosts", &hosts),
        ("adit.port", "8080"),
        ("adit.health.path", "/healthz"),
        ("adit.health.interval", "2s"),
        ("adit.timeouts.response", "10s"),
        ("adit.retry.on", "connect,502,503"),
        ("adit.rollout.steps", "1,5,25:2m,50,100"),
        ("adit.rollout.bake", "10m"),
        ("com.docker.compose.project", "shop"),
        ("org.opencontainers.image.revision", "4f2a91c"),
    ];
    let version = if number < CONTAINERS / 2 { "1.4.0" } else { "1.5.0" };
    Container {
        id: format!("{number:064x}"),
        name: format!("shop-{service}-{number}"),
        created: Timestamp::from_micros(u64::from(number)),
        image: Image {
            reference: format!("registry.example/{service}:{version}"),
            id: format!("sha256:{:064x}", version.len() + usize::from(number / (CONTAINERS / 2))),
            ..Image::default()
        },
        labels: labels.map(|(label, text)| (label.to_owned(), text.to_owned())).into(),
        run: Run::Running,
        health: Some(Health::Healthy),
        ports: Ports {
            networks: BTreeMap::from([("front".to_owned(), IpAddr::from([172, 18, high, low]))]),
            exposed: BTreeSet::from([8080]),
            ..Ports::default()
        },
    }
}

fn file() -> Spec {
    let file = "[docker]\n[[listeners]]\naddress = '0.0.0.0:8080'";
    config::parse(file, &|_| None).expect("a good config")
}

/// All containers, and the same when one has changed.
fn sightings(health: Health) -> (Sighting, Sighting) {
    let all = (0..CONTAINERS).map(|number| Container { health: Some(health), ..container(number) });
    let before = Sighting {
        engine: Engine::Connected { version: "28.0.0".to_owned() },
        site: Site::Host,
        containers: all.map(|container| (container.id.clone(), Arc::new(container))).collect(),
    };
    let mut after = before.clone();
    let changed = Container { health: Some(Health::Unhealthy), ..container(7) };
    after.containers.insert(changed.id.clone(), Arc::new(changed));
    (before, after)
}

fn desired(criterion: &mut Criterion) {
    let file = file();
    let (before, after) = sightings(Health::Healthy);
    let nothing = BTreeMap::new();
    let first = Containers::default().desired(&file, &before, &nothing);
    assert_eq!((first.placed.len(), first.notices.len()), (usize::from(CONTAINERS), 0));

    let mut group = criterion.benchmark_group("500 containers of 50 services");
    group.bench_function("seen for the first time", |bencher| {
        bencher.iter_batched(
            Containers::default,
            |mut merge| merge.desired(black_box(&file), &before, &nothing),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("one changed", |bencher| {
        let mut merge = Containers::default();
        let mut turn = [&before, &after].into_iter().cycle();
        bencher.iter(|| turn.next().map(|seen| merge.desired(black_box(&file), seen, &nothing)));
    });
}

/// Control on a thread of its own, as in the program.
struct Room {
    handle: Handle,
    published: Arc<Notify>,
    stop: Arc<Notify>,
    control: Option<JoinHandle<()>>,
    asking: Runtime,
    _state: TempDir,
}

impl Room {
    fn new() -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let (handle, inbox, _reloads) = Handle::new();
        let (published, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (told, heard) = (published.clone(), stop.clone());
        let dir = state.path().to_owned();
        let control = thread::spawn(move || {
            runtime().block_on(async {
                let spec = file();
                let clock = Clock::real();
                let around = Surroundings {
                    live: Arc::new(ArcSwap::from_pointee(Snapshot::empty(1))),
                    wake: Arc::default(),
                    published: told,
                    metrics: Metrics::new(),
                    workers: 1,
                    listeners: Vec::new(),
                    keyrings: Arc::new(Keyrings::load(&spec, clock.clone()).expect("no keys")),
                    restarts: None,
                    clock,
                };
                let (first_round, _) = oneshot::channel();
                let store = Store::open(&dir).expect("a state");
                let mut control = Control::new(around, store, spec.clone(), first_round).expect("a control");
                control.begin(spec).expect("a good config");
                Box::pin(control.run(inbox, heard)).await;
            });
        });
        let room = Self { handle, published, stop, control: Some(control), asking: runtime(), _state: state };
        // It has begun when it answers.
        room.asking.block_on(room.handle.status()).expect("control runs");
        room
    }

    /// How long it is from the engine's word to the snapshot that follows from it.
    fn publish(&self, sighting: &Sighting) -> Duration {
        let sighting = sighting.clone();
        self.asking.block_on(async {
            let published = self.published.notified();
            let clock = Clock::real();
            let begun = clock.now();
            assert!(self.handle.sighted(sighting).await, "control runs");
            published.await;
            clock.now() - begun
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stop.notify_one();
        let _ended = self.control.take().map(JoinHandle::join);
    }
}

fn published(criterion: &mut Criterion) {
    // Containers whose own health check has no result yet are not checked by us: nothing leaves this machine.
    let (before, after) = sightings(Health::Starting);
    let mut group = criterion.benchmark_group("500 containers of 50 services, published");
    group.sample_size(10);
    group.bench_function("seen for the first time", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| Room::new().publish(&before)).sum());
    });
    group.bench_function("one changed", |bencher| {
        let room = Room::new();
        room.publish(&before);
        let mut turn = [&after, &before].into_iter().cycle();
        bencher.iter_custom(|times| {
            (0..times).map(|_| turn.next().map_or(Duration::ZERO, |seen| room.publish(seen))).sum()
        });
    });
}
