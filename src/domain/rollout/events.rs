//! What the machine is told, and what it says in return.

use serde::{Deserialize, Serialize};

use super::{Decision, GateAnswer, Outcome, PhaseName, Plan, Reason, StepChange, Verdict};
use crate::domain::{Timestamp, VersionName, Weight};

/// What happened, as the machine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The machine was just loaded from the store. Comes first; everything timed starts anew.
    Restarted,
    /// This release is wanted (also when that is nothing new).
    Wanted(Wanted<'a>),
    /// The same, said by containers.
    Came(Wanted<'a>, Came<'a>),
    /// Which of the two versions has a ready endpoint. Tell it every turn: what waits for the canary goes on then.
    /// Repeating it is free.
    Readiness {
        /// Whether the canary has one; while [`Rollout::waits_for_all`](super::Rollout::waits_for_all): whether all of
        /// its endpoints are.
        canary: bool,
        /// Whether stable has one.
        stable: bool,
    },
    /// What the judge makes of the evidence. Tell it as often as it is judged.
    Evidence(Judgement),
    /// Time has passed.
    Time,
    /// The config does not have stable any more.
    StableGone,
    /// What the hooks said at the gate where the rollout waits ([`Rollout::gate`](super::Rollout::gate)).
    Gate(GateAnswer),
}

/// The release that is wanted, and how it is to be released should a rollout start now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted<'a> {
    /// The version.
    pub release: &'a VersionName,
    /// Pinned when a rollout starts: changing margins on the way would void the verdict's promise.
    pub plan: &'a Plan,
    /// Divides clients in a rollout that starts now: the same for the same service and
    /// [`Machine::next_number`](super::Machine::next_number), on every replica.
    pub salt: (u64, u64),
}

/// The container that made its version the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came<'a> {
    /// Its name.
    pub container: &'a str,
    /// What it was made from.
    pub image: &'a str,
}

/// What an operator tells the rollout to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator<'a> {
    /// Leave the step, the pause or the bake now, unjudged.
    Promote,
    /// Leave all steps now: the canary becomes stable.
    PromoteFull,
    /// Weight 0 now; the rollout ends.
    Abort,
    /// Stop advancing.
    Pause,
    /// Go on.
    Resume,
    /// This share for the canary; the rollout pauses there.
    SetWeight(Weight),
    /// Try the aborted release again. `version`: if said, must be the release that is wanted.
    Retry {
        /// Which version the operator named.
        version: Option<&'a VersionName>,
        /// For the rollout that starts.
        plan: &'a Plan,
        /// For the rollout that starts, as in [`Wanted::salt`].
        salt: (u64, u64),
    },
    /// Go back after a promotion: at once to a version that was stable before and is warm, else by a rollout.
    Undo {
        /// To this version; `None`: the one that was stable before ([`Machine::previous`](super::Machine::previous)).
        to: Option<&'a VersionName>,
        /// Whether that version has a ready endpoint.
        warm: bool,
        /// For the rollout that starts if it can't be at once.
        plan: &'a Plan,
        /// For that rollout, as in [`Wanted::salt`].
        salt: (u64, u64),
    },
}

/// A verdict, and what follows from it by the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What follows.
    pub decision: Decision,
    /// The verdict with its numbers.
    pub verdict: Verdict,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Keep this for ever. Saved before it is shown, and before whatever raises the canary's weight is acted on.
    Record(Transition),
    /// Keep the machine, though nothing happened that is worth a record.
    Save,
    /// Route with this weight from now on, and count into a new epoch.
    OpenEpoch {
        /// The canary's share.
        weight: Weight,
        /// What becomes of the evidence for leaving the step.
        step: StepChange,
    },
    /// Forget all evidence. Unless an epoch is opened right after it, the rollout is over: route everything to stable
    /// (the new one, if promoted) and count no more.
    CloseEpoch,
}

/// One change of a rollout, as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The rollout's number.
    pub rollout: u64,
    /// From this version.
    pub stable: VersionName,
    /// To this one.
    pub canary: VersionName,
    /// When.
    pub at: Timestamp,
    /// The phase before; [`PhaseName::Idle`] when the rollout starts here.
    pub from: PhaseName,
    /// The phase after; the same as `from` when only the weight or the circumstances changed.
    pub to: PhaseName,
    /// The step after the change, from 1; 0 before the first.
    pub step: usize,
    /// The canary's share after the change; 100 % when promoted.
    pub weight: Weight,
    /// Why.
    pub reason: Reason,
    /// The verdict that decided; `None` when none did.
    pub verdict: Option<Verdict>,
}

impl Judgement {
    /// Whether the canary was found worse, rather than undecided for too long.
    pub fn is_failed(&self) -> bool {
        self.verdict.outcome == Outcome::Failed
    }
}
