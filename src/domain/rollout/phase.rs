//! Where a rollout stands.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{End, Reason};
use crate::domain::Timestamp;

/// Where a rollout stands. Health comes on top: whatever the phase, a canary without a ready endpoint gets nothing
/// ([`Presence`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The canary has not been ready yet.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// At a step of the plan, gathering evidence.
    Stepping {
        /// Index into the plan's steps.
        step: usize,
        /// When the step's time began to run.
        since: Timestamp,
    },
    /// Stays where it is until an operator says otherwise. A failed verdict still does what the plan says.
    Paused {
        /// Where.
        place: Place,
        /// Since when.
        since: Timestamp,
        /// Who or what stopped it.
        why: Reason,
    },
    /// The canary has everything; the old version is kept warm.
    Baking {
        /// When the bake's time began to run.
        since: Timestamp,
    },
}

/// A place on the way from stable to canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before the first step.
    Start,
    /// At this step: index into the plan's steps.
    Step(usize),
    /// At a weight that an operator set.
    Weight,
    /// After the last step.
    Bake,
}

/// Whether a version has a ready endpoint. Never kept: after a restart it has to be seen again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Not told yet.
    #[default]
    Unknown,
    /// It has none.
    Missing {
        /// Since when, as far as giving up is concerned.
        since: Timestamp,
    },
    /// It has one.
    Ready,
}

/// The phase in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// No rollout.
    Idle,
    /// [`Phase::Waiting`].
    Waiting,
    /// [`Phase::Stepping`].
    Stepping,
    /// [`Phase::Paused`].
    Paused,
    /// [`Phase::Baking`].
    Baking,
    /// Over: the canary became stable.
    Promoted,
    /// Over: everything stayed with stable.
    Aborted,
    /// Over: a newer release took the canary's place.
    Superseded,
}

impl Phase {
    /// The phase in one word.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Waiting { .. } => PhaseName::Waiting,
            Self::Stepping { .. } => PhaseName::Stepping,
            Self::Paused { .. } => PhaseName::Paused,
            Self::Baking { .. } => PhaseName::Baking,
        }
    }

    /// Where on the way it is, paused or not.
    pub fn place(&self) -> Place {
        match self {
            Self::Waiting { .. } => Place::Start,
            Self::Stepping { step, .. } => Place::Step(*step),
            Self::Paused { place, .. } => *place,
            Self::Baking { .. } => Place::Bake,
        }
    }

    /// When the phase's time began to run.
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Waiting { since }
            | Self::Stepping { since, .. }
            | Self::Paused { since, .. }
            | Self::Baking { since } => *since,
        }
    }

    /// The same phase, its time running from `now`.
    pub(super) fn restarted(&self, now: Timestamp) -> Self {
        let mut phase = self.clone();
        match &mut phase {
            Self::Waiting { since } | Self::Stepping { since, .. } | Self::Baking { since } => *since = now,
            // Nothing runs out in a pause; people want to know since when it lasts.
            Self::Paused { .. } => {}
        }
        phase
    }
}

impl PhaseName {
    /// How a rollout ended that is in this phase; `None` while it is under way.
    pub fn end(self) -> Option<End> {
        match self {
            Self::Idle | Self::Waiting | Self::Stepping | Self::Paused | Self::Baking => None,
            Self::Promoted => Some(End::Promoted),
            Self::Aborted => Some(End::Aborted),
            Self::Superseded => Some(End::Superseded),
        }
    }

    /// As the API, the metrics and the store spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Stepping => "stepping",
            Self::Paused => "paused",
            Self::Baking => "baking",
            Self::Promoted => "promoted",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
