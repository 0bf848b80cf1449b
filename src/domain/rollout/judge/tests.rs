//! What the judge makes of counts.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

use super::*;
use crate::domain::rollout::{Advance, Decision, Latency, Outcome, StepProgress, decide};
use crate::domain::stats::{ArmCounts, LIMITS, Limits, Quantile, promote_log_e, realised_log_e};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_epoch(Duration::from_secs(seconds))
}

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a weight")
}

/// Requests and failures of the canary, then of stable.
fn counts((n_c, x_c): (u64, u64), (n_s, x_s): (u64, u64)) -> EpochCounts {
    let arm = |completed, failed| ArmCounts { routed: completed, completed, failed };
    EpochCounts { canary: arm(n_c, x_c), stable: arm(n_s, x_s) }
}

/// Without what the check of the split looks at.
fn unrouted(mut counts: EpochCounts) -> EpochCounts {
    (counts.canary.routed, counts.stable.routed) = (0, 0);
    counts
}

fn judge(analysis: &Analysis, weight: f64) -> Judge {
    let mut judge = Judge::new(analysis, SplitMode::Independent, at(0));
    judge.open_epoch(1, percent(weight), StepChange::New, at(0));
    judge
}

fn decided(judge: &Judge, age: u64) -> Decision {
    let step = StepProgress { age: Duration::from_secs(age), pause: Duration::ZERO };
    decide(&judge.assess(at(age)), step, &Advance::default())
}

#[test]
fn as_many_sound_requests_as_the_analysis_says_prove_a_canary() {
    let mut judge = judge(&Analysis::default(), 10.0);
    judge.feed(1, counts((861, 0), (7749, 0)), at(60));
    assert_eq!(decided(&judge, 60), Decision::Hold);
    judge.feed(1, counts((1, 0), (9, 0)), at(60));
    assert_eq!(decided(&judge, 60), Decision::Advance);
    assert_eq!(judge.assess(at(60)).verdict(&Analysis::default()).outcome, Outcome::Successful);
}

#[test]
fn a_new_step_has_to_be_proven_anew() {
    let mut judge = judge(&Analysis::default(), 10.0);
    judge.feed(1, counts((2000, 0), (18_000, 0)), at(60));
    judge.open_epoch(2, percent(25.0), StepChange::New, at(60));
    let assessment = judge.assess(at(60));
    assert_eq!((assessment.promote_log_e, assessment.step), (0.0, EpochCounts::default()));
    assert_eq!(assessment.total.canary.completed, 2000);
}

#[test]
fn late_outcomes_of_an_earlier_step_prove_nothing_for_this_one_but_count_as_harm() {
    let mut judge = judge(&Analysis::default(), 10.0);
    judge.feed(1, counts((500, 0), (4500, 0)), at(60));
    judge.open_epoch(2, percent(25.0), StepChange::New, at(60));
    let before = judge.assess(at(60));
    judge.feed(1, counts((900, 0), (8100, 0)), at(61));
    assert_eq!(judge.assess(at(61)).step, EpochCounts::default());
    assert_eq!(judge.assess(at(61)).promote_log_e, 0.0);
    judge.feed(1, counts((4, 4), (0, 0)), at(62));
    let after = judge.assess(at(62));
    assert!(after.harm_log_e > before.harm_log_e, "{after:?}");
    assert_eq!(after.total.canary.failed, 4);
}

#[test]
fn a_changed_weight_within_a_step_keeps_what_was_proven() {
    let mut judge = judge(&Analysis::default(), 10.0);
    judge.feed(1, counts((600, 0), (5400, 0)), at(60));
    judge.open_epoch(2, percent(20.0), StepChange::Same, at(60));
    judge.feed(2, counts((262, 0), (1048, 0)), at(90));
    assert_eq!(judge.assess(at(90)).step.canary.completed, 862);
    assert_eq!(decided(&judge, 90), Decision::Advance);
}

#[test]
fn what_was_proven_survives_more_changes_of_weight_than_are_kept() {
    let mut judge = judge(&Analysis::default(), 10.0);
    let analysis = Analysis::default();
    let promote = &analysis.promote_margin;
    let margin = Margin { relative: promote.relative, absolute: promote.absolute };
    for epoch in 2..50 {
        judge.feed(epoch - 1, counts((20, 0), (180, 0)), at(60));
        judge.open_epoch(epoch, percent(10.0), StepChange::Same, at(60));
    }
    let expected = promote_log_e(counts((960, 0), (8640, 0)), 0.1, margin);
    let got = judge.assess(at(60)).promote_log_e;
    assert!((got - expected).abs() < 1e-9, "{got} not {expected}");
    assert_eq!(judge.epochs.len(), EPOCHS);
}

#[test]
fn outcomes_of_an_unknown_epoch_are_only_counted() {
    let mut judge = judge(&Analysis::default(), 10.0);
    let before = judge.assess(at(1));
    judge.feed(7, counts((50, 50), (450, 0)), at(1));
    let after = judge.assess(at(1));
    assert_eq!(after.total.canary.failed, 50);
    assert_eq!(Assessment { total: before.total, ..after }, before);
}

#[test]
fn with_all_traffic_on_the_canary_the_guard_alone_ends_it() {
    let mut judge = judge(&Analysis::default(), 50.0);
    judge.feed(1, counts((5000, 0), (5000, 0)), at(60));
    judge.open_epoch(2, Weight::FULL, StepChange::New, at(60));
    assert!(!judge.assess(at(60)).comparable);
    judge.feed(2, counts((40, 20), (0, 0)), at(61));
    assert_eq!(decided(&judge, 1), Decision::RollBack);
    assert_eq!(judge.assess(at(61)).leading, Metric::Guard);
}

#[test]
fn beside_stable_the_guard_speaks_only_when_asked_to() {
    // Stable fails too rarely to break the guard, the canary no more than it but above the limit.
    let (default, asked) =
        (Analysis::default(), Analysis { max_error_rate: Some(0.001), ..Analysis::default() });
    for (analysis, expected) in [(default, Decision::Hold), (asked, Decision::RollBack)] {
        let mut judge = judge(&analysis, 90.0);
        judge.feed(1, counts((900, 27), (100, 1)), at(1));
        judge.feed(1, counts((90, 0), (60, 0)), at(1));
        assert_eq!(decided(&judge, 1), expected, "{:?}", judge.assess(at(1)));
    }
}

fn guarded(weight: f64) -> Judge {
    judge(&Analysis { max_error_rate: Some(0.05), ..Analysis::default() }, weight)
}

#[test]
fn what_the_guard_saw_of_a_shared_incident_is_not_held_against_the_canary_later() {
    let mut judge = guarded(50.0);
    judge.feed(1, counts((2, 2), (0, 0)), at(1));
    judge.feed(1, counts((0, 0), (3, 3)), at(2));
    judge.feed(1, counts((3, 3), (3, 3)), at(3));
    assert!(judge.assess(at(3)).stable_failing);
    judge.feed(1, unrouted(counts((1, 1), (2000, 0))), at(70));
    assert_eq!(decided(&judge, 70), Decision::Hold, "{:?}", judge.assess(at(70)));
    judge.feed(1, counts((3, 3), (3, 0)), at(71));
    assert_eq!(decided(&judge, 71), Decision::RollBack);
}

#[test]
fn the_guard_waits_while_stable_shows_a_first_sign_of_failing() {
    let mut judge = guarded(50.0);
    judge.feed(1, counts((0, 0), (1, 1)), at(1));
    judge.feed(1, counts((3, 3), (0, 0)), at(1));
    assert_eq!(decided(&judge, 1), Decision::Hold, "{:?}", judge.assess(at(1)));
    judge.feed(1, counts((0, 0), (20, 0)), at(2));
    assert_eq!(decided(&judge, 2), Decision::RollBack);
}

#[test]
fn a_stable_without_traffic_excuses_nothing() {
    let mut judge = guarded(50.0);
    judge.feed(1, counts((10, 0), (10, 8)), at(1));
    assert!(judge.assess(at(1)).stable_failing);
    judge.open_epoch(2, Weight::FULL, StepChange::New, at(2));
    judge.feed(2, counts((20, 16), (0, 0)), at(3));
    assert_eq!(decided(&judge, 3), Decision::RollBack);
}

#[test]
fn late_outcomes_count_with_the_weight_they_were_routed_with() {
    for (epoch, expected) in [(1, Decision::RollBack), (2, Decision::Hold)] {
        let mut judge = judge(&Analysis::default(), 1.0);
        judge.open_epoch(2, percent(50.0), StepChange::Same, at(60));
        judge.feed(epoch, unrouted(counts((2, 2), (198, 0))), at(61));
        assert_eq!(decided(&judge, 61), expected, "in epoch {epoch}");
    }
}

#[test]
fn evidence_that_rests_on_a_wrong_weight_is_judged_anew_by_the_real_share() {
    let mut judge = judge(&Analysis::default(), 10.0);
    let skewed = counts((2000, 40), (8000, 160));
    judge.feed(1, skewed, at(1));
    assert!(judge.assess(at(1)).split_suspect);
    let expected = 0.5f64.ln() + realised_log_e(&[skewed], judge.rules.tolerated);
    let got = judge.errors.log_e();
    assert!((got - expected).abs() < 1e-9, "{got} not {expected}");
}

#[test]
fn weight_zero_is_no_reason_to_advance() {
    let mut judge = judge(&Analysis::default(), 10.0);
    judge.feed(1, counts((200, 0), (1800, 0)), at(60));
    judge.open_epoch(2, Weight::ZERO, StepChange::Same, at(60));
    judge.feed(2, counts((0, 0), (50_000, 0)), at(600));
    assert_eq!(decided(&judge, 600), Decision::Hold);
}

#[test]
fn a_stable_that_fails_as_well_holds_the_rollout_until_it_is_over() {
    let mut judge = judge(&Analysis::default(), 10.0);
    judge.feed(1, counts((2000, 0), (18_000, 0)), at(60));
    assert_eq!(decided(&judge, 60), Decision::Advance);
    judge.feed(1, counts((10, 3), (90, 30)), at(61));
    assert!(judge.assess(at(61)).stable_failing);
    assert_eq!(decided(&judge, 61), Decision::Hold);
    judge.feed(1, counts((1000, 0), (9000, 0)), at(100));
    assert!(!judge.assess(at(122)).stable_failing, "a minute after the last sign");
}

#[test]
fn a_stable_that_fails_does_not_hold_up_its_fix() {
    let mut judge = judge(&Analysis::default(), 10.0);
    (1..60).for_each(|second| judge.feed(1, counts((10, 0), (90, 40)), at(second)));
    assert_eq!(decided(&judge, 60), Decision::Advance, "{:?}", judge.assess(at(60)));
}

#[test]
fn quick_errors_of_stable_do_not_make_the_canary_look_slow() {
    let analysis = Analysis { latency: Some(Latency::default()), ..Analysis::default() };
    let told = |failed: u64| {
        let mut judge = Judge::new(&analysis, SplitMode::Independent, at(0)).with_times();
        judge.open_epoch(1, percent(50.0), StepChange::New, at(0));
        let limits =
            Limits { stable: [1_000; LIMITS], tolerated: [1_189; LIMITS], promotable: [1_240; LIMITS] };
        judge.set_pace(Some(Pace { limits, warmup: Duration::ZERO }));
        // Of stable's requests half fail at once; those that are answered are as often slow as the canary's.
        let mut slow = SlowCounts::default();
        slow.tolerated[Quantile::P50 as usize] = unrouted(counts((1_000, 400), (500, 200)));
        judge.feed(1, counts((1_000, 0), (1_000, failed)), at(60));
        judge.feed_slow(1, &slow, at(60));
        judge.assess(at(60)).harm_log_e
    };
    assert!(told(0) > 0.0, "without the errors it would look slow: {}", told(0));
    assert!(told(500) < 0.0, "{}", told(500));
}

#[test]
fn a_failure_whose_completion_was_read_before_it_is_booked_in_full() {
    let (mut at_once, mut apart) = (judge(&Analysis::default(), 10.0), judge(&Analysis::default(), 10.0));
    at_once.feed(1, counts((1, 1), (9, 0)), at(1));
    apart.feed(1, counts((1, 0), (9, 0)), at(1));
    let late = ArmCounts { failed: 1, ..ArmCounts::default() };
    apart.feed(1, EpochCounts { canary: late, ..EpochCounts::default() }, at(1));
    let (at_once, apart) = (at_once.assess(at(1)), apart.assess(at(1)));
    assert!((at_once.harm_log_e - apart.harm_log_e).abs() < 1e-12, "{at_once:?} {apart:?}");
    assert_eq!(at_once.step, apart.step);
}

#[test]
fn ticks_are_asked_for_when_something_is_due() {
    let mut judge = Judge::new(&Analysis::default(), SplitMode::Realised, at(0));
    judge.open_epoch(1, percent(10.0), StepChange::New, at(100));
    assert_eq!(judge.next_tick(), at(400));
    judge.feed(1, counts((2, 2), (18, 0)), at(130));
    assert_eq!(judge.next_tick(), at(190));
    let before = judge.assess(at(189)).harm_log_e;
    judge.tick(at(190));
    assert!(judge.assess(at(190)).harm_log_e > before);
    assert_eq!(judge.next_tick(), at(400));
    judge.tick(at(401));
    assert_eq!(judge.next_tick(), at(701));
}

#[derive(Clone, Debug)]
enum Told {
    Epoch(u32, Weight, bool),
    Counts(u32, EpochCounts),
    Time(u64),
}

fn anything() -> impl Strategy<Value = Told> {
    let count = prop_oneof![0u64..4, 0u64..2000, 0u64..1_000_000_000_000];
    let arm = (count.clone(), count, any::<bool>()).prop_map(|(ok, failed, failing)| {
        let failed = if failing { failed } else { 0 };
        ArmCounts { routed: ok + failed, completed: ok + failed, failed }
    });
    prop_oneof![
        (0u32..30, 0u32..=100, any::<bool>()).prop_map(|(number, weight, new)| Told::Epoch(
            number,
            percent(f64::from(weight)),
            new
        )),
        (0u32..30, arm.clone(), arm)
            .prop_map(|(epoch, canary, stable)| Told::Counts(epoch, EpochCounts { canary, stable })),
        (0u64..1000).prop_map(Told::Time),
    ]
}

proptest! {
    #[test]
    fn whatever_it_is_told_all_numbers_are_finite_and_memory_is_bounded(
        told in vec(anything(), 0..200), sticky in any::<bool>(), guard in any::<bool>(),
    ) {
        let split = if sticky { SplitMode::Realised } else { SplitMode::Independent };
        let analysis = Analysis { max_error_rate: guard.then_some(0.05), ..Analysis::default() };
        let mut judge = Judge::new(&analysis, split, at(0));
        let mut now = 0;
        for told in told {
            match told {
                Told::Epoch(number, weight, new) => {
                    let step = if new { StepChange::New } else { StepChange::Same };
                    judge.open_epoch(number, weight, step, at(now));
                }
                Told::Counts(epoch, counts) => judge.feed(epoch, counts, at(now)),
                Told::Time(passed) => {
                    now += passed;
                    judge.tick(at(now));
                    prop_assert!(judge.next_tick() > at(now));
                }
            }
            let all = judge.assess(at(now));
            for number in [all.harm_log_e, all.promote_log_e, all.relaxed_log_e] {
                prop_assert!(number.is_finite(), "{all:?}");
            }
            prop_assert!(judge.epochs.len() <= EPOCHS);
            prop_assert!(all.verdict(&analysis).value <= 1e12);
        }
    }

    #[test]
    fn how_the_counts_are_cut_into_increments_changes_nothing(
        parts in vec((0u64..40, 0u64..4, 0u64..400, 0u64..4), 1..40),
    ) {
        let (mut whole, mut cut) =
            (judge(&Analysis::default(), 10.0), judge(&Analysis::default(), 10.0));
        let part = |(canary_ok, canary_failed, stable_ok, stable_failed)| {
            let arm = |ok, failed| (ok + failed, failed);
            unrouted(counts(arm(canary_ok, canary_failed), arm(stable_ok, stable_failed)))
        };
        let parts: Vec<EpochCounts> = parts.into_iter().map(part).collect();
        parts.iter().for_each(|part| cut.feed(1, *part, at(1)));
        whole.feed(1, parts.into_iter().fold(EpochCounts::default(), EpochCounts::plus), at(1));
        let (errors, in_parts) = (whole.errors.log_e(), cut.errors.log_e());
        prop_assert!((errors - in_parts).abs() < 1e-9 * errors.abs().max(1.0), "{errors} {in_parts}");
        let (proven, in_parts) = (whole.promotion().0, cut.promotion().0);
        prop_assert!((proven - in_parts).abs() < 1e-9, "{proven} {in_parts}");
    }
}
