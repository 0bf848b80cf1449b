//! What operators do to a rollout, and what becomes of its numbers.

use super::super::super::{
    Action, Decision, End, Event, Machine, Operator, Outcome, PhaseName, Reason, Refused,
};
use super::{LOST, at, at_first_step, evidence, percent, plan, version, want};
use crate::domain::Weight;

#[test]
fn what_a_plan_became_in_the_config_does_not_touch_the_rollout_under_way() {
    let mut machine = at_first_step(&plan());
    let mut changed = plan();
    changed.steps[1].weight = percent(99.0);
    assert_eq!(want(&mut machine, at(1), "v2", &changed), []);
    machine.on(at(30), evidence(Decision::Advance, Outcome::Successful));
    assert_eq!(machine.weight(), percent(50.0));
}

#[test]
fn a_set_weight_pauses_there_and_resumes_there_until_the_evidence_lets_it_rise() {
    for (set, resumed, then) in
        [(0.0, 10.0, 50.0), (5.0, 5.0, 10.0), (10.0, 10.0, 50.0), (30.0, 30.0, 50.0), (99.0, 99.0, 100.0)]
    {
        let mut machine = at_first_step(&plan());
        machine.operator(at(1), Operator::SetWeight(percent(set))).unwrap();
        assert_eq!((machine.phase(), machine.weight()), (PhaseName::Paused, percent(set)));
        machine.operator(at(2), Operator::Resume).unwrap();
        assert_eq!((machine.phase(), machine.weight()), (PhaseName::Stepping, percent(resumed)), "{set}");
        machine.on(at(1000), evidence(Decision::Advance, Outcome::Successful));
        assert_eq!(machine.weight(), percent(then), "{set}");
    }
}

#[test]
fn a_pause_keeps_the_evidence_and_its_end_restarts_the_clock() {
    let mut machine = at_first_step(&plan());
    for (second, command) in [(10, Operator::Pause), (5000, Operator::Resume)] {
        let actions = machine.operator(at(second), command).unwrap();
        assert!(
            matches!(actions[..], [Action::Record(_)]),
            "the same weight, so the same epoch: {actions:?}"
        );
    }
    assert_eq!(machine.deadline(), Some(at(5030)));
}

#[test]
fn a_paused_rollout_is_still_aborted_by_a_failed_verdict_but_by_nothing_undecided() {
    let mut machine = at_first_step(&plan());
    machine.operator(at(1), Operator::Pause).unwrap();
    for decision in [Decision::Advance, Decision::Pause, Decision::RollBack, Decision::Hold] {
        assert_eq!(machine.on(at(9000), evidence(decision, Outcome::Inconclusive)), [], "{decision:?}");
    }
    machine.on(at(9001), evidence(Decision::RollBack, Outcome::Failed));
    assert_eq!(machine.last().map(|last| last.end), Some(End::Aborted));
}

#[test]
fn a_pause_does_not_give_up_a_lost_canary_but_its_end_waits_for_it_again() {
    let mut machine = at_first_step(&plan());
    machine.operator(at(1), Operator::Pause).unwrap();
    machine.on(at(2), LOST);
    assert_eq!((machine.weight(), machine.deadline()), (Weight::ZERO, None));
    assert_eq!(machine.on(at(90_000), Event::Time), []);
    machine.operator(at(90_001), Operator::Resume).unwrap();
    assert_eq!(machine.deadline(), Some(at(90_601)));
}

#[test]
fn a_refusal_says_what_is_and_what_to_do_instead() {
    let mut machine = Machine::first(version("v1"));
    let refused = machine.operator(at(0), Operator::Promote).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no rollout is under way, v1 has all traffic; another version that is wanted starts one, or `adit undo` to go back from the last"
    );
    let v9 = version("v9");
    let retry = Operator::Retry { version: Some(&v9), plan: &plan(), salt: (0, 0) };
    let refused = machine.operator(at(0), retry).unwrap_err();
    assert_eq!(refused, Refused::NotWanted { version: v9, wanted: version("v1") });
    assert_eq!(refused.to_string(), "`release` names v1, not v9; set `release` to v9 first");
}

#[test]
fn the_first_release_is_stable_at_once() {
    let mut machine = Machine::first(version("v1"));
    assert_eq!(want(&mut machine, at(0), "v1", &plan()), []);
    assert_eq!(machine.stable().as_str(), "v1");
    assert!(machine.rollout().is_none());
}

#[test]
fn only_what_takes_from_the_canary_is_a_retreat() {
    let after = |change: fn(&mut Machine)| {
        let before = at_first_step(&plan());
        let mut after = before.clone();
        change(&mut after);
        after.retreats_from(&before)
    };
    let operator = |machine: &mut Machine, command| drop(machine.operator(at(50), command).unwrap());
    assert!(after(|machine| drop(machine.on(at(50), LOST))));
    assert!(after(|machine| drop(machine.on(at(50), evidence(Decision::RollBack, Outcome::Failed)))));
    assert!(after(|machine| drop(want(machine, at(50), "v3", &plan()))));
    assert!(after(|machine| drop(want(machine, at(50), "v1", &plan()))));
    let commands = [
        (Operator::Abort, true),
        (Operator::SetWeight(percent(9.0)), true),
        (Operator::SetWeight(percent(11.0)), false),
        (Operator::Pause, false),
        (Operator::Promote, false),
        (Operator::PromoteFull, false),
    ];
    for (command, retreat) in commands {
        let before = at_first_step(&plan());
        let mut machine = before.clone();
        operator(&mut machine, command);
        assert_eq!(machine.retreats_from(&before), retreat, "{command:?}");
    }
}

#[test]
fn giving_up_a_canary_that_got_nothing_yet_is_a_retreat_too() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &plan());
    let before = machine.clone();
    machine.on(at(600), Event::Time);
    assert!(machine.retreats_from(&before), "{machine:?}");
}

#[test]
fn the_shares_of_stable_and_canary_are_the_whole() {
    let mut machine = at_first_step(&plan());
    let shares =
        |machine: &Machine| ["v1", "v2", "v3"].map(|name| machine.share_of(&version(name)).percent());
    assert_eq!(shares(&machine), [90.0, 10.0, 0.0]);
    machine.operator(at(1), Operator::PromoteFull).unwrap();
    assert_eq!(shares(&machine), [0.0, 100.0, 0.0]);
}

#[test]
fn deadlines_are_those_of_the_step_then_none() {
    let mut machine = at_first_step(&plan());
    assert_eq!(machine.deadline(), Some(at(30)));
    machine.on(at(30), Event::Time);
    assert_eq!(machine.deadline(), Some(at(3600)));
    machine.on(at(3600), Event::Time);
    assert_eq!(machine.deadline(), None);
    machine.on(at(3601), evidence(Decision::Pause, Outcome::Inconclusive));
    assert_eq!(machine.rollout().map(|r| r.reason.clone()), Some(Reason::MaxTime));
}
