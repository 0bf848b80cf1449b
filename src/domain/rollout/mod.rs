//! Releasing a version: the plan, what happens, who judges, and the machine that decides.

mod plan;
mod verdict;

pub use plan::{Advance, Analysis, OnFailure, OnMaxTime, Plan, PromoteMargin, Step, ToleratedRise};
pub use verdict::{Assessment, Metric, Outcome, Verdict};
