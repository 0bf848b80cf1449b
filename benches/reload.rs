//! What a reload of a large config costs, in parts: 10,000 routes (half by host, half by path under one host) and 1,000
//! endpoints, as in `benches/peers`. Text to meaning; meaning to routes; all that control does until it is published.

use std::hint::black_box;
use std::sync::Arc;

use adit::clock::Clock;
use adit::config;
use adit::config::spec::Spec;
use adit::control::{Control, Handle, Store, Surroundings};
use adit::domain::routing::{Matcher, Snapshot};
use adit::telemetry::Metrics;
use adit::tls::Keyrings;
use arc_swap::ArcSwap;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};

criterion_group!(benches, text_to_meaning, meaning_to_routes, meaning_to_snapshot);
criterion_main!(benches);

const ROUTES: usize = 10_000;
const ENDPOINTS: usize = 1_000;

/// `added`: a host more, so that there is a change.
fn text(added: &str) -> String {
    let hosts: Vec<_> = (0..ROUTES).step_by(2).map(|number| format!("\"s{number}.shop.example\"")).collect();
    let half = |from: usize| {
        let endpoints =
            (from..from + ENDPOINTS / 2).map(|number| format!("\"127.0.0.1:{}\"", 20_000 + number));
        endpoints.collect::<Vec<_>>().join(", ")
    };
    let paths = (1..ROUTES).step_by(2).map(|number| {
        format!("[[services.web.routes]]\nhost = \"shop.example\"\npath = \"/api/v{number}/items\"\n")
    });
    format!(
        r#"[[listeners]]
address = "127.0.0.1:8080"
[services.web]
hosts = [{}, "{added}"]
release = "v1"
versions.v1.endpoints = [{}]
versions.v2.endpoints = [{}]
# Nothing listens there, and nobody is to find out meanwhile.
health.interval = "1h"
{}"#,
        hosts.join(", "),
        half(0),
        half(ENDPOINTS / 2),
        paths.collect::<String>()
    )
}

fn meaning(text: &str) -> Spec {
    config::parse(text, &|_| None).expect("a config")
}

fn text_to_meaning(criterion: &mut Criterion) {
    let text = text("added.example");
    criterion.bench_function("reload, text to meaning", |bencher| {
        bencher.iter(|| meaning(black_box(&text)));
    });
}

fn meaning_to_routes(criterion: &mut Criterion) {
    let spec = meaning(&text("added.example"));
    criterion.bench_function("reload, meaning to routes", |bencher| {
        bencher.iter(|| Matcher::new(spec.services["web"].routes.iter().map(|route| (route, 0))));
    });
}

/// Through control's inbox, with what it saves on the disk in the end: that is after the snapshot was published.
fn meaning_to_snapshot(criterion: &mut Criterion) {
    let specs = [meaning(&text("one.example")), meaning(&text("other.example"))];
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (handle, inbox, _reloads) = Handle::new();
    let stop = Arc::new(Notify::new());
    let control = runtime.block_on(async { control(&specs[0], &dir) });
    let running = runtime.spawn(control.run(inbox, stop.clone()));
    let mut turn = 0;
    criterion.bench_function("reload, meaning to snapshot", |bencher| {
        bencher.iter_batched(
            || {
                turn += 1;
                specs[turn % 2].clone()
            },
            |spec| runtime.block_on(handle.desire(Ok(spec), None)).expect("applied"),
            BatchSize::PerIteration,
        );
    });
    stop.notify_one();
    runtime.block_on(running).expect("control ends");
}

fn control(spec: &Spec, dir: &tempfile::TempDir) -> Control {
    let clock = Clock::real();
    let around = Surroundings {
        live: Arc::new(ArcSwap::from_pointee(Snapshot::empty(1))),
        wake: Arc::default(),
        published: Arc::default(),
        metrics: Metrics::new(),
        workers: 1,
        listeners: Vec::new(),
        keyrings: Arc::new(Keyrings::load(spec, clock.clone()).expect("no certificates")),
        restarts: None,
        clock,
    };
    let (first_round, _nobody) = oneshot::channel();
    let store = Store::open(dir.path()).expect("a store");
    let mut control = Control::new(around, store, spec.clone(), first_round).expect("nothing is recorded");
    control.begin(spec.clone()).expect("the config is fine");
    control
}
