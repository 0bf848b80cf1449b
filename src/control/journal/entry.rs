//! One line of the journal, before it is written.

use serde::{Deserialize, Serialize};

use super::story::Sample;
use crate::control::store::By;
use crate::domain::rollout::{Transition, Verdict};
use crate::domain::stats::FailedRequest;
use crate::domain::{ServiceName, Timestamp, VersionName};

/// Characters of a text that are kept: a config with a thousand mistakes is told by its first few.
const TEXT: usize = 4_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// To which service; `None`: to the whole program.
    pub service: Option<ServiceName>,
    /// In which of its rollouts, if one was under way.
    pub rollout: Option<u64>,
    /// What.
    pub fact: Fact,
    /// Whose doing it was; `None` when it was Adit's own.
    pub by: Option<By>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A rollout changed.
    Transition(Transition),
    /// An operator gave a command, whatever came of it.
    Command {
        /// As it is typed: `set-weight 5 %`.
        verb: String,
        /// What came of it.
        outcome: CommandOutcome,
        /// Why it changed nothing, or what is still missing.
        detail: Option<String>,
    },
    /// The judge changed its mind, and nothing followed from it.
    Verdict(Verdict),
    /// The canary failed a request: one of a few that are kept.
    Sample(FailedRequest),
    /// A config was applied or refused.
    Config {
        /// The snapshot that has it; `None`: refused.
        generation: Option<u64>,
        /// Why it was refused.
        detail: Option<String>,
    },
    /// An endpoint of a version in a rollout was ejected, or came back.
    Ejection {
        /// Its version.
        version: VersionName,
        /// Its address.
        endpoint: String,
        /// What became of it, and why.
        change: String,
    },
    /// Something happened to a service's containers, or was done about one.
    Containers {
        /// The one that it is about; `None`: all of them.
        container: Option<String>,
        /// What, in words.
        what: String,
    },
    /// The container engine was found, or lost.
    Engine {
        /// Whether it can be asked now.
        connected: bool,
        /// Its version, or why it can't be asked.
        detail: String,
    },
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It took effect.
    Done,
    /// It made no sense in that state, and changed nothing.
    Refused,
    /// It could not be saved at once.
    NotSaved,
}

impl Entry {
    /// A change of a rollout.
    pub fn transition(service: &ServiceName, transition: Transition, by: Option<&By>) -> Self {
        Self {
            at: transition.at,
            service: Some(service.clone()),
            rollout: Some(transition.rollout),
            fact: Fact::Transition(transition),
            by: by.cloned(),
        }
    }

    /// The change of a rollout, if it is one.
    pub(crate) fn as_transition(&self) -> Option<&Transition> {
        match &self.fact {
            Fact::Transition(transition) => Some(transition),
            Fact::Command { .. }
            | Fact::Verdict(_)
            | Fact::Sample(_)
            | Fact::Config { .. }
            | Fact::Ejection { .. }
            | Fact::Containers { .. }
            | Fact::Engine { .. } => None,
        }
    }

    /// A request that the canary of a rollout failed.
    pub(crate) fn sample(service: &ServiceName, rollout: u64, request: FailedRequest) -> Self {
        Self {
            at: request.at,
            service: Some(service.clone()),
            rollout: Some(rollout),
            fact: Fact::Sample(request),
            by: None,
        }
    }
}

impl Fact {
    /// The kind in one word, as the store and the event stream spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transition(_) => "transition",
            Self::Command { .. } => "command",
            Self::Verdict(_) => "verdict",
            Self::Sample(_) => "sample",
            Self::Config { .. } => "config",
            Self::Ejection { .. } => "ejection",
            Self::Containers { .. } => "containers",
            Self::Engine { .. } => "engine",
        }
    }

    /// What is kept of it.
    ///
    /// # Errors
    /// When it can't be said in JSON.
    pub fn record(&self) -> serde_json::Result<String> {
        match self {
            Self::Transition(transition) => serde_json::to_string(transition),
            Self::Verdict(verdict) => serde_json::to_string(verdict),
            Self::Sample(request) => serde_json::to_string(&Sample::from(request)),
            Self::Command { verb, outcome, detail } => serde_json::to_string(
                &serde_json::json!({ "verb": verb, "outcome": outcome, "detail": detail.as_deref().map(short) }),
            ),
            Self::Config { generation, detail } => serde_json::to_string(&serde_json::json!({
                "outcome": if generation.is_some() { "applied" } else { "refused" },
                "generation": generation,
                "detail": detail.as_deref().map(short),
            })),
            Self::Ejection { version, endpoint, change } => serde_json::to_string(
                &serde_json::json!({ "version": version, "endpoint": endpoint, "change": change }),
            ),
            Self::Containers { container, what } => {
                serde_json::to_string(&serde_json::json!({ "container": container, "what": short(what) }))
            }
            Self::Engine { connected, detail } => serde_json::to_string(&serde_json::json!({
                "state": if *connected { "connected" } else { "lost" },
                "detail": short(detail),
            })),
        }
    }
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}
