//! Every phase against every event: what becomes of it.

use super::super::{
    Decision, Event, GateAnswer, HookPoint, Machine, OnFailure, Operator, Otherwise, Outcome, PhaseName, Plan,
};
use super::simulation::{HOUR, LOST, READY, at, at_first_step, evidence, percent, plan, version, want};
use super::simulation::{asking, blue_green, refusal};

/// Everything happens here: after `min_time`, before `max_time` and `ready_timeout`.
const THEN: u64 = 100;

/// A machine in each phase, everything in it timed from second 0.
fn in_phase(name: &str) -> Machine {
    let start = || {
        let mut machine = Machine::first(version("v1"));
        want(&mut machine, at(0), "v2", &plan());
        machine
    };
    let stepping = || at_first_step(&plan());
    let commanded = |mut machine: Machine, command| {
        machine.operator(at(0), command).unwrap();
        machine
    };
    let baking = || {
        let promoted = |machine, ()| commanded(machine, Operator::Promote);
        [(), (), ()].into_iter().fold(stepping(), promoted)
    };
    match name {
        "idle" => Machine::first(version("v1")),
        "aborted" => commanded(stepping(), Operator::Abort),
        "waiting" => start(),
        "stepping" => stepping(),
        "lost" => {
            let mut machine = stepping();
            machine.on(at(0), LOST);
            machine
        }
        "paused" => commanded(stepping(), Operator::Pause),
        "paused, waiting" => commanded(start(), Operator::Pause),
        "paused, 30 %" => commanded(stepping(), Operator::SetWeight(percent(30.0))),
        "paused, baking" => commanded(baking(), Operator::Pause),
        "baking" => baking(),
        "frozen" => {
            let mut machine = at_first_step(&Plan { on_failure: OnFailure::Freeze, ..plan() });
            machine.on(at(0), evidence(Decision::RollBack, Outcome::Failed));
            machine
        }
        "preview" => at_first_step(&blue_green()),
        "gated" => {
            let mut machine = at_first_step(&asking(&[HookPoint::Step], plan()));
            machine.on(at(30), evidence(Decision::Advance, Outcome::Successful));
            machine
        }
        "promoted" => commanded(baking(), Operator::Promote),
        other => panic!("no phase {other}"),
    }
}

/// Does what the column says, and describes what came of it.
fn cell(phase: &str, column: &str) -> String {
    let mut machine = in_phase(phase);
    let before = machine.clone();
    let now = at(THEN);
    let late = at(THEN) + HOUR + HOUR;
    let plan: &Plan = &plan();
    let retry = Operator::Retry { version: None, plan, salt: (0, 0) };
    let result = match column {
        "ready" => Ok(machine.on(now, READY)),
        "lost" => Ok(machine.on(now, LOST)),
        "stable lost" => {
            Ok(machine.on(now, Event::Readiness { canary: machine.weight() > percent(0.0), stable: false }))
        }
        "failed" => Ok(machine.on(now, evidence(Decision::RollBack, Outcome::Failed))),
        "successful" => Ok(machine.on(now, evidence(Decision::Advance, Outcome::Successful))),
        "hold" => Ok(machine.on(now, evidence(Decision::Hold, Outcome::Inconclusive))),
        "judge pauses" => Ok(machine.on(now, evidence(Decision::Pause, Outcome::Inconclusive))),
        "judge gives up" => Ok(machine.on(now, evidence(Decision::RollBack, Outcome::Inconclusive))),
        "time" => Ok(machine.on(now, Event::Time)),
        "late" => Ok(machine.on(late, Event::Time)),
        "restart" => Ok(machine.on(now, Event::Restarted)),
        "same" => Ok(want(&mut machine, now, before.wanted_release().as_str(), plan)),
        "newer" => Ok(want(&mut machine, now, "v3", plan)),
        "withdrawn" => Ok(want(&mut machine, now, "v1", plan)),
        "promote" => machine.operator(now, Operator::Promote),
        "promote full" => machine.operator(now, Operator::PromoteFull),
        "abort" => machine.operator(now, Operator::Abort),
        "pause" => machine.operator(now, Operator::Pause),
        "resume" => machine.operator(now, Operator::Resume),
        "set 30" => machine.operator(now, Operator::SetWeight(percent(30.0))),
        "retry" => machine.operator(now, retry),
        "undo" => machine.operator(now, Operator::Undo { to: None, warm: true, plan, salt: (0, 0) }),
        "hooks say yes" => Ok(machine.on(now, Event::Gate(GateAnswer::Open))),
        "hooks say no" => Ok(machine.on(now, refusal(Otherwise::Pause))),
        other => panic!("no column {other}"),
    };
    match result {
        Err(_) if machine == before => "refused".into(),
        Err(refused) => format!("refused, but changed: {refused}"),
        Ok(actions) if actions.is_empty() => "-".into(),
        Ok(_) => standing(&machine, &before),
    }
}

/// `stepping 2 at 50`, or how the rollout ended (and the next one waits).
fn standing(machine: &Machine, before: &Machine) -> String {
    let ended =
        machine.last().filter(|last| Some(*last) != before.last()).map(|last| last.end.phase().as_str());
    let under_way = machine
        .rollout()
        .map(|rollout| format!("{} {} at {}", machine.phase(), rollout.step(), machine.weight().percent()));
    match (ended, under_way) {
        (Some(ended), None) => ended.into(),
        (Some(ended), Some(_)) if machine.phase() == PhaseName::Waiting => ended.into(),
        (Some(ended), Some(standing)) => format!("{ended}, but {standing}"),
        (None, Some(standing)) => standing,
        (None, None) => machine.phase().as_str().into(),
    }
}

const PHASES: [&str; 14] = [
    "idle",
    "aborted",
    "waiting",
    "stepping",
    "lost",
    "paused",
    "paused, waiting",
    "paused, 30 %",
    "paused, baking",
    "baking",
    "frozen",
    "preview",
    "gated",
    "promoted",
];

/// One line per event, one column per phase of [`PHASES`]: phase, step and the weight that the canary gets; `-` for
/// nothing to do. The plan: 10, 50, 100 %, then a bake; for the preview: blue-green with the same bake.
#[rustfmt::skip]
const TABLE: [(&str, [&str; PHASES.len()]); 24] = [
    //                   idle              aborted           waiting             stepping            lost                paused              p, waiting        p, 30 %             p, baking          baking             frozen              preview             gated               promoted
    ("ready",          ["-",              "-",              "stepping 1 at 10", "-",                "stepping 1 at 10", "-",                "paused 0 at 0",  "-",                "-",               "-", "-",                "-",                "-",                "-"]),
    ("lost",           ["-",              "-",              "-",                "stepping 1 at 0",  "-",                "paused 1 at 0",    "-",              "paused 1 at 0",    "paused 3 at 0",   "baking 3 at 0", "paused 1 at 0",    "stepping 1 at 0",  "stepping 1 at 0",  "-"]),
    ("stable lost",    ["-",              "-",              "waiting 0 at 0",   "stepping 1 at 10", "stepping 1 at 0",  "paused 1 at 10",   "paused 0 at 0",  "paused 1 at 30",   "paused 3 at 100", "baking 3 at 100", "paused 1 at 10",   "stepping 1 at 0",  "stepping 1 at 10", "-"]),
    ("failed",         ["-",              "-",              "-",                "aborted",          "aborted",          "aborted",          "-",              "aborted",          "aborted",         "aborted", "-",                "aborted",          "aborted",          "-"]),
    ("successful",     ["-",              "-",              "-",                "stepping 2 at 50", "-",                "-",                "-",              "-",                "-",               "-", "-",                "baking 2 at 100",  "-",                "-"]),
    ("hold",           ["-",              "-",              "-",                "-",                "-",                "-",                "-",              "-",                "-",               "-", "-",                "-",                "-",                "-"]),
    ("judge pauses",   ["-",              "-",              "-",                "paused 1 at 10",   "-",                "-",                "-",              "-",                "-",               "-", "-",                "paused 1 at 0",    "paused 1 at 10",   "-"]),
    ("judge gives up", ["-",              "-",              "-",                "aborted",          "-",                "-",                "-",              "-",                "-",               "-", "-",                "aborted",          "aborted",          "-"]),
    ("time",           ["-",              "-",              "-",                "-",                "-",                "-",                "-",              "-",                "-",               "-", "-",                "-",                "-",                "-"]),
    ("late",           ["-",              "-",              "aborted",          "-",                "aborted",          "-",                "-",              "-",                "-",               "promoted", "-",                "-",                "-",                "-"]),
    ("restart",        ["-",              "-",              "waiting 0 at 0",   "stepping 1 at 0",  "stepping 1 at 0",  "paused 1 at 0",    "paused 0 at 0",  "paused 1 at 0",    "paused 3 at 0",   "baking 3 at 0", "paused 1 at 0",    "stepping 1 at 0",  "stepping 1 at 0",  "-"]),
    ("same",           ["-",              "-",              "-",                "-",                "-",                "-",                "-",              "-",                "-",               "-", "-",                "-",                "-",                "-"]),
    ("newer",          ["waiting 0 at 0", "waiting 0 at 0", "superseded",       "superseded",       "superseded",       "superseded",       "superseded",     "superseded",       "superseded",      "superseded", "superseded",       "superseded",       "superseded",       "waiting 0 at 0"]),
    ("withdrawn",      ["-",              "idle",           "aborted",          "aborted",          "aborted",          "aborted",          "aborted",        "aborted",          "aborted",         "aborted", "aborted",          "aborted",          "aborted",          "waiting 0 at 0"]),
    ("promote",        ["refused",        "refused",        "refused",          "stepping 2 at 50", "refused",          "stepping 2 at 50", "refused",        "stepping 2 at 50", "promoted",        "promoted", "stepping 2 at 50", "baking 2 at 100",  "stepping 2 at 50", "refused"]),
    ("promote full",   ["refused",        "refused",        "refused",          "promoted",         "refused",          "promoted",         "refused",        "promoted",         "promoted",        "promoted", "promoted",         "promoted",         "promoted",         "refused"]),
    ("abort",          ["refused",        "refused",        "aborted",          "aborted",          "aborted",          "aborted",          "aborted",        "aborted",          "aborted",         "aborted", "aborted",          "aborted",          "aborted",          "refused"]),
    ("pause",          ["refused",        "refused",        "paused 0 at 0",    "paused 1 at 10",   "paused 1 at 0",    "refused",          "refused",        "refused",          "refused",         "paused 3 at 100", "refused",          "paused 1 at 0",    "paused 1 at 10",   "refused"]),
    ("resume",         ["refused",        "refused",        "refused",          "refused",          "refused",          "stepping 1 at 10", "waiting 0 at 0", "stepping 1 at 30", "baking 3 at 100", "refused", "stepping 1 at 10", "refused",          "refused",          "refused"]),
    ("set 30",         ["refused",        "refused",        "paused 1 at 0",    "paused 1 at 30",   "paused 1 at 0",    "paused 1 at 30",   "paused 1 at 0",  "paused 1 at 30",   "paused 1 at 30",  "paused 1 at 30", "paused 1 at 30",   "paused 1 at 30",   "paused 1 at 30",   "refused"]),
    ("retry",          ["refused",        "waiting 0 at 0", "refused",          "refused",          "refused",          "refused",          "refused",        "refused",          "refused",         "refused", "refused",          "refused",          "refused",          "refused"]),
    ("undo",           ["refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused", "aborted", "aborted", "refused", "refused", "refused", "promoted"]),
    ("hooks say yes",  ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "stepping 1 at 10", "-"]),
    ("hooks say no",   ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "paused 1 at 10", "-"]),
];

#[test]
fn every_event_does_in_every_phase_what_the_table_says() {
    let wrong: Vec<String> = TABLE
        .iter()
        .flat_map(|(column, cells)| PHASES.iter().zip(cells).map(move |(phase, want)| (phase, column, want)))
        .map(|(phase, column, want)| (phase, column, want, cell(phase, column)))
        .filter(|(.., want, got)| want != &got)
        .map(|(phase, column, want, got)| format!("{phase} × {column}: expected `{want}`, got `{got}`"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
