//! Machine and judge together, fed with simulated traffic over virtual days: the promise of the product as a test.

use std::time::Duration;

use super::{Action, Event, Judge, Judgement, Machine, Plan, SplitMode, StepProgress, Wanted, decide};
use crate::domain::stats::{ArmCounts, EpochCounts};
use crate::domain::{Timestamp, VersionName, Weight};

/// One service whose new version is released under simulated traffic.
struct Simulation {
    machine: Machine,
    judge: Judge,
    plan: Plan,
    dice: fastrand::Rng,
    now: Timestamp,
    epoch: u32,
    weight: Weight,
    seen: EpochCounts,
}

/// Traffic: requests per second, and how often each version fails.
#[derive(Clone, Copy)]
struct Traffic {
    per_second: f64,
    stable: f64,
    canary: f64,
}

/// How a simulated rollout ended, or that it did not.
#[derive(Debug, PartialEq)]
enum End {
    Promoted,
    Aborted { canary_failures: u64 },
    UnderWay,
}

impl Simulation {
    fn new(plan: Plan, seed: u64) -> Self {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let mut machine = Machine::first(VersionName::from("v1"));
        let judge = Judge::new(&plan.analysis, SplitMode::Independent, now);
        let release = VersionName::from("v2");
        let started = machine.on(now, Event::Wanted(Wanted { release: &release, plan: &plan, salt: (0, 0) }));
        let dice = fastrand::Rng::with_seed(seed);
        let seen = EpochCounts::default();
        let mut simulation = Self { machine, judge, plan, dice, now, epoch: 0, weight: Weight::ZERO, seen };
        simulation.act(&started);
        let ready = simulation.machine.on(now, Event::Readiness { canary: true, stable: true });
        simulation.act(&ready);
        simulation
    }

    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::OpenEpoch { weight, step } = action {
                self.epoch += 1;
                self.weight = *weight;
                self.judge.open_epoch(self.epoch, *weight, *step, self.now);
            }
        }
    }

    /// Lets traffic flow until the rollout ends or `span` is over. Evidence of harm only rises with a failed canary
    /// request: it is looked at after each of them, and otherwise every 200 requests.
    fn run(&mut self, traffic: Traffic, span: Duration) -> End {
        let until = self.now + span;
        while self.now < until {
            if self.machine.rollout().is_none() {
                break;
            }
            self.flow(traffic);
            self.judge.tick(self.now);
            self.decide();
        }
        match self.machine.last() {
            None => End::UnderWay,
            Some(last) if last.end == super::End::Promoted => End::Promoted,
            Some(_) => End::Aborted { canary_failures: self.seen.canary.failed },
        }
    }

    /// Requests until the canary fails once, or 200 of them.
    fn flow(&mut self, traffic: Traffic) {
        let mut counts = EpochCounts::default();
        for _ in 0..200 {
            let canary = self.dice.f64() < self.weight.fraction();
            let (arm, rate) = if canary {
                (&mut counts.canary, traffic.canary)
            } else {
                (&mut counts.stable, traffic.stable)
            };
            let failed = self.dice.f64() < rate;
            *arm = arm.plus(ArmCounts { routed: 1, completed: 1, failed: u64::from(failed) });
            self.now = self.now + Duration::from_secs_f64(1.0 / traffic.per_second);
            if canary && failed {
                break;
            }
        }
        self.seen = self.seen.plus(counts);
        self.judge.feed(self.epoch, counts, self.now);
    }

    fn decide(&mut self) {
        let Some(rollout) = self.machine.rollout() else { return };
        let assessment = self.judge.assess(self.now);
        let progress = StepProgress { age: rollout.age(self.now), pause: rollout.step_pause() };
        let decision = decide(&assessment, progress, &self.plan.advance);
        let judgement = Judgement { decision, verdict: assessment.verdict(&self.plan.analysis) };
        let mut actions = self.machine.on(self.now, Event::Evidence(judgement));
        actions.extend(self.machine.on(self.now, Event::Time));
        self.act(&actions);
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// A plan that stays at 5 % for longer than a day, so that the judge looks at a healthy canary all day long.
fn all_day() -> Plan {
    let mut plan = Plan::default();
    plan.steps.remove(0);
    plan.steps[0].pause = 2 * DAY;
    plan.advance.max_time = 3 * DAY;
    plan
}

#[test]
fn of_200_canaries_that_fail_as_often_as_stable_at_most_one_is_aborted_in_a_day() {
    let equal = Traffic { per_second: 20.0, stable: 0.01, canary: 0.01 };
    let aborted = (0..200)
        .filter(|seed| matches!(Simulation::new(all_day(), *seed).run(equal, DAY), End::Aborted { .. }))
        .count();
    assert!(aborted <= 1, "{aborted} of 200 healthy canaries were aborted");
}

#[test]
fn a_canary_that_fails_every_request_at_5_percent_is_out_within_10_failures() {
    for seed in 0..200 {
        let broken = Traffic { per_second: 200.0, stable: 0.0, canary: 1.0 };
        match Simulation::new(all_day(), seed).run(broken, DAY) {
            End::Aborted { canary_failures } => assert!(canary_failures <= 10, "seed {seed}: {canary_failures}"),
            other @ (End::Promoted | End::UnderWay) => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn a_healthy_canary_is_promoted_by_the_default_plan() {
    for seed in 0..20 {
        let healthy = Traffic { per_second: 500.0, stable: 0.001, canary: 0.001 };
        assert_eq!(Simulation::new(Plan::default(), seed).run(healthy, DAY), End::Promoted, "seed {seed}");
    }
}

#[test]
fn a_canary_ten_times_worse_is_never_promoted() {
    for seed in 0..50 {
        let worse = Traffic { per_second: 500.0, stable: 0.002, canary: 0.02 };
        let end = Simulation::new(Plan::default(), seed).run(worse, DAY);
        assert!(matches!(end, End::Aborted { .. }), "seed {seed}: {end:?}");
    }
}

#[test]
fn an_incident_that_hits_both_versions_aborts_nothing() {
    for seed in 0..50 {
        let mut simulation = Simulation::new(all_day(), seed);
        let calm = Traffic { per_second: 100.0, stable: 0.001, canary: 0.001 };
        let incident = Traffic { per_second: 100.0, stable: 0.3, canary: 0.3 };
        for traffic in [calm, incident, calm, incident, calm] {
            let end = simulation.run(traffic, Duration::from_secs(600));
            assert_eq!(end, End::UnderWay, "seed {seed}");
        }
    }
}
