//! A Docker Engine, watched: which containers ask to be served, and how they are.
//!
//! Only asks (GET); the one thing it ever does to a container is to restart it, when it is told to ([`Restart`]). An engine
//! that is silent, broken or gone changes nothing but what is said of the engine itself.
//!
//! - `watch`: sessions with the engine, one after the other, and the waits between them
//! - `session`: the events, a full list now and then, and a look at whatever needs one
//! - `known`, `looks`, `event`, `container`, `site`: what was learned and what it means; pure
//! - `client`, `transport`, `address`: the calls, and how they get there

mod address;
mod client;
mod container;
mod event;
mod inspect;
mod known;
mod looks;
mod restart;
mod session;
mod site;
mod transport;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::address::Address;
use self::watch::Watch;
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
    address: Address,
    relist: Duration,
    clock: Clock,
    events: Arc<AtomicU64>,
}

impl Docker {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the engine's address is none that can be reached from here: what, where, what to do.
    pub fn new(spec: &DockerSpec, clock: Clock) -> Result<Self, String> {
        let address = Address::find(spec.endpoint.as_deref())?;
        Ok(Self { address, relist: spec.relist, clock, events: Arc::default() })
    }

    /// Counts the events that were heard.
    pub fn events(&self) -> Arc<AtomicU64> {
        self.events.clone()
    }

    /// Tells `seen` how the containers stand whenever that changes: first when all of them are known, or when the engine
    /// can't be asked. A sighting that was not taken yet is replaced. Restarts what it is told to, one after the other.
    pub async fn run(
        self,
        seen: tokio::sync::watch::Sender<Option<Sighting>>,
        restarts: mpsc::Receiver<Restart>,
    ) {
        let Self { address, relist, clock, events } = self;
        let restarting = restart::serve(address.clone(), clock.clone(), restarts);
        let watching = Watch::new(address, clock, relist, events, seen).run();
        tokio::join!(watching, restarting);
    }
}
