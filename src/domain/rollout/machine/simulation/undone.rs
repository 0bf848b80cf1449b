//! Going back after a promotion.

use super::super::super::{Action, End, Machine, Operator, Ordered, PhaseName, Plan, Reason, Refused};
use super::{READY, at, at_first_step, plan, transitions, version, want};
use crate::domain::Weight;

/// All of these were stable, one after the other.
fn promoted(versions: &[&str]) -> Machine {
    let mut machine = Machine::first(version(versions[0]));
    for release in &versions[1..] {
        want(&mut machine, at(0), release, &plan());
        machine.on(at(0), READY);
        machine.operator(at(0), Operator::PromoteFull).unwrap();
    }
    machine
}

fn undo(machine: &mut Machine, to: Option<&str>, warm: bool) -> Result<Vec<Action>, Refused> {
    let (to, plan): (_, &Plan) = (to.map(version), &plan());
    machine.operator(at(10), Operator::Undo { to: to.as_ref(), warm, plan, salt: (3, 4) })
}

#[test]
fn a_warm_version_has_everything_again_at_once_as_a_rollout_of_its_own() {
    let mut machine = promoted(&["v1", "v2"]);
    let before = machine.clone();
    let actions = undo(&mut machine, None, true).unwrap();
    let record = transitions(&actions)[0];
    assert_eq!((record.rollout, record.from, record.to), (2, PhaseName::Idle, PhaseName::Promoted));
    assert_eq!((&record.stable, &record.canary), (&version("v2"), &version("v1")));
    assert_eq!(record.reason, Reason::Operator(Ordered::Undo));
    assert_eq!(actions[1..], [Action::CloseEpoch]);
    assert_eq!((machine.stable().as_str(), machine.share_of(&version("v1"))), ("v1", Weight::FULL));
    assert!(machine.retreats_from(&before), "users must not wait for a slow disk");
}

#[test]
fn a_version_that_was_undone_is_not_started_by_the_release_that_still_names_it() {
    for warm in [true, false] {
        let mut machine = promoted(&["v1", "v2"]);
        undo(&mut machine, None, warm).unwrap();
        if !warm {
            machine.on(at(11), READY);
            machine.operator(at(12), Operator::PromoteFull).unwrap();
        }
        let mut again: Machine = serde_json::from_str(&serde_json::to_string(&machine).unwrap()).unwrap();
        assert_eq!(want(&mut again, at(20), "v2", &plan()), [], "{warm}");
        assert_eq!((again.stable().as_str(), again.aborted()), ("v1", Some(&version("v2"))), "{warm}");
        let retry = Operator::Retry { version: None, plan: &plan(), salt: (5, 6) };
        again.operator(at(21), retry).unwrap();
        assert_eq!(again.rollout().map(|rollout| rollout.canary.as_str()), Some("v2"), "{warm}");
    }
}

#[test]
fn a_cold_version_comes_back_by_a_rollout() {
    let mut machine = promoted(&["v1", "v2"]);
    let actions = undo(&mut machine, None, false).unwrap();
    assert_eq!(transitions(&actions)[0].reason, Reason::Operator(Ordered::Undo));
    assert_eq!((machine.phase(), machine.weight()), (PhaseName::Waiting, Weight::ZERO));
    assert_eq!(want(&mut machine, at(11), "v2", &plan()), [], "the file still names v2");
    machine.on(at(12), READY);
    assert_eq!(machine.share_of(&version("v1")).percent(), 10.0);
}

#[test]
fn an_undo_that_fails_leaves_the_version_that_was_to_be_undone_as_it_was() {
    let mut machine = promoted(&["v1", "v2"]);
    undo(&mut machine, None, false).unwrap();
    machine.operator(at(11), Operator::Abort).unwrap();
    assert_eq!((machine.stable().as_str(), machine.aborted()), ("v2", None));
    assert_eq!(machine.previous(), Some(&version("v1")), "it can be tried again");
}

#[test]
fn a_release_that_comes_round_to_the_version_of_an_undo_does_not_disturb_it() {
    let mut machine = promoted(&["v1", "v2"]);
    undo(&mut machine, None, false).unwrap();
    assert_eq!(want(&mut machine, at(11), "v1", &plan()), [Action::Save]);
    assert_eq!(machine.rollout().map(|rollout| rollout.number), Some(2));
    want(&mut machine, at(12), "v2", &plan());
    assert_eq!(machine.last().map(|last| last.reason.clone()), Some(Reason::ReleaseWithdrawn));
}

#[test]
fn an_undo_after_an_undo_goes_one_further_back_never_forth() {
    let mut machine = promoted(&["v1", "v2", "v3"]);
    undo(&mut machine, None, false).unwrap();
    machine.on(at(11), READY);
    machine.operator(at(12), Operator::PromoteFull).unwrap();
    assert_eq!(machine.stable().as_str(), "v2");
    undo(&mut machine, None, true).unwrap();
    assert_eq!(machine.stable().as_str(), "v1");
    let refused = undo(&mut machine, None, true).unwrap_err();
    assert_eq!(refused, Refused::NothingToUndo { stable: version("v1") });
}

#[test]
fn an_undo_to_a_version_that_never_was_stable_is_a_rollout_even_if_it_is_warm() {
    let mut machine = promoted(&["v1", "v2"]);
    undo(&mut machine, Some("v9"), true).unwrap();
    assert_eq!((machine.phase(), machine.stable().as_str()), (PhaseName::Waiting, "v2"));
}

#[test]
fn an_undo_during_the_bake_is_an_abort() {
    let mut machine = at_first_step(&plan());
    for _ in 0..3 {
        machine.operator(at(1), Operator::Promote).unwrap();
    }
    undo(&mut machine, Some("v1"), true).unwrap();
    assert_eq!(machine.last().map(|last| (last.number, last.end)), Some((1, End::Aborted)));
}

#[test]
fn an_undo_that_makes_no_sense_says_what_to_do() {
    let mut fresh = promoted(&["v1"]);
    assert_eq!(
        undo(&mut fresh, None, true).unwrap_err().to_string(),
        "no version is known that was stable before v1; `adit undo --to V` names the one to go to"
    );
    let mut machine = promoted(&["v1", "v2"]);
    assert_eq!(undo(&mut machine, Some("v2"), true), Err(Refused::StableAlready { stable: version("v2") }));
    let refused = undo(&mut at_first_step(&plan()), None, true).unwrap_err().to_string();
    assert_eq!(
        refused,
        "a rollout of v2 is under way and v1 still is stable; `adit abort` goes back to it now"
    );
}

#[test]
fn an_older_aborted_release_stays_so_when_another_version_is_undone() {
    let mut machine = promoted(&["v1", "v2"]);
    want(&mut machine, at(1), "v3", &plan());
    machine.operator(at(2), Operator::Abort).unwrap();
    undo(&mut machine, None, true).unwrap();
    assert_eq!((machine.stable().as_str(), machine.aborted()), ("v1", Some(&version("v3"))));
}

#[test]
fn a_machine_from_before_there_was_an_undo_is_read_as_it_was() {
    let mut stored = serde_json::to_value(at_first_step(&plan())).unwrap();
    stored.as_object_mut().unwrap().remove("former");
    let rollout = stored["rollout"].as_object_mut().unwrap();
    for key in ["gate", "undoes", "noted"] {
        rollout.remove(key);
    }
    let plan = rollout["plan"].as_object_mut().unwrap();
    for key in ["strategy", "promotion", "hooks", "checks"] {
        plan.remove(key);
    }
    let read: Machine = serde_json::from_value(stored).unwrap();
    assert_eq!((read.phase(), read.step(), read.previous()), (PhaseName::Stepping, 1, None));
}
