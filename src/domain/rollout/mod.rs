//! Releasing a version: the plan, what happens, who judges, and the machine that decides.

mod attempt;
mod commands;
mod decision;
mod events;
mod judge;
mod machine;
mod phase;
mod plan;
mod reason;
#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod simulation;
mod verdict;

use attempt::Cause;
pub use attempt::{End, Ended, Rollout};
pub use decision::{Decision, StepProgress, decide};
pub use events::{Action, Event, Judgement, Operator, Transition, Wanted};
pub use judge::{Judge, SplitMode, StepChange};
pub use machine::Machine;
pub use phase::{Phase, PhaseName, Place, Presence};
pub use plan::{Advance, Analysis, OnFailure, OnMaxTime, Plan, PromoteMargin, Step, ToleratedRise};
pub use reason::{Ordered, Reason, Refused};
pub use verdict::{Assessment, Metric, Outcome, Verdict};
