//! What holds for every sequence of events.

use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::TestCaseError;
use proptest::{collection, prop_assert, prop_assert_eq, prop_assert_ne, proptest};

use super::super::HookPoint::{Promote, Start, Step};
use super::super::Strategy::AllAtOnce;
use super::super::{
    Action, Decision, Event, Gate, GateAnswer, Machine, OnFailure, Operator, Otherwise, Outcome, PhaseName,
    Plan, Promotion, Reason, Refused, Transition,
};
use super::simulation::{
    HOUR, asking, at, blue_green, evidence, percent, plan, transitions, verdict, version, want,
};
use crate::domain::{Timestamp, Weight};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Told {
    Wanted(&'static str),
    Readiness {
        canary: bool,
        stable: bool,
    },
    Evidence(Decision, Outcome),
    Time,
    /// kill -9 and a start.
    Killed,
    Promote,
    PromoteFull,
    Abort,
    Pause,
    Resume,
    SetWeight(f64),
    Retry,
    Undo {
        to: Option<&'static str>,
        warm: bool,
    },
    Gate(GateAnswer),
}

/// When it happens.
#[derive(Clone, Debug)]
enum When {
    After(Duration),
    AtDeadline,
}

fn told() -> impl Strategy<Value = Told> {
    let decision = prop_oneof![
        6 => Just(Decision::Advance),
        2 => Just(Decision::Hold),
        1 => Just(Decision::Pause),
        1 => Just(Decision::RollBack),
    ];
    let outcome = prop_oneof![
        6 => Just(Outcome::Successful),
        2 => Just(Outcome::Inconclusive),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::Error),
    ];
    prop_oneof![
        4 => prop_oneof![Just("v1"), Just("v2"), Just("v3")].prop_map(Told::Wanted),
        8 => (proptest::bool::weighted(0.8), proptest::bool::weighted(0.8))
            .prop_map(|(canary, stable)| Told::Readiness { canary, stable }),
        12 => (decision, outcome).prop_map(|(decision, outcome)| Told::Evidence(decision, outcome)),
        6 => Just(Told::Time),
        2 => Just(Told::Killed),
        2 => Just(Told::Promote),
        1 => Just(Told::PromoteFull),
        1 => Just(Told::Abort),
        2 => Just(Told::Pause),
        3 => Just(Told::Resume),
        2 => (0..=10_u32).prop_map(|tenth| Told::SetWeight(f64::from(tenth) * 10.0)),
        2 => Just(Told::Retry),
        3 => (proptest::option::of(prop_oneof![Just("v1"), Just("v2")]), any::<bool>())
            .prop_map(|(to, warm)| Told::Undo { to, warm }),
        8 => gate_answer().prop_map(Told::Gate),
    ]
}

fn gate_answer() -> impl Strategy<Value = GateAnswer> {
    let shut = |then| GateAnswer::Shut { why: "no".into(), then };
    prop_oneof![
        4 => Just(GateAnswer::Open),
        1 => Just(shut(Otherwise::Continue)),
        1 => Just(shut(Otherwise::Pause)),
        1 => Just(shut(Otherwise::Abort)),
    ]
}

/// Any strategy, with or without bake, hooks, freezing and a dry run.
fn any_plan() -> impl Strategy<Value = Plan> {
    let at_once = Plan { strategy: AllAtOnce, steps: Plan::at_once(), ..plan() };
    let manual = Plan { promotion: Promotion::Manual, ..blue_green() };
    let hooked = collection::vec(prop_oneof![Just(Start), Just(Step), Just(Promote)], 0..3);
    let base = prop_oneof![4 => Just(plan()), 2 => Just(blue_green()), 1 => Just(manual), 1 => Just(at_once)];
    (base, any::<bool>(), hooked, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(
        |(plan, baked, hooked, freezes, dry_run)| {
            let on_failure = if freezes { OnFailure::Freeze } else { OnFailure::Abort };
            let bake = if baked { HOUR } else { Duration::ZERO };
            let mut plan = asking(&hooked, Plan { bake, on_failure, ..plan });
            plan.analysis.dry_run = dry_run;
            plan
        },
    )
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        (0..200_u64).prop_map(|seconds| When::After(Duration::from_secs(seconds))),
        Just(When::After(HOUR)),
        Just(When::AtDeadline),
    ]
}

/// A machine with someone at its side who does what it says.
#[derive(Clone)]
struct Driven {
    machine: Machine,
    now: Timestamp,
    plan: Plan,
    /// What the data plane was told.
    routed: Weight,
    /// Whether the canary was seen ready since it became the canary and since the program started.
    ready: bool,
}

impl Driven {
    fn new(plan: Plan) -> Self {
        let machine = Machine::first(version("v1"));
        Self { machine, now: at(1000), plan, routed: Weight::ZERO, ready: false }
    }

    fn tell(&mut self, told: &Told) -> Result<Vec<Action>, Refused> {
        let (now, plan) = (self.now, &self.plan);
        match told {
            Told::Wanted(release) => Ok(want(&mut self.machine, now, release, plan)),
            Told::Readiness { canary, stable } => {
                self.ready = *canary;
                Ok(self.machine.on(now, Event::Readiness { canary: *canary, stable: *stable }))
            }
            Told::Evidence(decision, outcome) => Ok(self.machine.on(now, evidence(*decision, *outcome))),
            Told::Time => Ok(self.machine.on(now, Event::Time)),
            Told::Killed => {
                (self.routed, self.ready) = (Weight::ZERO, false);
                self.machine = reloaded(&self.machine);
                Ok(self.machine.on(now, Event::Restarted))
            }
            Told::Promote => self.machine.operator(now, Operator::Promote),
            Told::PromoteFull => self.machine.operator(now, Operator::PromoteFull),
            Told::Abort => self.machine.operator(now, Operator::Abort),
            Told::Pause => self.machine.operator(now, Operator::Pause),
            Told::Resume => self.machine.operator(now, Operator::Resume),
            Told::SetWeight(weight) => self.machine.operator(now, Operator::SetWeight(percent(*weight))),
            Told::Retry => self.machine.operator(now, Operator::Retry { version: None, plan, salt: (5, 6) }),
            Told::Undo { to, warm } => {
                let to = to.map(version);
                let undo = Operator::Undo { to: to.as_ref(), warm: *warm, plan, salt: (7, 8) };
                self.machine.operator(now, undo)
            }
            Told::Gate(answer) => Ok(self.machine.on(now, Event::Gate(answer.clone()))),
        }
    }

    /// Lets it happen and checks all that must hold.
    fn step(&mut self, when: &When, told: &Told) -> Result<(), TestCaseError> {
        self.now = match when {
            When::After(after) => self.now + *after,
            When::AtDeadline => self.machine.deadline().unwrap_or(self.now).max(self.now),
        };
        let before = self.machine.clone();
        let result = self.tell(told);
        let actions = match result {
            Ok(actions) => actions,
            Err(_) => {
                prop_assert_eq!(&self.machine, &before, "a refused command changes nothing");
                return Ok(());
            }
        };
        self.follow(&actions);
        health_comes_first(self)?;
        weight_rises_only_with_leave(&before, &self.machine, &actions)?;
        what_is_said_is_what_is(self, &before, &actions)?;
        hooks_are_asked_first(&before, &self.machine, &actions)?;
        match told {
            Told::Abort => {
                prop_assert_eq!((self.machine.weight(), self.routed), (Weight::ZERO, Weight::ZERO))
            }
            Told::Killed => restart_goes_nowhere(&before, &self.machine)?,
            Told::Evidence(..) | Told::Time => a_dry_run_moves_nobody(&before, &self.machine)?,
            Told::Gate(_) => prop_assert!(self.machine.weight() <= before.weight(), "a yes moves nothing"),
            Told::Undo { warm, .. } => undone_for_good(&before, &self.machine, *warm)?,
            Told::Wanted(_) | Told::Readiness { .. } => {}
            Told::Promote | Told::PromoteFull | Told::Pause | Told::Resume => {}
            Told::SetWeight(_) | Told::Retry => {}
        }
        time_makes_progress(self)
    }

    fn follow(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Record(transition) if transition.from == PhaseName::Idle => self.ready = false,
                Action::Record(_) | Action::Save => {}
                Action::OpenEpoch { weight, .. } => self.routed = *weight,
                Action::CloseEpoch => self.routed = Weight::ZERO,
            }
        }
    }
}

fn reloaded(machine: &Machine) -> Machine {
    serde_json::from_str(&serde_json::to_string(machine).unwrap()).unwrap()
}

fn health_comes_first(driven: &Driven) -> Result<(), TestCaseError> {
    if driven.machine.rollout().is_none() || !driven.ready {
        prop_assert_eq!(driven.machine.weight(), Weight::ZERO);
    }
    prop_assert_eq!(driven.routed, driven.machine.weight(), "the actions tell all that the weight does");
    Ok(())
}

/// What the canary may get at most: what was decided in its rollout, nothing without one. A canary that is ready again
/// gets that back; the decision itself rises only with leave.
fn weight_rises_only_with_leave(
    before: &Machine,
    after: &Machine,
    actions: &[Action],
) -> Result<(), TestCaseError> {
    let decided = |machine: &Machine| machine.rollout().map(|rollout| (rollout.number, rollout.weight));
    let (number, now) = decided(after).unwrap_or_default();
    let was = decided(before).filter(|(before, _)| *before == number).map_or(Weight::ZERO, |(_, was)| was);
    prop_assert!(after.weight() <= now);
    if now > was {
        let records = transitions(actions);
        prop_assert!(records.iter().any(|record| gives_leave(record)), "{} to {}: {:?}", was, now, records);
    }
    Ok(())
}

fn gives_leave(record: &Transition) -> bool {
    let successful = record.verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Successful);
    match record.reason {
        Reason::VerdictSuccessful => successful,
        Reason::Operator(_) => true,
        // The first step: the operator ordered it with the release.
        Reason::CanaryReady => record.from == PhaseName::Waiting && record.step == 1,
        Reason::ContainerCame { .. } | Reason::ContainersWithdrawn => false,
        Reason::ReleaseChanged | Reason::Restarted | Reason::CanaryLost | Reason::CanaryBack => false,
        // Nobody is left to go back to, and it is an end, not a rise.
        Reason::StableGone => true,
        // By order of the plan, out of a preview.
        Reason::PreviewOver => record.from == PhaseName::Stepping,
        Reason::NotAllReady | Reason::StableLost | Reason::StableBack => false,
        Reason::VerdictFailed | Reason::CheckFailed { .. } | Reason::MaxTime => false,
        Reason::GateReached { .. } | Reason::GateOpened { .. } | Reason::HookRefused { .. } => false,
        Reason::WouldAdvance | Reason::WouldAbort | Reason::WouldTimeOut | Reason::WouldPromote => false,
        Reason::NoHarm | Reason::BakeOver | Reason::NotReadyInTime => false,
        Reason::Superseded { .. } | Reason::ReleaseWithdrawn => false,
    }
}

/// What goes on by itself past a point with hooks finds them open; and no restart leaves them so.
fn hooks_are_asked_first(before: &Machine, after: &Machine, actions: &[Action]) -> Result<(), TestCaseError> {
    let Some(then) = before.rollout() else { return Ok(()) };
    let went_on = |record: &&Transition| match record.reason {
        Reason::VerdictSuccessful | Reason::NoHarm | Reason::PreviewOver | Reason::BakeOver => true,
        Reason::CanaryReady => record.from == PhaseName::Waiting,
        _ => false,
    };
    let has = |point| then.plan.hooks.iter().any(|hook| hook.at == point);
    let open = |point| then.gate == Some(Gate { at: point, open: true });
    for record in transitions(actions).into_iter().filter(went_on) {
        let start = record.from == PhaseName::Waiting && has(Start);
        let rise = record.from == PhaseName::Stepping && record.weight > then.weight && has(Step);
        let end = record.to == PhaseName::Promoted && has(Promote);
        for (needed, point) in [(start && !end, Start), (rise && !end, Step), (end, Promote)] {
            prop_assert!(!needed || open(point), "{:?} past {:?}", record, then.gate);
        }
    }
    let restarted = transitions(actions).iter().any(|record| record.reason == Reason::Restarted);
    let left_open = after.rollout().and_then(|rollout| rollout.gate.as_ref()).is_some_and(|gate| gate.open);
    prop_assert!(!restarted || !left_open);
    Ok(())
}

fn a_dry_run_moves_nobody(before: &Machine, after: &Machine) -> Result<(), TestCaseError> {
    let Some(then) = before.rollout().filter(|rollout| rollout.plan.analysis.dry_run) else { return Ok(()) };
    let gave_up = after.last().is_some_and(|last| last.reason == Reason::NotReadyInTime);
    if !gave_up {
        prop_assert_eq!(after.rollout().map(|rollout| rollout.weight), Some(then.weight));
    }
    Ok(())
}

/// The version that was left has nothing, or a rollout that takes it away; the release that names it starts nothing.
fn undone_for_good(before: &Machine, after: &Machine, warm: bool) -> Result<(), TestCaseError> {
    let mut told = after.clone();
    let again = want(&mut told, at(1), before.wanted_release().as_str(), &plan());
    prop_assert_eq!(again, Vec::new());
    if before.rollout().is_some() || !warm {
        return Ok(());
    }
    match after.rollout() {
        None => prop_assert_ne!(after.stable(), before.stable()),
        Some(rollout) => prop_assert!(rollout.undoes && after.weight() == Weight::ZERO),
    }
    Ok(())
}

fn what_is_said_is_what_is(
    driven: &Driven,
    before: &Machine,
    actions: &[Action],
) -> Result<(), TestCaseError> {
    let kept = |machine: &Machine| serde_json::to_value(machine).unwrap();
    if actions.is_empty() {
        prop_assert_eq!(kept(before), kept(&driven.machine), "no actions, so nothing to save");
    }
    if let Some(last) = transitions(actions).last() {
        match (driven.machine.rollout(), driven.machine.last()) {
            (Some(rollout), _) => {
                prop_assert_eq!((last.rollout, last.to), (rollout.number, rollout.phase.name()));
                prop_assert_eq!(last.weight, rollout.weight_now());
                prop_assert_eq!(&last.reason, &rollout.reason);
            }
            (None, Some(ended)) => {
                prop_assert_eq!((last.rollout, last.to), (ended.number, ended.end.phase()));
                prop_assert_eq!(&last.reason, &ended.reason);
            }
            (None, None) => prop_assert!(false, "a transition of no rollout: {:?}", last),
        }
    }
    Ok(())
}

/// Same phase, same step, same decision, and nothing sent before someone has looked.
fn restart_goes_nowhere(before: &Machine, after: &Machine) -> Result<(), TestCaseError> {
    let place = |machine: &Machine| {
        let rollout =
            machine.rollout().map(|rollout| (rollout.number, rollout.phase.place(), rollout.weight));
        (machine.stable().clone(), machine.phase(), machine.step(), rollout)
    };
    prop_assert_eq!(place(before), place(after));
    prop_assert_eq!(after.weight(), Weight::ZERO);
    Ok(())
}

/// At its deadline, time changes something or the next deadline is later: nobody who waits for it spins.
fn time_makes_progress(driven: &Driven) -> Result<(), TestCaseError> {
    let Some(deadline) = driven.machine.deadline() else { return Ok(()) };
    let then = deadline.max(driven.now);
    let mut later = driven.machine.clone();
    later.on(then, Event::Time);
    prop_assert!(later.deadline().is_none_or(|next| next > then), "{:?}", driven.machine);
    Ok(())
}

proptest! {
    #[test]
    fn the_invariants_hold_whatever_happens(
        plan in any_plan(),
        story in collection::vec((when(), told()), 1..60),
    ) {
        let mut driven = Driven::new(plan);
        // Else half of the stories never get to a rollout.
        driven.step(&When::After(Duration::ZERO), &Told::Wanted("v2"))?;
        driven.step(&When::After(Duration::ZERO), &Told::Readiness { canary: true, stable: true })?;
        for (when, told) in &story {
            driven.step(when, told)?;
        }
    }

    #[test]
    fn a_reloaded_machine_does_what_the_old_one_would_have_done(
        plan in any_plan(),
        story in collection::vec((when(), told()), 1..40),
        rest in collection::vec((when(), told()), 1..20),
    ) {
        let mut old = Driven::new(plan);
        old.step(&When::After(Duration::ZERO), &Told::Wanted("v2"))?;
        for (when, told) in &story {
            old.step(when, told)?;
        }
        let mut new = Driven { machine: reloaded(&old.machine), ..old.clone() };
        for driven in [&mut old, &mut new] {
            let restarted = driven.machine.on(driven.now, Event::Restarted);
            driven.follow(&restarted);
            (driven.routed, driven.ready) = (Weight::ZERO, false);
        }
        for (when, told) in &rest {
            old.step(when, told)?;
            new.step(when, told)?;
            prop_assert_eq!(&old.machine, &new.machine);
        }
    }
}

#[test]
fn the_last_verdict_is_kept_with_the_rollout_that_it_ended() {
    let mut driven = Driven::new(plan());
    driven.tell(&Told::Wanted("v2")).unwrap();
    driven.tell(&Told::Readiness { canary: true, stable: true }).unwrap();
    driven.tell(&Told::Evidence(Decision::RollBack, Outcome::Failed)).unwrap();
    let ended = driven.machine.last().and_then(|last| last.verdict.clone());
    assert_eq!(ended, Some(verdict(Outcome::Failed)));
}
