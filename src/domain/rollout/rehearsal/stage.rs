//! The stretches of a rollout, and what each waits for.

use std::time::Duration;

use super::super::{Advance, PhaseName, StepProgress};
use crate::domain::stats::EpochCounts;
use crate::domain::{Timestamp, Weight};

/// A stretch of a rollout at one weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// The phase it is in; a pause is part of what was paused.
    pub phase: PhaseName,
    /// The step from 1; 0 before the first.
    pub step: usize,
    /// The canary's share.
    pub weight: Weight,
    /// How long it has lasted.
    pub time: Duration,
    /// What both versions did meanwhile.
    pub counts: EpochCounts,
    /// What it waited for last.
    pub held_by: Condition,
    pub(super) began: Timestamp,
}

/// What keeps a rollout from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The step's `min_time`.
    MinTime,
    /// The step's own pause.
    Pause,
    /// `min_requests` of the canary.
    MinRequests,
    /// The proof that the canary is no worse.
    Evidence,
    /// The bake.
    Bake,
    /// Something that is no matter of traffic: an operator, or nothing yet.
    Other,
}

/// What a step waits for that is not left; of several things the one that is most likely to take longest.
pub(super) fn held_by(
    phase: PhaseName,
    step: StepProgress,
    advance: &Advance,
    (requests, proven): (bool, bool),
) -> Condition {
    match phase {
        PhaseName::Baking => Condition::Bake,
        PhaseName::Stepping if !requests => Condition::MinRequests,
        PhaseName::Stepping if !proven => Condition::Evidence,
        PhaseName::Stepping if step.age < step.pause && step.pause > advance.min_time => Condition::Pause,
        PhaseName::Stepping if step.age < advance.min_time => Condition::MinTime,
        PhaseName::Stepping => Condition::Evidence,
        PhaseName::Idle | PhaseName::Waiting | PhaseName::Paused => Condition::Other,
        PhaseName::Promoted | PhaseName::Aborted | PhaseName::Superseded => Condition::Other,
    }
}
