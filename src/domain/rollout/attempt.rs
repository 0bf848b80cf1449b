//! One attempt to move a service from stable to canary: its facts, and its record once it is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, Gate, Phase, PhaseName, Place, Plan, Presence, Reason, StepChange, Transition, Verdict};
use crate::domain::{Timestamp, VersionName, Weight};

/// A rollout under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Counts up per service from 1.
    pub number: u64,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
    /// As it was when the rollout started.
    pub plan: Plan,
    /// Divides clients between the two versions.
    pub salt: (u64, u64),
    /// When it began.
    pub started: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// The canary's share as decided; it gets it while it is ready.
    pub weight: Weight,
    /// Why it changed last.
    pub reason: Reason,
    /// The last verdict that changed something.
    pub verdict: Option<Verdict>,
    /// The hooks that it waits for, or that have let it go on.
    #[serde(default)]
    pub gate: Option<Gate>,
    /// Whether it takes back a promotion.
    #[serde(default)]
    pub undoes: bool,
    /// What a dry run has noted at this place.
    #[serde(default)]
    pub(super) noted: Vec<Reason>,
    #[serde(skip)]
    pub(super) canary_presence: Presence,
    #[serde(skip)]
    pub(super) stable_presence: Presence,
}

/// A rollout that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Counts up per service from 1.
    pub number: u64,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
    /// How many steps its plan had.
    pub steps: usize,
    /// The step it got to, from 1; 0 before the first.
    pub step: usize,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub end: End,
    /// Why.
    pub reason: Reason,
    /// The last verdict that changed something.
    pub verdict: Option<Verdict>,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The canary became stable.
    Promoted,
    /// Everything stayed with stable.
    Aborted,
    /// A newer release took the canary's place.
    Superseded,
}

/// What made a change: the reason, and the verdict if one decided.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) reason: Reason,
    pub(super) verdict: Option<Verdict>,
}

impl Rollout {
    /// What the canary gets now: as decided, but nothing without a ready endpoint.
    pub fn weight_now(&self) -> Weight {
        if self.canary_ready() { self.weight } else { Weight::ZERO }
    }

    /// Whether the canary has a ready endpoint.
    pub fn canary_ready(&self) -> bool {
        self.canary_presence == Presence::Ready
    }

    /// Whether stable had a ready endpoint and has none any more.
    pub fn stable_lost(&self) -> bool {
        matches!(self.stable_presence, Presence::Missing { .. })
    }

    /// The current step from 1; 0 before the first. At a weight set by hand: the last step that is not above it.
    pub fn step(&self) -> usize {
        match self.phase.place() {
            Place::Start => 0,
            Place::Step(step) => step + 1,
            Place::Weight => self.first_step_above(self.weight),
            Place::Bake => self.plan.steps.len(),
        }
    }

    /// How long the current phase's time has run.
    pub fn age(&self, now: Timestamp) -> Duration {
        now - self.phase.since()
    }

    /// How long to stay at the current step at the least; zero when not at a step.
    pub fn step_pause(&self) -> Duration {
        match self.phase.place() {
            Place::Step(step) => self.plan.steps.get(step).map_or(Duration::ZERO, |step| step.pause),
            Place::Start | Place::Weight | Place::Bake => Duration::ZERO,
        }
    }

    /// How long the current step lasts whatever the evidence: `min_time` or its own pause; a preview only its own.
    pub(super) fn dwell(&self) -> Duration {
        if self.previews() {
            return self.step_pause();
        }
        self.plan.advance.min_time.max(self.step_pause())
    }

    /// The index of the first step with more than `weight`; the number of steps when there is none.
    pub(super) fn first_step_above(&self, weight: Weight) -> usize {
        self.plan.steps.iter().position(|step| step.weight > weight).unwrap_or(self.plan.steps.len())
    }

    /// Goes to `phase` at `weight`, and says what follows.
    pub(super) fn go(&mut self, now: Timestamp, phase: Phase, weight: Weight, cause: Cause) -> Vec<Action> {
        let before = self.footing();
        self.phase = phase;
        self.weight = weight;
        self.gate = None;
        if self.phase.place() != before.place {
            self.noted.clear();
        }
        self.follow(now, before, cause)
    }

    /// Notes whether the canary has a ready endpoint, its phase's time running from now, and says what follows.
    pub(super) fn see_canary(&mut self, now: Timestamp, seen: Presence, reason: Reason) -> Vec<Action> {
        let before = self.footing();
        self.canary_presence = seen;
        self.phase = self.phase.restarted(now);
        self.follow(now, before, reason.into())
    }

    /// Records a circumstance that changes neither phase nor weight.
    pub(super) fn note(&mut self, now: Timestamp, reason: Reason) -> Vec<Action> {
        let before = self.footing();
        self.follow(now, before, reason.into())
    }

    /// Records what a dry run would have done, once at each place.
    pub(super) fn note_once(&mut self, now: Timestamp, cause: Cause) -> Vec<Action> {
        if self.noted.contains(&cause.reason) {
            return Vec::new();
        }
        self.noted.push(cause.reason.clone());
        let before = self.footing();
        self.follow(now, before, cause)
    }

    /// The rollout's record, and what follows from its end.
    pub(super) fn end(self, now: Timestamp, end: End, cause: Cause) -> (Ended, Vec<Action>) {
        let weight = match end {
            End::Promoted => Weight::FULL,
            End::Aborted | End::Superseded => Weight::ZERO,
        };
        let transition = self.transition(now, self.phase.name(), end.phase(), weight, cause.clone());
        let ended = Ended {
            number: self.number,
            steps: self.plan.steps.len(),
            step: self.step(),
            started: self.started,
            at: now,
            end,
            reason: cause.reason,
            verdict: cause.verdict.or(self.verdict),
            stable: self.stable,
            canary: self.canary,
        };
        (ended, vec![Action::Record(transition), Action::CloseEpoch])
    }

    /// The record of its beginning.
    pub(super) fn beginning(&self) -> Action {
        let phase = self.phase.name();
        Action::Record(self.transition(
            self.started,
            PhaseName::Idle,
            phase,
            Weight::ZERO,
            self.reason.clone().into(),
        ))
    }

    fn footing(&self) -> Footing {
        Footing {
            name: self.phase.name(),
            place: self.phase.place(),
            weight: self.weight_now(),
            presence: self.canary_presence,
        }
    }

    fn follow(&mut self, now: Timestamp, before: Footing, cause: Cause) -> Vec<Action> {
        self.reason = cause.reason.clone();
        if cause.verdict.is_some() {
            self.verdict = cause.verdict.clone();
        }
        let weight = self.weight_now();
        let mut actions =
            vec![Action::Record(self.transition(now, before.name, self.phase.name(), weight, cause))];
        let anew = before.place != self.phase.place() || self.comes_after(before.presence);
        if weight != before.weight || (anew && (weight > Weight::ZERO || self.is_at_preview())) {
            // A canary that was lost comes back to the same step, but what it did before says nothing about it now.
            let same = weight == Weight::ZERO && !self.is_at_preview();
            let step = if same { StepChange::Same } else { StepChange::New };
            actions.push(Action::OpenEpoch { weight, step });
        }
        actions
    }

    /// Whether the canary is ready now and was not before.
    fn comes_after(&self, before: Presence) -> bool {
        self.canary_ready() && before != Presence::Ready
    }

    fn transition(
        &self,
        at: Timestamp,
        from: PhaseName,
        to: PhaseName,
        weight: Weight,
        cause: Cause,
    ) -> Transition {
        Transition {
            rollout: self.number,
            stable: self.stable.clone(),
            canary: self.canary.clone(),
            at,
            from,
            to,
            step: self.step(),
            weight,
            reason: cause.reason,
            verdict: cause.verdict,
        }
    }
}

/// What is compared before and after a change.
struct Footing {
    name: PhaseName,
    place: Place,
    weight: Weight,
    presence: Presence,
}

impl End {
    /// The phase that the rollout ends in.
    pub fn phase(self) -> PhaseName {
        match self {
            Self::Promoted => PhaseName::Promoted,
            Self::Aborted => PhaseName::Aborted,
            Self::Superseded => PhaseName::Superseded,
        }
    }
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        Self { reason, verdict: None }
    }
}
