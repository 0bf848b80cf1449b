//! Releasing a version: the plan, what happens, who judges, and the machine that decides.

mod attempt;
mod check;
mod commands;
mod decision;
mod events;
mod hook;
mod judge;
mod machine;
mod phase;
mod plan;
mod preview;
mod reason;
pub mod rehearsal;
#[cfg(test)]
mod simulation;
mod verdict;

use attempt::Cause;
pub use attempt::{End, Ended, Rollout};
pub use check::{
    Check, Course, Measured, NoData, Placeholder, Reading, Source, Standing, Subject, held_back, with_checks,
};
pub use decision::{Decision, StepProgress, decide};
pub use events::{Action, Came, Event, Judgement, Operator, Transition, Wanted};
pub use hook::{Gate, GateAnswer, Hook, HookPoint, Otherwise};
pub use judge::{Judge, SplitMode, StepChange};
pub use machine::Machine;
pub use phase::{Phase, PhaseName, Place, Presence};
pub use plan::{
    Advance, Analysis, Latency, OnFailure, OnMaxTime, Plan, PromoteMargin, Promotion, Step, Strategy,
    ToleratedRise,
};
pub use reason::{Ordered, Reason, Refused};
pub use verdict::{Assessment, Detail, Findings, Metric, Outcome, RouteCounts, SlowAnswers, Verdict};
