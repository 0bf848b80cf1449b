//! Simulated days: what the judge and the decision do to canaries whose true error rates are known.

mod latency;
mod splits;
mod table;

use std::time::Duration;

use super::{Advance, Analysis, Assessment, Decision, Judge, SplitMode, StepChange, StepProgress, decide};
use crate::domain::stats::{ArmCounts, EpochCounts, Margin, error_coefficients};
use crate::domain::{Timestamp, Weight};

/// SplitMix64: small, seeded, good enough for traffic.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform between 0 and 1, never 0.
    fn unit(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits")]
        let bits = (self.bits() >> 11) as f64;
        (bits + 0.5) / 9_007_199_254_740_992.0
    }

    /// The wait for the next of events that come `rate` times a second.
    fn wait(&mut self, rate: f64) -> f64 {
        if rate <= 0.0 { f64::INFINITY } else { -self.unit().ln() / rate }
    }

    /// How many events come where `mean` are expected: exact when few, by the normal curve when many.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded, not negative"
            )]
            return (mean + mean.sqrt() * normal).round().max(0.0) as u64;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

/// A rate of failure at each second.
type Rate = fn(u64) -> f64;

/// Both versions under the same traffic. Rates of failure are functions of the time in seconds that change at
/// multiples of 300 only.
#[derive(Clone, Copy)]
struct Traffic {
    per_second: f64,
    weight: f64,
    stable: Rate,
    canary: Rate,
}

/// A canary that went back.
#[derive(Debug)]
struct WentBack {
    failures: u64,
    second: f64,
}

/// How often the judge is asked.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// At every canary failure that could possibly decide: the same answers as at every one, and at every second
    /// between them, since nothing but a canary failure raises the evidence against it.
    WhenItMatters,
    /// At every canary failure and every second.
    EverySecond,
}

const SEGMENT: u64 = 300;

fn at(second: f64) -> Timestamp {
    Timestamp::from_epoch(Duration::from_secs_f64(1000.0 + second))
}

fn arm(ok: u64, failed: u64) -> ArmCounts {
    ArmCounts { routed: ok + failed, completed: ok + failed, failed }
}

fn decided(judge: &Judge, now: f64) -> (Assessment, Decision) {
    let assessment = judge.assess(at(now));
    let step = StepProgress { age: Duration::ZERO, pause: Duration::ZERO };
    let decision = decide(&assessment, step, &Advance::default());
    (assessment, decision)
}

/// One rollout at one weight until the canary goes back or `seconds` are over.
fn simulate(
    traffic: Traffic,
    analysis: &Analysis,
    seconds: u64,
    asked: Asked,
    seed: u64,
) -> Option<WentBack> {
    let random = &mut Random(seed);
    let weight = Weight::from_percent(traffic.weight * 100.0).expect("a weight");
    // So that fresh starts and changes of the rates do not fall together.
    let opened = at(-100.0);
    let mut judge = Judge::new(analysis, SplitMode::Independent, opened);
    judge.open_epoch(1, weight, StepChange::New, opened);
    // The most that one canary failure can add to the evidence.
    let tolerated = &analysis.tolerated_rise;
    let margin = Margin { relative: tolerated.relative, absolute: tolerated.absolute };
    let gain = error_coefficients(traffic.weight, margin).map(|bet| bet.canary_failed);
    let gain = gain.into_iter().fold(3.0, f64::max);

    for start in (0..seconds).step_by(usize::try_from(SEGMENT).expect("small")) {
        #[allow(clippy::cast_precision_loss, reason = "a day has 86,400 seconds")]
        let (mut now, end) = (start as f64, (start + SEGMENT) as f64);
        let (stable_rate, canary_rate) = ((traffic.stable)(start), (traffic.canary)(start));
        let of_canary = traffic.per_second * traffic.weight;
        let of_stable = traffic.per_second * (1.0 - traffic.weight);
        let (mut unseen, mut failed, mut harmless) = (0.0, 0, 0.0);
        while now < end {
            judge.tick(at(now));
            let wait = random.wait(of_canary * canary_rate);
            let until = if asked == Asked::EverySecond { end.min(now.floor() + 1.0) } else { end };
            let passed = wait.min(until - now);
            failed += u64::from(wait < until - now);
            now = if wait < until - now { now + wait } else { until };
            unseen += passed;
            harmless -= 1.0;
            if asked == Asked::WhenItMatters && harmless >= 0.0 && now < end {
                continue;
            }
            let counts = EpochCounts {
                canary: arm(random.poisson(unseen * of_canary * (1.0 - canary_rate)), failed),
                stable: arm(
                    random.poisson(unseen * of_stable * (1.0 - stable_rate)),
                    random.poisson(unseen * of_stable * stable_rate),
                ),
            };
            judge.feed(1, counts, at(now));
            let (assessment, decision) = decided(&judge, now);
            if decision == Decision::RollBack {
                return Some(WentBack { failures: assessment.total.canary.failed, second: now });
            }
            let gap = assessment.harm_bound - assessment.harm_log_e;
            (unseen, failed, harmless) = (0.0, 0, (gap / gain).ceil() - 1.0);
        }
    }
    None
}

const DAY: u64 = 86_400;

/// So many canaries for a day each: those that went back.
fn days(canaries: u64, traffic: Traffic, seed: u64) -> Vec<WentBack> {
    let analysis = Analysis::default();
    (0..canaries)
        .filter_map(|n| simulate(traffic, &analysis, DAY, Asked::WhenItMatters, seed * 1_000_003 + n))
        .collect()
}

/// Ten minutes in four hours.
fn incident(second: u64, otherwise: f64, meanwhile: f64) -> f64 {
    if second % 14_400 >= 13_800 { meanwhile } else { otherwise }
}

#[test]
fn of_200_canaries_no_worse_than_stable_at_10_percent_at_most_one_goes_back_in_a_day() {
    let equal = Traffic { per_second: 100.0, weight: 0.10, stable: |_| 0.01, canary: |_| 0.01 };
    let back = days(200, equal, 1);
    assert!(back.len() <= 1, "{back:?}");
}

#[test]
fn of_200_canaries_no_worse_than_stable_at_5_percent_at_most_one_goes_back_in_a_day() {
    let equal = Traffic { per_second: 100.0, weight: 0.05, stable: |_| 0.01, canary: |_| 0.01 };
    let back = days(200, equal, 2);
    assert!(back.len() <= 1, "{back:?}");
}

#[test]
fn of_200_canaries_that_share_stables_incidents_at_most_one_goes_back_in_a_day() {
    let rate = |second| incident(second, 0.001, 0.30);
    let back = days(200, Traffic { per_second: 100.0, weight: 0.10, stable: rate, canary: rate }, 3);
    assert!(back.len() <= 1, "{back:?}");
}

#[test]
fn a_guard_at_every_weight_does_not_take_shared_incidents_for_the_canarys() {
    let analysis = Analysis { max_error_rate: Some(0.05), ..Analysis::default() };
    let outage: Rate = |second| if (300..600).contains(&second) { 1.0 } else { 0.001 };
    let partial: Rate = |second| if (300..600).contains(&second) { 0.30 } else { 0.001 };
    for (name, rate) in [("partial", partial), ("outage", outage)] {
        for weight in [0.01, 0.1, 0.5] {
            let traffic = Traffic { per_second: 100.0, weight, stable: rate, canary: rate };
            let back: Vec<WentBack> = (0..10)
                .filter_map(|seed: u64| simulate(traffic, &analysis, 900, Asked::EverySecond, 77 + seed))
                .collect();
            assert!(back.is_empty(), "{name} at {weight}: {back:?}");
        }
    }
}

/// Failed canary requests until it went back, in order, over 101 runs of at most four hours.
fn failures_until_back(traffic: Traffic, analysis: &Analysis) -> Vec<u64> {
    let run = |seed: u64| simulate(traffic, analysis, 14_400, Asked::WhenItMatters, 5000 + seed);
    let mut failures: Vec<u64> =
        (0..101).map(|seed| run(seed).map_or(u64::MAX, |back| back.failures)).collect();
    failures.sort_unstable();
    failures
}

#[test]
fn a_canary_that_fails_every_request_goes_back_within_ten_failures() {
    for weight in [0.01, 0.05, 0.1, 0.25] {
        let dead = Traffic { per_second: 200.0, weight, stable: |_| 0.0, canary: |_| 1.0 };
        let failures = failures_until_back(dead, &Analysis::default());
        assert!(failures[100] <= 10, "at {weight}: {failures:?}");
    }
}

#[test]
fn a_canary_that_breaks_after_two_hours_of_health_goes_back_soon() {
    let late = |second| if second < 7200 { 0.001 } else { 0.20 };
    let traffic = Traffic { per_second: 100.0, weight: 0.1, stable: |_| 0.001, canary: late };
    let run = |seed: u64| simulate(traffic, &Analysis::default(), 14_400, Asked::WhenItMatters, 900 + seed);
    let mut seconds: Vec<f64> =
        (0..31).map(|seed| run(seed).map_or(f64::INFINITY, |back| back.second - 7200.0)).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    assert!(seconds[0] > 0.0 && seconds[15] < 10.0, "{seconds:?}");
}

#[test]
fn a_canary_on_the_promote_margin_is_seldom_taken_for_a_good_one() {
    let margin = Analysis::default().promote_margin;
    let rate = margin.relative * 0.01 + margin.absolute;
    let random = &mut Random(7);
    let mut advanced = 0;
    for _canary in 0..200 {
        let mut judge = Judge::new(&Analysis::default(), SplitMode::Independent, at(0.0));
        judge.open_epoch(1, Weight::from_percent(10.0).expect("a weight"), StepChange::New, at(0.0));
        for second in 1..600u32 {
            let counts = EpochCounts {
                canary: arm(random.poisson(10.0 * (1.0 - rate)), random.poisson(10.0 * rate)),
                stable: arm(random.poisson(90.0 * 0.99), random.poisson(90.0 * 0.01)),
            };
            judge.feed(1, counts, at(f64::from(second)));
            let step = StepProgress { age: Duration::from_secs(u64::from(second)), pause: Duration::ZERO };
            if decide(&judge.assess(at(f64::from(second))), step, &Advance::default()) == Decision::Advance {
                advanced += 1;
                break;
            }
        }
    }
    // At most 5 % are expected; 22 is four standard deviations above.
    assert!(advanced <= 22, "{advanced} of 200");
}
