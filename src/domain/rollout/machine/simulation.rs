//! Whole rollouts over virtual time, and the rules that take more than one event to show.

mod by_hand;
mod gates;
mod strategies;
mod undone;

use std::time::Duration;

use super::super::{
    Action, Decision, End, Event, GateAnswer, Hook, HookPoint, Judgement, Machine, OnMaxTime, Operator,
    Ordered, Otherwise, Outcome, PhaseName, Plan, Reason, Step, StepChange, Strategy, Transition, Verdict,
    Wanted,
};
use crate::domain::{Timestamp, VersionName, Weight};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(super) fn percent(weight: f64) -> Weight {
    Weight::from_percent(weight).unwrap()
}

pub(super) fn version(name: &str) -> VersionName {
    name.into()
}

/// Steps of 10, 50 (at least two minutes) and 100 %, then an hour's bake.
pub(super) fn plan() -> Plan {
    let step = |weight, pause| Step { weight: percent(weight), pause: Duration::from_secs(pause) };
    Plan { steps: vec![step(10.0, 0), step(50.0, 120), step(100.0, 0)], bake: HOUR, ..Plan::default() }
}

/// A preview of a minute, one switch, an hour's bake.
pub(super) fn blue_green() -> Plan {
    let steps = Plan::switch(Duration::from_secs(60));
    Plan { strategy: Strategy::BlueGreen, steps, bake: HOUR, ..Plan::default() }
}

/// The plan with hooks at these points.
pub(super) fn asking(points: &[HookPoint], plan: Plan) -> Plan {
    let hook = |at: &HookPoint| Hook {
        at: *at,
        url: "http://ci.example/gate".into(),
        timeout: Duration::from_secs(10),
        attempts: 3,
        otherwise: Otherwise::Pause,
        token_file: None,
    };
    Plan { hooks: points.iter().map(hook).collect(), ..plan }
}

pub(super) fn refusal(then: Otherwise) -> Event<'static> {
    Event::Gate(GateAnswer::Shut { why: "http://ci.example/gate answered 503".into(), then })
}

pub(super) fn verdict(outcome: Outcome) -> Verdict {
    Verdict {
        outcome,
        rule: "errors".into(),
        value: 123.4,
        bound: 100.0,
        canary_requests: 500,
        canary_failures: 1,
        stable_requests: 5000,
        stable_failures: 7,
        detail: Default::default(),
    }
}

pub(super) fn evidence(decision: Decision, outcome: Outcome) -> Event<'static> {
    Event::Evidence(Judgement { decision, verdict: verdict(outcome) })
}

pub(super) const READY: Event<'static> = Event::Readiness { canary: true, stable: true };
pub(super) const LOST: Event<'static> = Event::Readiness { canary: false, stable: true };

pub(super) fn want(machine: &mut Machine, now: Timestamp, release: &str, plan: &Plan) -> Vec<Action> {
    machine.on(now, Event::Wanted(Wanted { release: &version(release), plan, salt: (1, 2) }))
}

/// v1 is stable and v2 at the first step since second 0.
pub(super) fn at_first_step(plan: &Plan) -> Machine {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", plan);
    machine.on(at(0), READY);
    machine
}

pub(super) fn transitions(actions: &[Action]) -> Vec<&Transition> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Record(transition) => Some(transition),
            Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => None,
        })
        .collect()
}

#[test]
fn a_healthy_rollout_goes_through_all_steps_to_its_promotion() {
    let plan = plan();
    let mut machine = Machine::first(version("v1"));
    let mut log = want(&mut machine, at(0), "v2", &plan);
    for second in 5..2 * 3600 {
        log.extend(machine.on(at(second), READY));
        log.extend(machine.on(at(second), evidence(Decision::Advance, Outcome::Successful)));
        log.extend(machine.on(at(second), Event::Time));
    }
    let story: Vec<_> = transitions(&log)
        .iter()
        .map(|t| (t.at.as_micros() / 1_000_000, t.to, t.step, t.weight.percent(), t.reason.clone()))
        .collect();
    assert_eq!(
        story,
        [
            (0, PhaseName::Waiting, 0, 0.0, Reason::ReleaseChanged),
            (5, PhaseName::Stepping, 1, 10.0, Reason::CanaryReady),
            (35, PhaseName::Stepping, 2, 50.0, Reason::VerdictSuccessful),
            (155, PhaseName::Stepping, 3, 100.0, Reason::VerdictSuccessful),
            (185, PhaseName::Baking, 3, 100.0, Reason::VerdictSuccessful),
            (3785, PhaseName::Promoted, 3, 100.0, Reason::BakeOver),
        ]
    );
    assert_eq!(machine.stable().as_str(), "v2");
    assert_eq!(machine.last().map(|last| (last.number, last.end)), Some((1, End::Promoted)));
    assert_eq!((machine.phase(), machine.weight()), (PhaseName::Idle, Weight::ZERO));
}

#[test]
fn without_a_bake_the_last_step_ends_promoted() {
    let plan = Plan { bake: Duration::ZERO, steps: plan().steps.split_off(2), ..plan() };
    let mut machine = at_first_step(&plan);
    let actions = machine.on(at(30), evidence(Decision::Advance, Outcome::Successful));
    assert_eq!(actions.last(), Some(&Action::CloseEpoch));
    assert_eq!(machine.stable().as_str(), "v2");
}

#[test]
fn each_step_opens_an_epoch_whose_evidence_starts_from_nothing() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &plan());
    let ready = machine.on(at(1), READY);
    let next = machine.on(at(40), evidence(Decision::Advance, Outcome::Successful));
    for (actions, weight) in [(ready, 10.0), (next, 50.0)] {
        let epoch = Action::OpenEpoch { weight: percent(weight), step: StepChange::New };
        assert_eq!(actions.last(), Some(&epoch), "{actions:?}");
    }
}

#[test]
fn a_step_is_not_left_before_its_time_whatever_the_judge_says() {
    let mut machine = at_first_step(&plan());
    assert_eq!(machine.on(at(29), evidence(Decision::Advance, Outcome::Successful)), []);
    machine.on(at(30), evidence(Decision::Advance, Outcome::Successful));
    assert_eq!(machine.on(at(149), evidence(Decision::Advance, Outcome::Successful)), []);
    assert_eq!(machine.weight(), percent(50.0));
}

#[test]
fn a_step_is_not_left_on_any_verdict_but_a_successful_one() {
    let mut machine = at_first_step(&plan());
    for outcome in [Outcome::Failed, Outcome::Inconclusive, Outcome::Error] {
        assert_eq!(machine.on(at(50_000), evidence(Decision::Advance, outcome)), [], "{outcome:?}");
    }
}

#[test]
fn undecided_evidence_advances_at_max_time_only_when_the_plan_says_so() {
    let mut plan = plan();
    plan.advance.on_max_time = OnMaxTime::AdvanceIfNoHarm;
    let mut machine = at_first_step(&plan);
    assert_eq!(machine.on(at(3599), evidence(Decision::Advance, Outcome::Inconclusive)), []);
    let actions = machine.on(at(3600), evidence(Decision::Advance, Outcome::Inconclusive));
    assert_eq!(transitions(&actions)[0].reason, Reason::NoHarm);
    assert_eq!(machine.weight(), percent(50.0));
}

#[test]
fn an_aborted_version_is_not_tried_again_until_told_so() {
    let plan = plan();
    let mut machine = at_first_step(&plan);
    machine.on(at(1), evidence(Decision::RollBack, Outcome::Failed));
    assert_eq!(want(&mut machine, at(2), "v2", &plan), []);
    assert_eq!(machine.aborted(), Some(&version("v2")));
    let retry = Operator::Retry { version: None, plan: &plan, salt: (3, 4) };
    let actions = machine.operator(at(3), retry).unwrap();
    assert_eq!(transitions(&actions)[0].reason, Reason::Operator(Ordered::Retry));
    assert_eq!(machine.rollout().map(|rollout| (rollout.number, rollout.salt)), Some((2, (3, 4))));
    assert_eq!(machine.aborted(), None);
}

#[test]
fn an_aborted_version_is_tried_again_after_another_release_in_between() {
    let plan = plan();
    for between in ["v1", "v3"] {
        let mut machine = at_first_step(&plan);
        machine.operator(at(1), Operator::Abort).unwrap();
        assert_ne!(want(&mut machine, at(2), between, &plan), [], "{between}: must be saved");
        want(&mut machine, at(3), "v2", &plan);
        let rollout = machine.rollout().map(|rollout| (rollout.canary.as_str(), rollout.stable.as_str()));
        assert_eq!(rollout, Some(("v2", "v1")), "{between}");
    }
}

#[test]
fn a_newer_release_replaces_the_canary_and_stable_stays() {
    let plan = plan();
    let mut machine = at_first_step(&plan);
    let actions = want(&mut machine, at(9), "v3", &plan);
    let by = version("v3");
    let story: Vec<_> = transitions(&actions).iter().map(|t| (t.rollout, t.to, t.reason.clone())).collect();
    assert_eq!(
        story,
        [
            (1, PhaseName::Superseded, Reason::Superseded { by }),
            (2, PhaseName::Waiting, Reason::ReleaseChanged)
        ]
    );
    assert_eq!(machine.weight(), Weight::ZERO, "the newer one has not been seen ready yet");
    assert_eq!(machine.stable().as_str(), "v1");
}

#[test]
fn a_withdrawn_release_ends_the_rollout_without_marking_the_version() {
    let plan = plan();
    let mut machine = at_first_step(&plan);
    want(&mut machine, at(9), "v1", &plan);
    let last = machine.last().map(|last| (last.end, last.reason.clone()));
    assert_eq!(last, Some((End::Aborted, Reason::ReleaseWithdrawn)));
    assert_eq!(machine.aborted(), None);
}

#[test]
fn a_lost_canary_gets_nothing_and_comes_back_to_its_step_with_evidence_anew() {
    let mut machine = at_first_step(&plan());
    machine.on(at(40), evidence(Decision::Advance, Outcome::Successful));
    let lost = machine.on(at(100), LOST);
    assert_eq!(lost.last(), Some(&Action::OpenEpoch { weight: Weight::ZERO, step: StepChange::Same }));
    assert_eq!((machine.weight(), machine.phase(), machine.step()), (Weight::ZERO, PhaseName::Stepping, 2));
    assert_eq!(machine.on(at(300), evidence(Decision::Advance, Outcome::Successful)), [], "none to judge");
    let back = machine.on(at(300), READY);
    assert_eq!(back.last(), Some(&Action::OpenEpoch { weight: percent(50.0), step: StepChange::New }));
    assert_eq!(machine.on(at(419), evidence(Decision::Advance, Outcome::Successful)), [], "time runs anew");
    assert_eq!((machine.weight(), machine.step()), (percent(50.0), 2));
}

#[test]
fn a_canary_that_does_not_come_back_is_given_up_after_ready_timeout() {
    let mut machine = at_first_step(&plan());
    machine.on(at(100), LOST);
    assert_eq!(machine.deadline(), Some(at(700)));
    assert_eq!(machine.on(at(699), Event::Time), []);
    machine.on(at(700), Event::Time);
    assert_eq!(machine.last().map(|last| last.reason.clone()), Some(Reason::NotReadyInTime));
    assert_eq!(machine.aborted(), Some(&version("v2")));
}

#[test]
fn a_bake_that_lost_its_canary_starts_anew() {
    let mut machine = at_first_step(&Plan { steps: plan().steps.split_off(2), ..plan() });
    machine.on(at(30), evidence(Decision::Advance, Outcome::Successful));
    machine.on(at(3000), LOST);
    assert_eq!(machine.weight(), Weight::ZERO, "the old version was kept warm for this");
    machine.on(at(3010), READY);
    machine.on(at(3630), Event::Time);
    assert_eq!(machine.phase(), PhaseName::Baking);
    assert_eq!(machine.deadline(), Some(at(3010 + 3600)));
}

#[test]
fn a_broken_stable_is_noted_but_neither_blocks_nor_rushes_the_canary() {
    let mut machine = at_first_step(&plan());
    let alone = Event::Readiness { canary: true, stable: false };
    let actions = machine.on(at(10), alone.clone());
    assert_eq!(transitions(&actions)[0].reason, Reason::StableLost);
    assert_eq!(machine.weight(), percent(10.0), "nobody has judged it at more");
    assert_eq!(machine.on(at(11), alone), [], "noted once");
    machine.on(at(30), evidence(Decision::Advance, Outcome::Successful));
    assert_eq!(machine.weight(), percent(50.0), "it goes on as ever");
    machine.operator(at(31), Operator::PromoteFull).unwrap();
    assert_eq!(machine.stable().as_str(), "v2");
}

#[test]
fn a_stable_that_was_broken_before_the_rollout_is_noted_too() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &plan());
    let actions = machine.on(at(1), Event::Readiness { canary: true, stable: false });
    let reasons: Vec<_> = transitions(&actions).iter().map(|t| t.reason.clone()).collect();
    assert_eq!(reasons, [Reason::StableLost, Reason::CanaryReady]);
    let actions = machine.on(at(2), READY);
    assert_eq!(transitions(&actions)[0].reason, Reason::StableBack);
}

#[test]
fn a_restart_keeps_phase_step_and_weight_and_starts_the_step_anew() {
    let mut machine = at_first_step(&plan());
    machine.on(at(40), evidence(Decision::Advance, Outcome::Successful));
    let mut again: Machine = serde_json::from_str(&serde_json::to_string(&machine).unwrap()).unwrap();
    assert_eq!(again.weight(), Weight::ZERO, "nobody has looked at the canary yet");
    again.on(at(10_000), Event::Restarted);
    assert_eq!(again.on(at(10_001), Event::Readiness { canary: false, stable: false }), [], "not probed yet");
    again.on(at(10_002), READY);
    assert_eq!((again.phase(), again.step(), again.weight()), (PhaseName::Stepping, 2, percent(50.0)));
    assert_eq!(again.on(at(10_121), evidence(Decision::Advance, Outcome::Successful)), []);
    assert_eq!(again.deadline(), Some(at(10_122)));
}
