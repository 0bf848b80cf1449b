//! Splits that are not what the weight says, or not independent.

use super::super::{Analysis, Assessment, Decision, Judge, SplitMode, StepChange};
use super::{Random, arm, at, decided};
use crate::domain::Weight;
use crate::domain::stats::{EpochCounts, Sampling};

/// Three hours of equal versions behind a split whose weight is 10 % and whose real share is `real`. Whether the
/// canary went back, and what was made of it at the end.
fn skewed_split(real: f64, random: &mut Random) -> (bool, Assessment) {
    let mut judge = Judge::new(&Analysis::default(), SplitMode::Independent, at(0.0));
    judge.open_epoch(1, Weight::from_percent(10.0).expect("a weight"), StepChange::New, at(0.0));
    for second in 0..3 * 3600u32 {
        let now = f64::from(second);
        judge.tick(at(now));
        let counts = EpochCounts {
            canary: arm(random.poisson(100.0 * real * 0.99), random.poisson(100.0 * real * 0.01)),
            stable: arm(
                random.poisson(100.0 * (1.0 - real) * 0.99),
                random.poisson(100.0 * (1.0 - real) * 0.01),
            ),
        };
        judge.feed(1, counts, at(now));
        if let (assessment, Decision::RollBack) = decided(&judge, now) {
            return (true, assessment);
        }
    }
    (false, judge.assess(at(10_800.0)))
}

#[test]
fn a_split_that_does_not_fit_the_weight_is_noticed_and_ends_no_sound_canary() {
    let random = &mut Random(42);
    for run in 0..15 {
        let (back, assessment) = skewed_split(0.14, random);
        assert!(!back && assessment.split_suspect, "run {run}: {assessment:?}");
    }
    let (back, assessment) = skewed_split(0.10, random);
    assert!(!back && !assessment.split_suspect, "{assessment:?}");
}

/// Which requests of a sticky split are counted, and how they are judged.
#[derive(Clone, Copy, PartialEq)]
enum Sticky {
    AsBuilt,
    /// As if each request were drawn for itself: what must not be done.
    Naive,
}

/// Thirty clients, one after the other among 5,000 sound requests each, of which every one fails all of its 50
/// requests, whichever version it is given. Whether the canary went back.
fn poison_clients(sticky: Sticky, seed: u64) -> bool {
    let random = &mut Random(seed);
    let weight = Weight::from_percent(10.0).expect("a weight");
    let (mode, sampling) = match sticky {
        Sticky::AsBuilt => (SplitMode::Realised, Sampling::once_per_minute()),
        Sticky::Naive => (SplitMode::Independent, Sampling::Every),
    };
    let mut judge = Judge::new(&Analysis::default(), mode, at(0.0));
    judge.open_epoch(1, weight, StepChange::New, at(0.0));
    let mut now = 60.0;
    for _client in 0..30 {
        for _half_second in 0..100 {
            now += 0.5;
            judge.tick(at(now));
            let counts =
                EpochCounts { canary: arm(random.poisson(5.0), 0), stable: arm(random.poisson(45.0), 0) };
            judge.feed(1, counts, at(now));
        }
        let client = random.bits();
        let on_canary = random.unit() < weight.fraction();
        for _request in 0..50 {
            now += 0.1;
            if !sampling.takes(Some(client), at(now)) {
                continue;
            }
            let (canary, stable) = if on_canary { (arm(0, 1), arm(0, 0)) } else { (arm(0, 0), arm(0, 1)) };
            judge.feed(1, EpochCounts { canary, stable }, at(now));
            if decided(&judge, now).1 == Decision::RollBack {
                return true;
            }
        }
    }
    decided(&judge, now).1 == Decision::RollBack
}

#[test]
fn a_client_that_fails_everywhere_does_not_end_a_sticky_rollout() {
    let back = |sticky| (0..40).filter(|seed: &u64| poison_clients(sticky, 31 + seed)).count();
    let naive = back(Sticky::Naive);
    assert!(naive >= 10, "the clients would do harm if they were counted naively: {naive} of 40");
    let built = back(Sticky::AsBuilt);
    assert!(built <= 1, "{built} of 40");
}

#[test]
fn a_broken_canary_behind_a_sticky_split_goes_back_soon() {
    for seed in 0..50 {
        let random = &mut Random(seed);
        let mut judge = Judge::new(&Analysis::default(), SplitMode::Realised, at(0.0));
        judge.open_epoch(1, Weight::from_percent(10.0).expect("a weight"), StepChange::New, at(0.0));
        let mut failures = 0;
        for second in 1..1000u32 {
            let failed = random.poisson(2.0);
            let counts = EpochCounts { canary: arm(0, failed), stable: arm(random.poisson(18.0), 0) };
            judge.feed(1, counts, at(f64::from(second)));
            failures += failed;
            if decided(&judge, f64::from(second)).1 == Decision::RollBack {
                break;
            }
        }
        assert!(failures <= 15, "run {seed}: {failures}");
    }
}
