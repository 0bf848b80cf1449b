//! Hooks are asked before the rollout goes on, and nothing else waits for them.

use std::time::Duration;

use super::super::super::{
    Action, Decision, End, Event, Gate, GateAnswer, HookPoint, Machine, Operator, Ordered, Otherwise,
    Outcome, PhaseName, Plan, Reason,
};
use super::{
    READY, asking, at, at_first_step, blue_green, evidence, percent, plan, refusal, transitions, version,
    want,
};
use crate::domain::Weight;

const OPEN: Event<'static> = Event::Gate(GateAnswer::Open);

fn good() -> Event<'static> {
    evidence(Decision::Advance, Outcome::Successful)
}

fn gate(machine: &Machine) -> Option<Gate> {
    machine.rollout().and_then(|rollout| rollout.gate.clone())
}

fn pending(at: HookPoint) -> Option<Gate> {
    Some(Gate { at, open: false })
}

fn reason(actions: &[Action]) -> String {
    transitions(actions).iter().map(|transition| transition.reason.to_string()).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_canary_gets_no_request_before_the_start_hooks_say_yes() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &asking(&[HookPoint::Start], plan()));
    assert_eq!(reason(&machine.on(at(1), READY)), "waits for the hooks before the first request");
    assert_eq!((machine.phase(), gate(&machine)), (PhaseName::Waiting, pending(HookPoint::Start)));
    assert_eq!(machine.on(at(9000), READY), []);
    assert_eq!(machine.on(at(9000), Event::Time), [], "it is not the canary that is late");
    machine.on(at(9001), OPEN);
    assert_eq!(machine.weight(), Weight::ZERO, "a yes moves nothing by itself");
    machine.on(at(9001), READY);
    assert_eq!((machine.weight(), gate(&machine)), (percent(10.0), None));
}

#[test]
fn a_step_rests_on_the_evidence_of_the_moment_after_the_yes() {
    let mut machine = at_first_step(&asking(&[HookPoint::Step], plan()));
    assert_eq!(reason(&machine.on(at(30), good())), "waits for the hooks before step 2");
    assert_eq!(machine.on(at(31), good()), []);
    machine.on(at(32), OPEN);
    assert_eq!(machine.on(at(33), evidence(Decision::Hold, Outcome::Inconclusive)), []);
    assert_eq!(machine.weight(), percent(10.0));
    let actions = machine.on(at(34), good());
    assert_eq!(transitions(&actions)[0].reason, Reason::VerdictSuccessful);
    assert_eq!((machine.weight(), gate(&machine)), (percent(50.0), None));
}

#[test]
fn a_refusal_pauses_or_ends_the_rollout_as_the_hook_says() {
    let mut machine = at_first_step(&asking(&[HookPoint::Step], plan()));
    machine.on(at(30), good());
    let mut aborted = machine.clone();
    aborted.on(at(31), refusal(Otherwise::Abort));
    assert_eq!(aborted.last().map(|last| last.end), Some(End::Aborted));
    let said = reason(&machine.on(at(31), refusal(Otherwise::Pause)));
    assert_eq!(said, "a hook before the next step refused: http://ci.example/gate answered 503");
    assert_eq!((machine.phase(), gate(&machine)), (PhaseName::Paused, None));
    machine.operator(at(32), Operator::Resume).unwrap();
    machine.on(at(100), good());
    assert_eq!((machine.weight(), gate(&machine)), (percent(10.0), pending(HookPoint::Step)), "asked again");
}

#[test]
fn a_start_that_was_refused_is_asked_again_by_resume() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &asking(&[HookPoint::Start], plan()));
    machine.on(at(1), READY);
    machine.on(at(2), refusal(Otherwise::Pause));
    machine.operator(at(3), Operator::Resume).unwrap();
    machine.on(at(4), READY);
    assert_eq!((machine.weight(), gate(&machine)), (Weight::ZERO, pending(HookPoint::Start)));
}

#[test]
fn an_operator_goes_past_the_hooks_unasked_and_the_record_says_so() {
    let mut machine = at_first_step(&asking(&[HookPoint::Step], plan()));
    machine.on(at(30), good());
    let actions = machine.operator(at(31), Operator::Promote).unwrap();
    assert_eq!(transitions(&actions)[0].reason, Reason::Operator(Ordered::PromoteUnasked));
    assert_eq!((machine.weight(), gate(&machine)), (percent(50.0), None));
}

#[test]
fn an_abort_and_a_failed_verdict_wait_for_no_hook() {
    for by_operator in [true, false] {
        let mut machine = at_first_step(&asking(&[HookPoint::Step], plan()));
        machine.on(at(30), good());
        if by_operator {
            machine.operator(at(31), Operator::Abort).unwrap();
        } else {
            machine.on(at(31), evidence(Decision::RollBack, Outcome::Failed));
        }
        assert_eq!((machine.phase(), machine.weight()), (PhaseName::Idle, Weight::ZERO));
        assert_eq!(machine.on(at(32), OPEN), [], "their answer comes too late");
    }
}

#[test]
fn after_a_restart_the_hooks_are_asked_anew() {
    let mut machine = at_first_step(&asking(&[HookPoint::Step], plan()));
    machine.on(at(30), good());
    machine.on(at(31), OPEN);
    let mut again: Machine = serde_json::from_str(&serde_json::to_string(&machine).unwrap()).unwrap();
    again.on(at(40), Event::Restarted);
    again.on(at(41), READY);
    again.on(at(200), good());
    assert_eq!((again.weight(), gate(&again)), (percent(10.0), pending(HookPoint::Step)));
}

#[test]
fn the_promotion_waits_at_the_bakes_end_without_being_woken_for_nothing() {
    let mut machine = at_first_step(&asking(&[HookPoint::Promote], plan()));
    for _ in 0..3 {
        machine.operator(at(0), Operator::Promote).unwrap();
    }
    machine.on(at(3600), Event::Time);
    assert_eq!((machine.phase(), gate(&machine)), (PhaseName::Baking, pending(HookPoint::Promote)));
    assert_eq!((machine.on(at(9000), Event::Time), machine.deadline()), (Vec::new(), None));
    machine.on(at(9001), OPEN);
    machine.on(at(9001), Event::Time);
    assert_eq!(machine.last().map(|last| last.reason.clone()), Some(Reason::BakeOver));
}

#[test]
fn without_a_bake_the_promotion_waits_at_the_last_step() {
    let plan = Plan { bake: Duration::ZERO, steps: plan().steps.split_off(2), ..plan() };
    let mut machine = at_first_step(&asking(&[HookPoint::Promote], plan));
    machine.on(at(30), good());
    assert_eq!((machine.stable().as_str(), gate(&machine)), ("v1", pending(HookPoint::Promote)));
    machine.on(at(31), OPEN);
    machine.on(at(32), good());
    assert_eq!(machine.stable().as_str(), "v2");
}

#[test]
fn a_switch_that_is_the_promotion_too_waits_for_both_hooks() {
    let points = [HookPoint::Start, HookPoint::Step, HookPoint::Promote];
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &asking(&points, Plan { bake: Duration::ZERO, ..blue_green() }));
    machine.on(at(0), READY);
    machine.on(at(0), OPEN);
    machine.on(at(0), READY);
    assert_eq!(machine.phase(), PhaseName::Stepping, "the preview");
    for point in [HookPoint::Step, HookPoint::Promote] {
        machine.on(at(100), evidence(Decision::Advance, Outcome::Error));
        assert_eq!((machine.weight(), gate(&machine)), (Weight::ZERO, pending(point)));
        machine.on(at(100), OPEN);
    }
    machine.on(at(101), evidence(Decision::Advance, Outcome::Error));
    assert_eq!(machine.stable().as_str(), "v2");
}
