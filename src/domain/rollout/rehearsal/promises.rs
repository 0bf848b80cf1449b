//! The promises of the product, over virtual days.

use std::time::Duration;

use super::{Condition, Fate, Rehearsal, Rescue, Traffic};
use crate::domain::Weight;
use crate::domain::rollout::{Advance, Latency, Plan, Reason, SplitMode, Step, Strategy};

const DAY: Duration = Duration::from_secs(86_400);
const ALL: Rescue = Rescue { share: 1.0, reserve: 0.0 };

fn traffic(per_second: f64, stable: f64, canary: f64) -> Traffic {
    Traffic { per_second, stable, canary, rescue: ALL }
}

fn percent(weight: f64) -> Weight {
    Weight::from_percent(weight).expect("a weight")
}

/// A plan that stays at this weight for longer than a day, so that the judge looks at the canary all day long.
fn all_day(weight: f64) -> Plan {
    let mut plan = Plan::default();
    plan.steps = vec![Step { weight: percent(weight), pause: 2 * DAY }, plan.steps[4]];
    plan.advance.max_time = 3 * DAY;
    plan
}

fn rehearse(plan: &Plan, seed: u64) -> Rehearsal {
    Rehearsal::new(plan, SplitMode::Independent, seed)
}

/// Failed canary requests and seconds until the abort, each in order, over so many runs of at most a day.
fn until_abort(weight: f64, traffic: Traffic, runs: u64) -> (Vec<u64>, Vec<f64>) {
    let plan = all_day(weight);
    let (mut failures, mut seconds) = (Vec::new(), Vec::new());
    for seed in 0..runs {
        let mut rehearsal = rehearse(&plan, seed);
        let fate = rehearsal.run(traffic, DAY);
        assert_eq!(fate, Fate::Aborted(Reason::VerdictFailed), "seed {seed}, {traffic:?}");
        failures.push(rehearsal.seen().canary.failed);
        seconds.push(rehearsal.time().as_secs_f64());
    }
    failures.sort_unstable();
    seconds.sort_unstable_by(f64::total_cmp);
    (failures, seconds)
}

#[test]
fn of_200_canaries_that_fail_as_often_as_stable_at_most_two_are_aborted_in_a_day() {
    let equal = traffic(20.0, 0.01, 0.01);
    let aborted = (0..200).filter(|seed| rehearse(&all_day(5.0), *seed).run(equal, DAY) != Fate::UnderWay);
    let aborted: Vec<u64> = aborted.collect();
    assert!(aborted.len() <= 2, "seeds {aborted:?}");
}

#[test]
fn a_canary_that_fails_every_request_at_5_percent_is_out_within_10_failures() {
    let (failures, _) = until_abort(5.0, traffic(200.0, 0.0, 1.0), 200);
    assert!(failures[199] <= 10, "{failures:?}");
}

#[test]
fn worse_canaries_are_out_after_as_many_failures_and_seconds_as_the_analysis_says() {
    // Weight, stable's and the canary's rate; the medians of ANALYSIS section 10 at 100 requests a second.
    let cells = [
        (1.0, 0.0, 1.0, 2_u64, 1.6),
        (1.0, 0.001, 0.05, 3, 51.0),
        (1.0, 0.01, 0.05, 11, 201.0),
        (10.0, 0.001, 0.01, 8, 66.0),
        (10.0, 0.001, 0.2, 4, 1.9),
        (10.0, 0.01, 0.05, 13, 25.0),
        (50.0, 0.001, 1.0, 11, 0.22),
        (50.0, 0.01, 0.05, 28, 12.0),
    ];
    for (weight, stable, canary, failed, second) in cells {
        let (failures, seconds) = until_abort(weight, traffic(100.0, stable, canary), 301);
        let near = failed - failed.div_ceil(5)..=failed + failed.div_ceil(5);
        assert!(near.contains(&failures[150]), "at {weight} %: {} not {failed}", failures[150]);
        // Failures are whole, so the time of the last one is no sharper than one failure more or less.
        let slack = (1.5 / f64::from(u32::try_from(failed).expect("few"))).max(0.25);
        let around = second * (1.0 - slack)..=second * (1.0 + slack);
        assert!(around.contains(&seconds[150]), "at {weight} %: {} s not {second} s", seconds[150]);
    }
}

#[test]
fn a_healthy_canary_is_promoted_by_the_default_plan() {
    for seed in 0..20 {
        let fate = rehearse(&Plan::default(), seed).run(traffic(500.0, 0.001, 0.001), DAY);
        assert_eq!(fate, Fate::Promoted, "seed {seed}");
    }
}

#[test]
fn a_canary_ten_times_worse_is_never_promoted() {
    for seed in 0..50 {
        let fate = rehearse(&Plan::default(), seed).run(traffic(500.0, 0.002, 0.02), DAY);
        assert_eq!(fate, Fate::Aborted(Reason::VerdictFailed), "seed {seed}");
    }
}

#[test]
fn an_incident_that_hits_both_versions_aborts_nothing() {
    for seed in 0..50 {
        let mut rehearsal = rehearse(&all_day(5.0), seed);
        let calm = traffic(100.0, 0.001, 0.001);
        let incident = traffic(100.0, 0.3, 0.3);
        for traffic in [calm, incident, calm, incident, calm] {
            let fate = rehearsal.run(traffic, Duration::from_secs(600));
            assert_eq!(fate, Fate::UnderWay, "seed {seed}");
        }
    }
}

#[test]
fn each_stage_says_how_long_it_lasted_and_what_it_waited_for() {
    let pause = Duration::from_secs(900);
    let plan = Plan {
        steps: vec![
            Step { weight: percent(1.0), pause: Duration::ZERO },
            Step { weight: percent(50.0), pause: Duration::ZERO },
            Step { weight: percent(60.0), pause },
            Step { weight: Weight::FULL, pause: Duration::ZERO },
        ],
        advance: Advance { min_requests: 100_000, max_time: DAY, ..Advance::default() },
        bake: DAY,
        ..Plan::default()
    };
    let mut rehearsal = rehearse(&plan, 1);
    let needy = rehearsal.run(traffic(1000.0, 0.0, 0.0), 3 * DAY);
    assert_eq!(needy, Fate::Promoted);
    let story: Vec<_> = rehearsal.stages().iter().map(|s| (s.step, s.time.as_secs(), s.held_by)).collect();
    let [first, second, third, fourth, bake] = story[..] else { panic!("{story:?}") };
    assert!((first.0, first.2) == (1, Condition::MinRequests), "{story:?}");
    assert!(first.1.abs_diff(10_000) <= 100, "{story:?}");
    assert_eq!((second.0, second.2), (2, Condition::MinRequests), "{story:?}");
    assert!(second.1.abs_diff(200) <= 3, "{story:?}");
    assert_eq!(third, (3, 900, Condition::Pause), "{story:?}");
    assert_eq!((fourth.0, fourth.2), (4, Condition::MinRequests), "{story:?}");
    assert_eq!(bake, (4, 86_400, Condition::Bake), "{story:?}");
}

#[test]
fn a_step_without_enough_traffic_pauses_at_max_time_until_an_operator_goes_on() {
    let mut rehearsal = rehearse(&Plan::default(), 1);
    let slow = traffic(1.0, 0.0, 0.0);
    assert_eq!(rehearsal.run(slow, DAY), Fate::Paused(Reason::MaxTime));
    assert_eq!((rehearsal.time(), rehearsal.stages().len()), (Duration::from_secs(3600), 1));
    assert_eq!(rehearsal.stages()[0].held_by, Condition::MinRequests);
    rehearsal.promote().expect("a rollout is under way");
    assert_eq!((rehearsal.fate(), rehearsal.stages().len()), (Fate::UnderWay, 2));
}

#[test]
fn a_preview_lasts_its_time_and_the_switch_is_judged_by_the_guard() {
    let preview = Duration::from_secs(120);
    let plan =
        Plan { strategy: Strategy::BlueGreen, steps: Plan::switch(preview), bake: DAY, ..Plan::default() };
    let mut rehearsal = rehearse(&plan, 1);
    assert_eq!(rehearsal.run(traffic(100.0, 0.001, 1.0), DAY), Fate::Aborted(Reason::VerdictFailed));
    let [first, .., last] = rehearsal.stages() else { panic!("{:?}", rehearsal.stages()) };
    assert_eq!((first.time, first.held_by, first.weight), (preview, Condition::Pause, Weight::ZERO));
    assert!(last.weight == Weight::FULL && last.counts.canary.failed <= 10, "{last:?}");
}

#[test]
fn the_same_seed_gives_the_same_rollout_and_another_one_another() {
    let story = |seed| {
        let mut rehearsal = rehearse(&Plan::default(), seed);
        rehearsal.run(traffic(300.0, 0.01, 0.03), DAY);
        (rehearsal.time(), rehearsal.seen(), rehearsal.stages().to_vec())
    };
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}

#[test]
fn rescue_hides_failures_up_to_its_budget_and_no_more() {
    let plan = all_day(50.0);
    for (share, reserve, hidden) in [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.2, 0.0, 0.4), (0.0, 1000.0, 1.0)] {
        let mut rehearsal = rehearse(&plan, 4);
        let rescue = Rescue { share, reserve };
        rehearsal.run(Traffic { rescue, ..traffic(100.0, 0.0, 1.0) }, DAY);
        let failed = rehearsal.seen().canary.failed;
        #[allow(clippy::cast_precision_loss, reason = "a few")]
        let part = 1.0 - rehearsal.unrescued() as f64 / failed as f64;
        assert!((part - hidden).abs() < 0.2, "{share} and {reserve}: {part} of {failed}");
    }
}

#[test]
fn what_is_no_matter_of_traffic_holds_no_rehearsal_up() {
    let mut plan = Plan::default();
    plan.analysis.latency = Some(Latency::default());
    plan.analysis.dry_run = true;
    let fate = rehearse(&plan, 1).run(traffic(1000.0, 0.0, 0.0), DAY);
    assert_eq!(fate, Fate::Promoted);
}
