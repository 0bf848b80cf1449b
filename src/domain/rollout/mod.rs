//! Releasing a version: the plan, what happens, who judges, and the machine that decides.

mod attempt;
mod commands;
mod events;
mod machine;
mod phase;
mod plan;
mod reason;
mod verdict;

use attempt::Cause;
pub use attempt::{End, Ended, Rollout};
pub use events::{Action, Decision, Event, Judgement, Operator, StepChange, Transition, Wanted};
pub use machine::Machine;
pub use phase::{Phase, PhaseName, Place, Presence};
pub use plan::{Advance, Analysis, OnFailure, OnMaxTime, Plan, PromoteMargin, Step, ToleratedRise};
pub use reason::{Ordered, Reason, Refused};
pub use verdict::{Assessment, Metric, Outcome, Verdict};
