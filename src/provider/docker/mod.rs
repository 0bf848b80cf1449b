//! A Docker Engine, watched: which containers ask to be served, and how they are.
//!
//! Only asks (GET); the one thing it ever does to a container is to restart it, when it is told to ([`Restart`]).

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::spec::DockerSpec;
use crate::domain::container::Sighting;

/// Someone wants a container restarted, and waits for the engine's answer.
#[derive(Debug)]
pub struct Restart {
    /// The container's id.
    pub container: String,
    /// `Err`: why it was not restarted, for people.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// Watches an engine for as long as it runs.
pub struct Docker {
    _clock: Clock,
}

impl Docker {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the engine's address is none that can be reached from here: what, where, what to do.
    pub fn new(_spec: &DockerSpec, clock: Clock) -> Result<Self, String> {
        Ok(Self { _clock: clock })
    }

    /// Tells `seen` how the containers stand whenever that changes: first when all of them are known, or when the engine
    /// can't be asked. A sighting that was not taken yet is replaced. Restarts what it is told to, one after the other.
    pub async fn run(self, _seen: watch::Sender<Option<Sighting>>, _restarts: mpsc::Receiver<Restart>) {
        std::future::pending().await
    }
}
