//! What judging a canary costs: evidence counted by a worker, read by control, and what follows from it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use adit::domain::rollout::{Advance, Analysis, Judge, SplitMode, StepChange, StepProgress, decide};
use adit::domain::stats::{ArmCounts, EpochCells, EpochCounts, LIMITS, PerWorker, SlowCounts};
use adit::domain::{Timestamp, Weight};
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group!(benches, evidence, decision, step);
criterion_main!(benches);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_epoch(Duration::from_secs(seconds))
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a weight")
}

/// So many requests in all, 5 % of them to the canary, none of them failed.
fn requests(all: u64) -> EpochCounts {
    let arm = |count| ArmCounts { routed: count, completed: count, failed: 0 };
    EpochCounts { canary: arm(all / 20), stable: arm(all - all / 20) }
}

fn evidence(criterion: &mut Criterion) {
    let cells: PerWorker<EpochCells> = PerWorker::new(2);
    criterion.bench_function("evidence of one request", |bencher| {
        bencher.iter(|| black_box(&cells[0]).canary.succeeded(None));
    });
}

/// Control does this once a second, and whenever a worker says that the canary failed.
fn decision(criterion: &mut Criterion) {
    let (analysis, advance) = (Analysis::default(), Advance::default());
    let routes = || (0..10).map(|number| Arc::from(format!("route {number}")));
    let step = StepProgress { age: Duration::from_secs(7), pause: Duration::ZERO };
    let slow = SlowCounts { tolerated: [requests(1_000); LIMITS], promotable: [requests(1_000); LIMITS] };
    let mut group = criterion.benchmark_group("decision");
    group.bench_function("on errors", |bencher| {
        let mut judge = Judge::new(&analysis, SplitMode::Independent, at(0));
        judge.open_epoch(1, weight(5.0), StepChange::New, at(0));
        bencher.iter(|| {
            judge.feed(1, black_box(requests(1_000)), at(7));
            decide(&judge.assess(at(7)), step, &advance)
        });
    });
    group.bench_function("on errors, times and 10 routes", |bencher| {
        let mut judge =
            Judge::new(&analysis, SplitMode::Independent, at(0)).with_times().with_routes(routes());
        judge.open_epoch(1, weight(5.0), StepChange::New, at(0));
        let by_route = [requests(100); 10];
        bencher.iter(|| {
            judge.feed(1, black_box(requests(1_000)), at(7));
            judge.feed_slow(1, &slow, at(7));
            judge.feed_routes(1, &by_route, at(7));
            decide(&judge.assess(at(7)), step, &advance)
        });
    });
}

fn step(criterion: &mut Criterion) {
    let judge = Judge::new(&Analysis::default(), SplitMode::Independent, at(0)).with_times();
    criterion.bench_function("a step begins", |bencher| {
        bencher.iter_batched_ref(
            || judge.clone(),
            |judge| judge.open_epoch(1, black_box(weight(5.0)), StepChange::New, at(7)),
            criterion::BatchSize::SmallInput,
        );
    });
}
