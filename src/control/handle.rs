//! How others speak to control: a bounded inbox, each question with its answer.

use std::fmt;

use tokio::sync::{mpsc, oneshot};

use super::deploy::{DeployError, DeployOrder};
use super::drain::DrainOrder;
use super::hold::HoldOrder;
use super::report::{DrainStatus, ServiceStatus, Status};
use super::store::By;
use crate::config::spec::Spec;
use crate::domain::container::Sighting;
use crate::domain::{ServiceName, VersionName, Weight};

/// Messages that control has not looked at yet; senders wait beyond that.
const INBOX: usize = 1024;

/// What control is told or asked.
#[derive(Debug)]
pub enum Message {
    /// What is wanted now, already checked. `Err`: someone wanted something that can't be read; shown in status.
    /// Whoever asked for it goes into the audit; nobody did when the file changed.
    Desired(Result<Box<Spec>, String>, Option<By>, oneshot::Sender<Result<Reloaded, ReloadError>>),
    /// An operator's command.
    Command(Command, oneshot::Sender<Result<ServiceStatus, CommandError>>),
    /// An operator wants a version released.
    Deploy(ServiceName, By, Box<DeployOrder>, oneshot::Sender<Result<ServiceStatus, DeployError>>),
    /// An operator's word that a service's requests wait, or go on.
    Hold(HoldOrder, oneshot::Sender<Result<ServiceStatus, CommandError>>),
    /// An operator's word that an endpoint gets nothing new, or gets it again; or how that stands.
    Drain(DrainOrder, oneshot::Sender<Result<DrainStatus, CommandError>>),
    /// What the container engine says.
    Sighted(Box<Sighting>),
    /// How things stand.
    Status(oneshot::Sender<Status>),
}

/// An operator's command, as it goes into the audit.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Which service.
    pub service: ServiceName,
    /// What to do.
    pub verb: Verb,
    /// Who says so.
    pub who: String,
    /// Why, if said.
    pub why: Option<String>,
}

/// What an operator can tell a rollout to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Leave the current step now, unjudged.
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
    /// Try the aborted version again; `None`: the one that `release` names.
    Retry(Option<VersionName>),
    /// Go back after a promotion; `None`: to the version that was stable before.
    Undo(Option<VersionName>),
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promote => f.write_str("promote"),
            Self::PromoteFull => f.write_str("promote --full"),
            Self::Abort => f.write_str("abort"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::SetWeight(weight) => write!(f, "set-weight {weight}"),
            Self::Retry(None) => f.write_str("retry"),
            Self::Retry(Some(version)) => write!(f, "retry --version {version}"),
            Self::Undo(None) => f.write_str("undo"),
            Self::Undo(Some(version)) => write!(f, "undo --to {version}"),
        }
    }
}

/// A reload that took effect.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reloaded {
    /// The snapshot that has it.
    pub generation: u64,
    /// What follows from it and could not be done yet, in words: a rollout whose start can't be saved.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A reload that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadError {
    /// The config is not valid; the text shows all that is wrong.
    Invalid(String),
    /// The config is valid but asks for what a reload can't do; the text says what and what to do.
    Refused(String),
    /// Control has stopped.
    Stopped,
}

/// A command that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No such service. The text lists the known ones.
    UnknownService(String),
    /// The service has no such version. The text says what it has and what to do.
    UnknownVersion(String),
    /// No such endpoint. The text lists the known ones.
    UnknownEndpoint(String),
    /// Several containers may be meant. The text lists them.
    AmbiguousEndpoint(String),
    /// The state does not allow it: what, and what to do instead.
    Conflict(String),
    /// It was done, but could not be saved (or was not done because it could not be).
    NotSaved(String),
    /// Control has stopped.
    Stopped,
}

/// The sending side of control's inbox. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    reloads: mpsc::Sender<ReloadRequest>,
}

/// Someone wants the config read again, and waits for the answer.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who wants it, and why.
    pub by: By,
    /// For the answer.
    pub reply: oneshot::Sender<Result<Reloaded, ReloadError>>,
}

/// The receiving side, for control itself.
pub type Inbox = mpsc::Receiver<Message>;

impl Handle {
    /// A new inbox: the sending side, control's side, and the side of whoever reads the config.
    pub fn new() -> (Self, Inbox, mpsc::Receiver<ReloadRequest>) {
        let (inbox, receiver) = mpsc::channel(INBOX);
        let (reloads, requests) = mpsc::channel(INBOX);
        (Self { inbox, reloads }, receiver, requests)
    }

    /// How things stand; `None` when control has stopped.
    pub async fn status(&self) -> Option<Status> {
        self.ask(Message::Status).await
    }

    /// Gives a command and waits until it took effect.
    ///
    /// # Errors
    /// When it changed nothing, with the reason.
    pub async fn command(&self, command: Command) -> Result<ServiceStatus, CommandError> {
        self.ask(|reply| Message::Command(command, reply)).await.unwrap_or(Err(CommandError::Stopped))
    }

    /// Has a version released and waits until its rollout began.
    ///
    /// # Errors
    /// When it changed nothing, with the reason.
    pub async fn deploy(
        &self,
        service: ServiceName,
        by: By,
        order: DeployOrder,
    ) -> Result<ServiceStatus, DeployError> {
        let answer = self.ask(|reply| Message::Deploy(service, by, Box::new(order), reply)).await;
        answer.unwrap_or(Err(DeployError::Refused(CommandError::Stopped)))
    }

    /// Has a service's requests wait, or go on.
    ///
    /// # Errors
    /// When it changed nothing, with the reason.
    pub async fn hold(&self, order: HoldOrder) -> Result<ServiceStatus, CommandError> {
        self.ask(|reply| Message::Hold(order, reply)).await.unwrap_or(Err(CommandError::Stopped))
    }

    /// Takes an endpoint out of use, or back into it, or asks how far that is.
    ///
    /// # Errors
    /// When it changed nothing, with the reason.
    pub async fn drain(&self, order: DrainOrder) -> Result<DrainStatus, CommandError> {
        self.ask(|reply| Message::Drain(order, reply)).await.unwrap_or(Err(CommandError::Stopped))
    }

    /// Says what is wanted and waits until it is applied.
    ///
    /// # Errors
    /// When it changed nothing, with the reason.
    pub async fn desire(&self, spec: Result<Spec, String>, by: Option<By>) -> Result<Reloaded, ReloadError> {
        let spec = spec.map(Box::new);
        self.ask(|reply| Message::Desired(spec, by, reply)).await.unwrap_or(Err(ReloadError::Stopped))
    }

    /// Has the config read again and waits until it is applied.
    ///
    /// # Errors
    /// When it changed nothing, with the reason.
    pub async fn reload(&self, by: By) -> Result<Reloaded, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.reloads.send(ReloadRequest { by, reply }).await.map_err(|_| ReloadError::Stopped)?;
        answer.await.unwrap_or(Err(ReloadError::Stopped))
    }

    /// Passes on what the container engine says; `false` when control has stopped.
    pub async fn sighted(&self, sighting: Sighting) -> bool {
        self.inbox.send(Message::Sighted(Box::new(sighting))).await.is_ok()
    }

    async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Message) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(question(reply)).await.ok()?;
        answer.await.ok()
    }
}
