//! Who is asked before a rollout goes on, and who is told how it went.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An HTTP endpoint of the operator's that is sent what the rollout does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When.
    pub at: HookPoint,
    /// Where: `http://` or `https://`. Gets a POST with JSON; 2xx means go on.
    pub url: String,
    /// For one attempt. Default 10 s.
    pub timeout: Duration,
    /// How often it is tried, with growing pauses, until it gives an answer at all. Default 3.
    pub attempts: u32,
    /// What another answer than 2xx means, or none after all attempts. Without a meaning at points where nothing waits
    /// for the answer.
    pub otherwise: Otherwise,
    /// A file with a bearer token, read anew for every attempt.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// The points at which hooks are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// Before the canary gets its first request. The rollout waits for the answer.
    Start,
    /// Before each later step. The rollout waits for the answer.
    Step,
    /// Before the canary becomes stable. The rollout waits for the answer.
    Promote,
    /// After an abort. Nothing waits for it.
    Abort,
    /// After the end, whichever it is. Nothing waits for it.
    Done,
}

/// What a hook's refusal (or silence) means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// Nothing: the rollout goes on.
    Continue,
    /// The rollout pauses where it is.
    #[default]
    Pause,
    /// The rollout is aborted.
    Abort,
}

/// A point that the rollout has reached and at which it waits for its hooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Which one: [`HookPoint::Start`], [`HookPoint::Step`] or [`HookPoint::Promote`].
    pub at: HookPoint,
    /// Whether all hooks have said yes. Then the rollout goes on as soon as the evidence (still) allows it.
    pub open: bool,
}

/// What the hooks of a gate said, all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateAnswer {
    /// Go on.
    Open,
    /// Do not go on.
    Shut {
        /// Who said what, in words: `http://ci.example/gate answered 503`.
        why: String,
        /// What follows; never [`Otherwise::Continue`], which is an [`GateAnswer::Open`].
        then: Otherwise,
    },
}

impl HookPoint {
    /// Whether the rollout waits for the answer.
    pub fn gates(self) -> bool {
        match self {
            Self::Start | Self::Step | Self::Promote => true,
            Self::Abort | Self::Done => false,
        }
    }

    /// As the config spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Step => "step",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
