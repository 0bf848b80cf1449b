//! Why a rollout changed, and why a command was refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PhaseName;
use crate::domain::{VersionName, Weight};

/// Why a rollout changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `release` names another version than stable.
    ReleaseChanged,
    /// An operator did it.
    Operator(Ordered),
    /// The program started again; what is timed and the step's evidence start anew.
    Restarted,
    /// The canary's first endpoint is ready.
    CanaryReady,
    /// No endpoint of the canary is ready any more.
    CanaryLost,
    /// The canary has a ready endpoint again.
    CanaryBack,
    /// No endpoint of stable is ready any more. Nothing is held back by it, and nothing is rushed.
    StableLost,
    /// Stable has a ready endpoint again.
    StableBack,
    /// The config does not have stable any more.
    StableGone,
    /// The canary is no worse.
    VerdictSuccessful,
    /// The canary is worse.
    VerdictFailed,
    /// Undecided until `max_time`.
    MaxTime,
    /// Undecided until `max_time`, nothing speaks against the canary, and the plan says to go on then.
    NoHarm,
    /// The bake is over.
    BakeOver,
    /// The canary had no ready endpoint for as long as `ready_timeout`.
    NotReadyInTime,
    /// A newer release replaced the canary.
    Superseded {
        /// The newer one.
        by: VersionName,
    },
    /// `release` names stable again.
    ReleaseWithdrawn,
}

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordered {
    /// `adit promote`.
    Promote,
    /// `adit promote --full`.
    PromoteFull,
    /// `adit abort`.
    Abort,
    /// `adit pause`.
    Pause,
    /// `adit resume`.
    Resume,
    /// `adit set-weight`.
    SetWeight,
    /// `adit retry`.
    Retry,
}

/// A command that the state does not allow. It changed nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// No rollout is under way.
    NoRollout {
        /// What users have.
        stable: VersionName,
        /// The wanted version, if it was aborted.
        aborted: Option<VersionName>,
    },
    /// The canary has no ready endpoint, so nothing can be sent to it.
    CanaryNotReady {
        /// The canary.
        canary: VersionName,
    },
    /// Already paused.
    AlreadyPaused {
        /// Where.
        weight: Weight,
    },
    /// Nothing to resume.
    NotPaused {
        /// What it does instead.
        phase: PhaseName,
    },
    /// A rollout is under way, so there is nothing to try again.
    UnderWay {
        /// The canary.
        canary: VersionName,
    },
    /// The wanted version was not aborted.
    NotAborted {
        /// The wanted version.
        wanted: VersionName,
    },
    /// Another version is wanted.
    NotWanted {
        /// The one the operator named.
        version: VersionName,
        /// The one that `release` names.
        wanted: VersionName,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReleaseChanged => f.write_str("release changed"),
            Self::Operator(ordered) => write!(f, "operator: {ordered}"),
            Self::Restarted => f.write_str("adit started again; the step's evidence starts anew"),
            Self::CanaryReady => f.write_str("canary is ready"),
            Self::CanaryLost => f.write_str("canary has no ready endpoint; weight 0 until it has"),
            Self::CanaryBack => f.write_str("canary has a ready endpoint again"),
            Self::StableLost => f.write_str(
                "stable has no ready endpoint; the weight stays, `adit promote --full` sends all to the canary",
            ),
            Self::StableBack => f.write_str("stable has a ready endpoint again"),
            Self::VerdictSuccessful => f.write_str("canary is no worse than stable"),
            Self::VerdictFailed => f.write_str("canary is worse than stable"),
            Self::MaxTime => f.write_str("undecided until max_time"),
            Self::NoHarm => f.write_str("undecided until max_time, no harm seen"),
            Self::StableGone => f.write_str("stable is no longer configured, so the canary took over"),
            Self::BakeOver => f.write_str("bake is over"),
            Self::NotReadyInTime => f.write_str("canary had no ready endpoint within ready_timeout"),
            Self::Superseded { by } => write!(f, "replaced by the newer release {by}"),
            Self::ReleaseWithdrawn => f.write_str("release was set back to stable"),
        }
    }
}

impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Promote => "promote",
            Self::PromoteFull => "promote --full",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SetWeight => "set-weight",
            Self::Retry => "retry",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRollout { stable, aborted: None } => {
                write!(f, "no rollout is under way, {stable} has all traffic; change `release` to start one")
            }
            Self::NoRollout { stable, aborted: Some(version) } => write!(
                f,
                "no rollout is under way, {stable} has all traffic since {version} was aborted; `adit retry` tries \
                 it again"
            ),
            Self::CanaryNotReady { canary } => write!(
                f,
                "{canary} has no ready endpoint, so nothing can be sent to it; see `adit status` for why, \
                 or `adit abort`"
            ),
            Self::AlreadyPaused { weight } => {
                write!(
                    f,
                    "the rollout is already paused at {weight}; `adit resume` or `adit promote` goes on"
                )
            }
            Self::NotPaused { phase } => {
                write!(f, "the rollout is not paused but {phase}; `adit promote` leaves the step now")
            }
            Self::UnderWay { canary } => {
                write!(f, "a rollout of {canary} is under way; `adit abort` ends it, then retry")
            }
            Self::NotAborted { wanted } => {
                write!(f, "{wanted} was not aborted; change `release` to start a rollout")
            }
            Self::NotWanted { version, wanted } => {
                write!(f, "`release` names {wanted}, not {version}; set `release` to {version} first")
            }
        }
    }
}

impl std::error::Error for Refused {}
