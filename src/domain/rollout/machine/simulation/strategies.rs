//! Blue-green, all at once, freezing and dry runs.

use std::time::Duration;

use super::super::super::{
    Action, Decision, End, Event, Machine, OnFailure, OnMaxTime, Operator, Outcome, PhaseName, Plan,
    Promotion, Reason, StepChange, Strategy,
};
use super::{
    HOUR, LOST, READY, at, at_first_step, blue_green, evidence, percent, plan, transitions, version, want,
};
use crate::domain::Weight;

fn at_once(bake: Duration) -> Plan {
    Plan { strategy: Strategy::AllAtOnce, steps: Plan::at_once(), bake, ..Plan::default() }
}

fn dry() -> Plan {
    let mut plan = plan();
    plan.analysis.dry_run = true;
    plan
}

fn nothing_known() -> Event<'static> {
    evidence(Decision::Advance, Outcome::Error)
}

fn reasons(actions: &[Action]) -> Vec<Reason> {
    transitions(actions).iter().map(|transition| transition.reason.clone()).collect()
}

#[test]
fn blue_green_waits_previews_switches_once_bakes_and_is_promoted() {
    let mut machine = Machine::first(version("v1"));
    let mut log = want(&mut machine, at(0), "v2", &blue_green());
    for second in 5..2 * 3600 {
        log.extend(machine.on(at(second), READY));
        log.extend(machine.on(at(second), nothing_known()));
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
            (5, PhaseName::Stepping, 1, 0.0, Reason::CanaryReady),
            (65, PhaseName::Baking, 2, 100.0, Reason::PreviewOver),
            (3665, PhaseName::Promoted, 2, 100.0, Reason::BakeOver),
        ]
    );
}

#[test]
fn a_preview_opens_an_epoch_so_that_it_is_looked_at() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &blue_green());
    let epoch = Action::OpenEpoch { weight: Weight::ZERO, step: StepChange::New };
    assert_eq!(machine.on(at(1), READY).last(), Some(&epoch));
    machine.on(at(2), Event::Restarted);
    assert_eq!(machine.on(at(3), READY).last(), Some(&epoch), "after a restart too");
}

#[test]
fn a_restart_during_a_pause_of_the_preview_does_not_leave_it_unseen() {
    let mut machine = at_first_step(&blue_green());
    machine.operator(at(1), Operator::Pause).unwrap();
    machine.on(at(2), Event::Restarted);
    let epoch = Action::OpenEpoch { weight: Weight::ZERO, step: StepChange::New };
    assert_eq!(machine.on(at(3), READY).last(), Some(&epoch));
}

#[test]
fn a_weight_set_by_hand_outlives_a_second_pause() {
    for plan in [plan(), blue_green(), at_once(HOUR)] {
        let mut machine = at_first_step(&plan);
        machine.operator(at(1), Operator::SetWeight(percent(5.0))).unwrap();
        for command in [Operator::Resume, Operator::Pause, Operator::Resume] {
            machine.operator(at(2), command).unwrap();
        }
        assert_eq!(machine.weight(), percent(5.0), "{}", plan.strategy);
        machine.on(at(100), evidence(Decision::Advance, Outcome::Successful));
        assert!(machine.weight() > percent(5.0), "{}", plan.strategy);
    }
}

#[test]
fn what_is_looked_at_beside_the_traffic_holds_a_preview_and_ends_it() {
    let mut machine = at_first_step(&blue_green());
    assert_eq!(machine.on(at(100), evidence(Decision::Hold, Outcome::Inconclusive)), []);
    assert_eq!(machine.on(at(100), evidence(Decision::Advance, Outcome::Failed)), []);
    let mut held = machine.clone();
    held.on(at(3600), evidence(Decision::Hold, Outcome::Inconclusive));
    assert_eq!((held.phase(), held.weight()), (PhaseName::Paused, Weight::ZERO), "undecided for too long");
    machine.on(at(101), evidence(Decision::RollBack, Outcome::Failed));
    assert_eq!(machine.last().map(|last| last.reason.clone()), Some(Reason::VerdictFailed));
}

#[test]
fn a_held_preview_is_given_up_when_the_plan_says_so() {
    let mut plan = blue_green();
    plan.advance.on_max_time = OnMaxTime::Abort;
    let mut machine = at_first_step(&plan);
    machine.on(at(3600), evidence(Decision::Hold, Outcome::Inconclusive));
    assert_eq!(machine.last().map(|last| last.reason.clone()), Some(Reason::MaxTime));
}

#[test]
fn a_preview_that_an_operator_ends_is_ended_by_nobody_else() {
    let mut machine = at_first_step(&Plan { promotion: Promotion::Manual, ..blue_green() });
    for second in [60, 3600, 90_000] {
        assert_eq!(machine.on(at(second), nothing_known()), []);
        machine.on(at(second), Event::Time);
    }
    machine.operator(at(90_001), Operator::Promote).unwrap();
    assert_eq!((machine.phase(), machine.weight()), (PhaseName::Baking, Weight::FULL));
}

#[test]
fn nothing_is_switched_to_while_an_endpoint_is_missing() {
    let mut machine = at_first_step(&blue_green());
    assert!(machine.rollout().is_some_and(|rollout| rollout.waits_for_all()));
    let actions = machine.on(at(50), LOST);
    assert_eq!(reasons(&actions), [Reason::NotAllReady]);
    assert_eq!(machine.on(at(70), nothing_known()), []);
    let refused = machine.operator(at(70), Operator::Promote).unwrap_err().to_string();
    assert!(refused.starts_with("not every endpoint of v2 is ready, and blue-green waits"), "{refused}");
    machine.on(at(80), READY);
    assert_eq!(machine.on(at(139), nothing_known()), [], "the preview begins anew");
    machine.on(at(140), nothing_known());
    assert_eq!(machine.phase(), PhaseName::Baking);
    assert!(machine.rollout().is_some_and(|rollout| !rollout.waits_for_all()), "users are there");
}

#[test]
fn a_failure_in_the_bake_goes_back_by_itself() {
    for plan in [blue_green(), at_once(HOUR)] {
        let mut machine = at_first_step(&plan);
        machine.on(at(60), nothing_known());
        assert_eq!((machine.phase(), machine.weight()), (PhaseName::Baking, Weight::FULL));
        let before = machine.clone();
        machine.on(at(61), evidence(Decision::RollBack, Outcome::Failed));
        assert_eq!((machine.stable().as_str(), machine.weight()), ("v1", Weight::ZERO));
        assert!(machine.retreats_from(&before), "so it is acted on before it is saved");
        assert_eq!(machine.aborted(), Some(&version("v2")));
    }
}

#[test]
fn all_at_once_gives_everything_at_once_and_is_promoted_unless_it_bakes() {
    let mut machine = Machine::first(version("v1"));
    want(&mut machine, at(0), "v2", &at_once(Duration::ZERO));
    assert!(machine.rollout().is_some_and(|rollout| rollout.waits_for_all()));
    assert_eq!(machine.on(at(1), LOST), []);
    let actions = machine.on(at(2), READY);
    assert_eq!(reasons(&actions), [Reason::CanaryReady]);
    assert_eq!(actions.last(), Some(&Action::CloseEpoch));
    assert_eq!(machine.last().map(|last| last.end), Some(End::Promoted));
    let baking = at_first_step(&at_once(HOUR));
    assert_eq!((baking.phase(), baking.step(), baking.weight()), (PhaseName::Baking, 1, Weight::FULL));
}

#[test]
fn a_failure_freezes_once_and_is_recorded_once() {
    let mut machine = at_first_step(&Plan { on_failure: OnFailure::Freeze, ..plan() });
    let failed = || evidence(Decision::RollBack, Outcome::Failed);
    assert_eq!(reasons(&machine.on(at(1), failed())), [Reason::VerdictFailed]);
    assert_eq!((machine.phase(), machine.weight()), (PhaseName::Paused, percent(10.0)));
    assert_eq!(machine.on(at(2), failed()), []);
}

#[test]
fn a_failure_during_an_operators_pause_freezes_it_and_is_recorded_once() {
    let mut machine = at_first_step(&Plan { on_failure: OnFailure::Freeze, ..plan() });
    machine.operator(at(1), Operator::Pause).unwrap();
    let failed = || evidence(Decision::RollBack, Outcome::Failed);
    assert_eq!(reasons(&machine.on(at(2), failed())), [Reason::VerdictFailed]);
    assert_eq!(machine.on(at(3), failed()), []);
    assert_eq!(machine.rollout().map(|rollout| rollout.phase.since()), Some(at(1)), "paused since then");
}

#[test]
fn whoever_goes_on_after_a_freeze_starts_the_evidence_anew() {
    let go_on =
        [(Operator::Resume, 10.0), (Operator::Promote, 50.0), (Operator::SetWeight(percent(30.0)), 30.0)];
    for (command, weight) in go_on {
        let mut machine = at_first_step(&Plan { on_failure: OnFailure::Freeze, ..plan() });
        machine.on(at(1), evidence(Decision::RollBack, Outcome::Failed));
        let actions = machine.operator(at(2), command).unwrap();
        let epoch = Action::OpenEpoch { weight: percent(weight), step: StepChange::New };
        assert_eq!(actions[1..], [Action::CloseEpoch, epoch], "{command:?}");
    }
}

#[test]
fn a_dry_run_notes_once_per_step_what_it_would_do_and_does_nothing() {
    let mut machine = at_first_step(&dry());
    let told = [
        (evidence(Decision::Advance, Outcome::Successful), Reason::WouldAdvance),
        (evidence(Decision::RollBack, Outcome::Failed), Reason::WouldAbort),
        (evidence(Decision::Pause, Outcome::Inconclusive), Reason::WouldTimeOut),
    ];
    for (event, reason) in told {
        assert_eq!(reasons(&machine.on(at(5000), event.clone())), [reason]);
        assert_eq!(machine.on(at(5001), event), []);
        assert_eq!((machine.phase(), machine.weight()), (PhaseName::Stepping, percent(10.0)));
    }
    machine.operator(at(5002), Operator::Promote).unwrap();
    let again = machine.on(at(9000), evidence(Decision::Advance, Outcome::Successful));
    assert_eq!(reasons(&again), [Reason::WouldAdvance], "another step");
}

#[test]
fn a_dry_run_stays_in_its_bake_until_an_operator_ends_it() {
    let mut machine = at_first_step(&dry());
    for _ in 0..3 {
        machine.operator(at(0), Operator::Promote).unwrap();
    }
    assert_eq!(reasons(&machine.on(at(3600), Event::Time)), [Reason::WouldPromote]);
    assert_eq!((machine.on(at(3601), Event::Time), machine.deadline()), (Vec::new(), None));
    machine.operator(at(3602), Operator::Promote).unwrap();
    assert_eq!(machine.stable().as_str(), "v2");
}
