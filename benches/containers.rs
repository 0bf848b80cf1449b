//! What it costs to look at containers: at the first sight of all, and when one of them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use adit::config;
use adit::config::containers::Containers;
use adit::domain::Timestamp;
use adit::domain::container::{Container, Engine, Health, Image, Ports, Run, Sighting, Site};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

criterion_group!(benches, desired);
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

fn desired(criterion: &mut Criterion) {
    let file = "[docker]\n[[listeners]]\naddress = '0.0.0.0:8080'";
    let file = config::parse(file, &|_| None).expect("a good config");
    let all = (0..CONTAINERS).map(container);
    let before = Sighting {
        engine: Engine::Connected { version: "28.0.0".to_owned() },
        site: Site::Host,
        containers: all.map(|container| (container.id.clone(), Arc::new(container))).collect(),
    };
    let mut after = before.clone();
    let changed = Container { health: Some(Health::Unhealthy), ..container(7) };
    after.containers.insert(changed.id.clone(), Arc::new(changed));
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
