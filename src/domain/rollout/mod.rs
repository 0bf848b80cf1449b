//! Releasing a version: the plan, what happens, who judges, and the machine that decides.

mod decision;
mod judge;
mod plan;
#[cfg(test)]
mod simulation;
mod verdict;

pub use decision::{Decision, StepProgress, decide};
pub use judge::{Judge, SplitMode, StepChange};
pub use plan::{Advance, Analysis, OnFailure, OnMaxTime, Plan, PromoteMargin, Step, ToleratedRise};
pub use verdict::{Assessment, Metric, Outcome, Verdict};
