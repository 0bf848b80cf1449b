//! Why a rollout changed, and why a command was refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{HookPoint, PhaseName, Strategy};
use crate::domain::{VersionName, Weight};

/// Why a rollout changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `release` names another version than stable.
    ReleaseChanged,
    /// A container of another version than stable came.
    ContainerCame {
        /// Its name.
        container: String,
        /// What it was made from, as whoever created it wrote it.
        image: String,
    },
    /// An operator did it.
    Operator(Ordered),
    /// The program started again; what is timed and the step's evidence start anew.
    Restarted,
    /// The canary is ready: its first endpoint, or all of them when the strategy waits for all.
    CanaryReady,
    /// Not every endpoint of the canary is ready any more, and the strategy waits for all before users come.
    NotAllReady,
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
    /// What is looked at beside the traffic is not as it must be.
    CheckFailed {
        /// Which check, and what it found: `check smoke: answered 500`.
        rule: String,
    },
    /// Undecided until `max_time`.
    MaxTime,
    /// Undecided until `max_time`, nothing speaks against the canary, and the plan says to go on then.
    NoHarm,
    /// The bake is over.
    BakeOver,
    /// The preview's time is over, every endpoint of the canary is ready, and nothing speaks against it.
    PreviewOver,
    /// The rollout waits for the hooks.
    GateReached {
        /// Of this point.
        at: HookPoint,
        /// The step that comes next, from 1.
        step: usize,
    },
    /// All hooks said yes.
    GateOpened {
        /// Of this point.
        at: HookPoint,
    },
    /// A hook said no, or nothing.
    HookRefused {
        /// Of this point.
        at: HookPoint,
        /// Which one, and what it said.
        why: String,
    },
    /// Dry run: the canary is no worse; without it the step would have been left.
    WouldAdvance,
    /// Dry run: the canary is worse; without it the rollout would have ended (or frozen).
    WouldAbort,
    /// Dry run: undecided until `max_time`; without it the plan would have decided.
    WouldTimeOut,
    /// Dry run: the bake is over; without it the canary would be stable now.
    WouldPromote,
    /// The canary was not ready for as long as `ready_timeout`.
    NotReadyInTime,
    /// A newer release replaced the canary.
    Superseded {
        /// The newer one.
        by: VersionName,
    },
    /// `release` names stable again.
    ReleaseWithdrawn,
    /// The canary's containers were removed, or those of stable came anew.
    ContainersWithdrawn,
}

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordered {
    /// `adit promote`.
    Promote,
    /// `adit promote`, past hooks that had not said yes.
    PromoteUnasked,
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
    /// `adit undo`.
    Undo,
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
    /// Not every endpoint of the canary is ready, and the strategy waits for all.
    NotAllReady {
        /// The canary.
        canary: VersionName,
        /// The strategy.
        strategy: Strategy,
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
    /// A rollout is under way, so no promotion is there to be undone yet.
    NotPromoted {
        /// The version that still is stable.
        stable: VersionName,
        /// The canary.
        canary: VersionName,
    },
    /// The version to go back to is stable already.
    StableAlready {
        /// That version.
        stable: VersionName,
    },
    /// No earlier stable version is known.
    NothingToUndo {
        /// What users have.
        stable: VersionName,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReleaseChanged => f.write_str("release changed"),
            Self::ContainerCame { container, image } => write!(f, "container {container} (image {image}) came"),
            Self::Operator(ordered) => write!(f, "operator: {ordered}"),
            Self::Restarted => f.write_str("adit started again; the step's evidence starts anew"),
            Self::CanaryReady => f.write_str("canary is ready"),
            Self::NotAllReady => f.write_str("not every endpoint of the canary is ready; waits until all are"),
            Self::CanaryLost => f.write_str("canary has no ready endpoint; weight 0 until it has"),
            Self::CanaryBack => f.write_str("canary has a ready endpoint again"),
            Self::StableLost => f.write_str(
                "stable has no ready endpoint; the step stays until it is judged, `adit promote --full` makes the canary stable",
            ),
            Self::StableBack => f.write_str("stable has a ready endpoint again"),
            Self::VerdictSuccessful => f.write_str("canary is no worse than stable"),
            Self::VerdictFailed => f.write_str("canary is worse than stable"),
            Self::CheckFailed { rule } => write!(f, "failed: {rule}"),
            Self::MaxTime => f.write_str("undecided until max_time"),
            Self::NoHarm => f.write_str("undecided until max_time, no harm seen"),
            Self::StableGone => f.write_str("stable is no longer configured, so the canary took over"),
            Self::BakeOver => f.write_str("bake is over"),
            Self::PreviewOver => {
                f.write_str("preview is over: all endpoints ready, nothing speaks against the canary")
            }
            Self::GateReached { at: HookPoint::Step, step } => {
                write!(f, "waits for the hooks before step {step}")
            }
            Self::GateReached { at, .. } => write!(f, "waits for the hooks before {}", goal(*at)),
            Self::GateOpened { at } => write!(f, "the hooks before {} said yes", goal(*at)),
            Self::HookRefused { at, why } => write!(f, "a hook before {} refused: {why}", goal(*at)),
            Self::WouldAdvance => f.write_str("dry run: canary is no worse, the step would be left"),
            Self::WouldAbort => f.write_str("dry run: canary is worse, the rollout would fail"),
            Self::WouldTimeOut => f.write_str("dry run: undecided until max_time"),
            Self::WouldPromote => f.write_str("dry run: bake is over, the canary would become stable"),
            Self::NotReadyInTime => f.write_str("canary was not ready within ready_timeout"),
            Self::Superseded { by } => write!(f, "replaced by the newer release {by}"),
            Self::ReleaseWithdrawn => f.write_str("release was set back to stable"),
            Self::ContainersWithdrawn => f.write_str("by its containers stable is wanted again"),
        }
    }
}

impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Promote => "promote",
            Self::PromoteUnasked => "promote, without waiting for the hooks",
            Self::PromoteFull => "promote --full",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SetWeight => "set-weight",
            Self::Retry => "retry",
            Self::Undo => "undo",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRollout { stable, aborted: None } => {
                write!(
                    f,
                    "no rollout is under way, {stable} has all traffic; another version that is wanted starts one, or `adit undo` to go back from the last"
                )
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
            Self::NotAllReady { canary, strategy } => write!(
                f,
                "not every endpoint of {canary} is ready, and {strategy} waits for all of them; see `adit status` for \
                 why, or `adit abort`"
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
            Self::NotPromoted { stable, canary } => write!(
                f,
                "a rollout of {canary} is under way and {stable} still is stable; `adit abort` goes back to it now"
            ),
            Self::StableAlready { stable } => {
                write!(
                    f,
                    "{stable} is stable already, users have it; `adit undo --to V` names another version"
                )
            }
            Self::NothingToUndo { stable } => write!(
                f,
                "no version is known that was stable before {stable}; `adit undo --to V` names the one to go to"
            ),
        }
    }
}

/// What comes after the hooks of a point.
fn goal(at: HookPoint) -> &'static str {
    match at {
        HookPoint::Start => "the first request",
        HookPoint::Step => "the next step",
        HookPoint::Promote => "the promotion",
        HookPoint::Abort => "the abort",
        HookPoint::Done => "the end",
    }
}

impl std::error::Error for Refused {}
