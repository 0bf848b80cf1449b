//! Canaries that are slower: how soon they go back, and that those which are not slower stay.

use std::sync::Arc;
use std::time::Duration;

use super::super::{
    Advance, Analysis, Decision, Judge, Latency, Metric, SplitMode, StepChange, StepProgress, decide,
};
use super::{Random, arm, at, decided};
use crate::domain::Weight;
use crate::domain::stats::{
    BUCKETS, EpochCounts, Limits, Pace, Quantile, SlowCounts, bucket_of, tolerated_buckets,
};

/// Times until the first byte: lognormal around 50 ms, swinging by 30 % within an hour, 100 requests a second of which the
/// canary gets a tenth. Limits are renewed every 300 s.
struct Traffic {
    random: Random,
    phase: f64,
    limits: Limits,
}

/// How the canary differs: all of it `factor` times as slow, and so many of its requests by `tail` more.
#[derive(Clone, Copy)]
struct Slowness {
    factor: f64,
    share: f64,
    tail: f64,
}

const SIGMA: f64 = 0.6;

fn all(factor: f64) -> Slowness {
    Slowness { factor, share: 0.0, tail: 1.0 }
}

impl Traffic {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let phase = std::f64::consts::TAU * random.unit();
        let limits = Limits::of(&[0; BUCKETS], &Quantile::ALL, 0);
        let mut traffic = Self { random, phase, limits };
        traffic.renew(0.0);
        traffic
    }

    /// Takes the limits from what stable did in the last 300 s.
    fn renew(&mut self, second: f64) {
        let mut counts = [0; BUCKETS];
        for sample in 0..1500u32 {
            let time = self.time(second - f64::from(sample) / 5.0);
            counts[bucket_of(time)] += 1;
        }
        let tolerated = tolerated_buckets(Latency::default().tolerated);
        self.limits = Limits::of(&counts, &Quantile::ALL, tolerated);
    }

    /// Microseconds until the first byte at this second.
    fn time(&mut self, second: f64) -> u64 {
        let swing = 0.3 * (std::f64::consts::TAU * second / 3600.0 + self.phase).sin();
        let normal =
            (-2.0 * self.random.unit().ln()).sqrt() * (std::f64::consts::TAU * self.random.unit()).cos();
        micros(50_000.0 * (swing + SIGMA * normal).exp())
    }

    /// What `seconds` from `second` on bring.
    fn flow(&mut self, second: f64, seconds: f64, canary: Slowness) -> (EpochCounts, SlowCounts) {
        let (n_c, n_s) = (self.random.poisson(10.0 * seconds), self.random.poisson(90.0 * seconds));
        let mut slow = SlowCounts::default();
        let limits = self.limits;
        for _request in 0..n_c {
            let tail = if self.random.unit() < canary.share { canary.tail } else { 1.0 };
            let time = self.time(second) as f64 * canary.factor * tail;
            for one in 0..3 {
                slow.tolerated[one].canary.failed += u64::from(micros(time) > limits.tolerated[one]);
                slow.promotable[one].canary.failed += u64::from(micros(time) > limits.promotable[one]);
            }
        }
        for _request in 0..n_s {
            let time = self.time(second);
            for one in 0..3 {
                slow.tolerated[one].stable.failed += u64::from(time > limits.stable[one]);
            }
        }
        for one in 0..3 {
            (slow.tolerated[one].canary.completed, slow.tolerated[one].stable.completed) = (n_c, n_s);
            slow.promotable[one].canary.completed = n_c;
            slow.promotable[one].stable = slow.tolerated[one].stable;
        }
        (EpochCounts { canary: arm(n_c, 0), stable: arm(n_s, 0) }, slow)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, far below 2^53")]
fn micros(time: f64) -> u64 {
    time as u64
}

fn judge() -> Judge {
    let mut judge = Judge::new(&Analysis::default(), SplitMode::Independent, at(0.0)).with_times();
    judge.open_epoch(1, Weight::from_percent(10.0).expect("a weight"), StepChange::New, at(0.0));
    judge
}

/// The second at which the canary went back, looking every `pause` seconds, and the metric that led.
fn back_after(canary: Slowness, seconds: u32, pause: u32, seed: u64) -> Option<(f64, Metric)> {
    let (mut traffic, mut judge) = (Traffic::new(seed), judge());
    for second in (0..seconds).step_by(usize::try_from(pause).expect("small")).map(f64::from) {
        if second % 300.0 == 0.0 {
            traffic.renew(second);
            judge.set_pace(Some(Pace { limits: traffic.limits, warmup: Duration::ZERO }));
        }
        let (counts, slow) = traffic.flow(second, f64::from(pause), canary);
        let now = second + f64::from(pause);
        judge.tick(at(now));
        judge.feed(1, counts, at(now));
        judge.feed_slow(1, &slow, at(now));
        if let (assessment, Decision::RollBack) = decided(&judge, now) {
            return Some((now, assessment.leading));
        }
    }
    None
}

#[test]
fn slower_canaries_go_back_as_soon_as_the_analysis_says() {
    let some = |share, tail| Slowness { factor: 1.0, share, tail };
    // The medians of ANALYSIS section 10.
    let rows = [
        (all(1.3), 41, 214.0),
        (all(1.5), 101, 27.0),
        (all(2.0), 101, 6.0),
        (all(5.0), 101, 1.0),
        (some(0.05, 10.0), 101, 26.0),
    ];
    for (canary, runs, expected) in rows {
        let run =
            |seed: u64| back_after(canary, 3600, 1, 7000 + seed).map_or(f64::INFINITY, |(second, _)| second);
        let mut seconds: Vec<f64> = (0..runs).map(run).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        // Looked at once a second.
        let near = (median - expected).abs() <= 0.2 * expected + 1.0;
        assert!(near, "× {}: {expected} s expected, not {median}: {seconds:?}", canary.factor);
    }
}

#[test]
fn canaries_as_fast_as_stable_or_within_the_tolerance_stay() {
    for (factor, runs) in [(1.0, 30), (1.1, 10), (1.18, 10)] {
        for seed in 0..runs {
            let back = back_after(all(factor), 3600, 20, 100 + seed);
            assert_eq!(back, None, "× {factor}, run {seed}");
        }
    }
}

#[test]
fn a_canary_as_fast_as_stable_is_proven_so_and_a_slower_one_is_not() {
    for (factor, expected) in [(1.0, Decision::Advance), (1.5, Decision::RollBack)] {
        let (mut traffic, mut judge) = (Traffic::new(5), judge());
        let mut last = Decision::Hold;
        for second in (0..300u32).map(f64::from) {
            let (counts, slow) = traffic.flow(second, 1.0, all(factor));
            judge.feed(1, counts, at(second));
            judge.feed_slow(1, &slow, at(second));
            let step = StepProgress { age: Duration::from_secs_f64(second), pause: Duration::ZERO };
            last = decide(&judge.assess(at(second)), step, &Advance::default());
            if matches!(last, Decision::Advance | Decision::RollBack) {
                break;
            }
        }
        assert_eq!(last, expected, "× {factor}");
    }
}

/// All metrics at once, with ten routes of unequal traffic: identical versions, each failing one request in a hundred.
#[test]
fn of_100_canaries_like_stable_in_all_metrics_at_most_one_goes_back() {
    let shares = [0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03];
    let names = || (0..10).map(|route| Arc::from(format!("/{route}")));
    let back = (0..100).filter(|seed| {
        let mut traffic = Traffic::new(90_000 + seed);
        let mut judge = judge_with_routes(names());
        for second in (0..3600u32).step_by(30).map(f64::from) {
            if second % 300.0 == 0.0 {
                traffic.renew(second);
            }
            let (_, slow) = traffic.flow(second, 3.0, all(1.0));
            let random = &mut traffic.random;
            let mut of =
                |requests: f64| arm(random.poisson(requests * 0.99), random.poisson(requests * 0.01));
            let routes =
                shares.map(|share| EpochCounts { canary: of(300.0 * share), stable: of(2700.0 * share) });
            let counts = routes.into_iter().fold(EpochCounts::default(), EpochCounts::plus);
            judge.tick(at(second));
            judge.feed(1, counts, at(second));
            judge.feed_routes(1, &routes, at(second));
            judge.feed_slow(1, &slow, at(second));
            if decided(&judge, second).1 == Decision::RollBack {
                return true;
            }
        }
        false
    });
    let back = back.count();
    assert!(back <= 1, "{back}");
}

fn judge_with_routes(names: impl IntoIterator<Item = Arc<str>>) -> Judge {
    let analysis = Analysis { max_error_rate: Some(0.05), ..Analysis::default() };
    let judge = Judge::new(&analysis, SplitMode::Independent, at(0.0));
    let mut judge = judge.with_times().with_routes(names);
    judge.open_epoch(1, Weight::from_percent(10.0).expect("a weight"), StepChange::New, at(0.0));
    judge
}

#[test]
fn a_canary_that_breaks_one_route_of_ten_goes_back_for_that_route() {
    let analysis = Analysis::default();
    let names = (0..10).map(|route| Arc::from(format!("shop/{route}")));
    let mut judge = judge_with_routes(names);
    // 1 % of the requests fail everywhere; on the last route, a fiftieth of the traffic, the canary fails half.
    let random = &mut Random(11);
    for second in (0..600u32).map(f64::from) {
        let routes: Vec<EpochCounts> = (0..10)
            .map(|route| {
                let requests = if route == 9 { 2.0 } else { 98.0 / 9.0 };
                let rate = if route == 9 { 0.5 } else { 0.01 };
                let mut of = |requests: f64, rate: f64| {
                    arm(random.poisson(requests * (1.0 - rate)), random.poisson(requests * rate))
                };
                EpochCounts { canary: of(requests * 0.1, rate), stable: of(requests * 0.9, 0.01) }
            })
            .collect();
        judge.feed(1, routes.iter().fold(EpochCounts::default(), |sum, route| sum.plus(*route)), at(second));
        judge.feed_routes(1, &routes, at(second));
        if let (assessment, Decision::RollBack) = decided(&judge, second) {
            let verdict = assessment.verdict(&analysis);
            assert_eq!(verdict.rule, "route shop/9: canary at most 1.1 × stable + 0.02 %");
            assert!(second <= 120.0, "only after {second} s");
            return;
        }
    }
    panic!("it stayed");
}
