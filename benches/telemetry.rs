//! What counting and logging a request costs, and what reading it all costs.

use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use adit::domain::Timestamp;
use adit::domain::stats::{Histogram, MethodLabel, PerWorker, VersionCells};
use adit::telemetry::{AccessLog, Entry, Metrics, Series, ServiceSeries, VersionSeries};
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group!(benches, counting, access_log_line, scrape);
criterion_main!(benches);

fn counting(criterion: &mut Criterion) {
    let histogram = Histogram::default();
    let mut random = fastrand::Rng::with_seed(1);
    criterion.bench_function("histogram record", |bencher| {
        bencher.iter(|| histogram.record(random.u64(100..1_000_000)));
    });
    let cells: PerWorker<VersionCells> = PerWorker::new(2);
    criterion.bench_function("counters of one request", |bencher| {
        bencher.iter(|| {
            let cells = black_box(&cells[0]);
            cells.in_flight.add(1);
            cells.response_bytes.add(1_024);
            cells.ended(MethodLabel::Get, 200, random.u64(100..1_000_000));
            cells.in_flight.add(-1);
        });
    });
}

fn access_log_line(criterion: &mut Criterion) {
    let entry = Entry {
        at: Timestamp::from_micros(1_700_000_000_123_456),
        request_id: "018f3b1c-7d2e-7c3a-9f41-5b8c1de0a7f2",
        trace_id: None,
        client_ip: Ipv4Addr::new(192, 0, 2, 7).into(),
        method: "GET",
        scheme: "http",
        host: "shop.example",
        path: "/cart/7/items",
        query: Some("page=2"),
        proto: "HTTP/1.1",
        status: 200,
        grpc_status: None,
        bytes_in: 0,
        bytes_out: 1_234,
        duration: Duration::from_micros(1_234),
        upstream: Some(Duration::from_micros(987)),
        service: Some("web"),
        version: Some("v2"),
        endpoint: Some(SocketAddr::from(([127, 0, 0, 1], 9002))),
        rollout: Some(3),
        assigned_by: Some("weight"),
        retries: 0,
        rescued: false,
        answered_by: None,
        error: None,
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    };
    let log = AccessLog::to(io::sink()).expect("a thread starts");
    let mut writer = log.writer();
    criterion.bench_function("access log line", |bencher| {
        bencher.iter(|| writer.record(black_box(&entry)));
    });
}

fn scrape(criterion: &mut Criterion) {
    let cells = Arc::new(PerWorker::new(2));
    let version = |name: &str| VersionSeries {
        name: name.into(),
        image: None,
        digest: None,
        revision: None,
        created: None,
        cells: cells.clone(),
        endpoints: Vec::new(),
    };
    let services = (0..100).map(|number| ServiceSeries {
        name: format!("service-{number}").as_str().into(),
        versions: vec![version("v1"), version("v2")],
        rollout: None,
    });
    let metrics = Metrics::new();
    metrics.publish(Series { services: services.collect(), unrouted: cells.clone(), docker: None });
    criterion.bench_function("scrape of 100 services", |bencher| bencher.iter(|| metrics.render()));
}
