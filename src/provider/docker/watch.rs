//! The watch over an engine that comes and goes: sessions with it, one after the other, and the waits between them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::address::Address;
use super::client::CallError;
use super::inspect::Images;
use super::known::Known;
use super::session::{self, End};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::container::{Engine, Sighting, Site};

/// The wait before the first new attempt; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait for a socket of this machine: to try one costs next to nothing, and an engine that is back gives
/// addresses away again before it is heard.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for an engine elsewhere.
const LONGEST_WAIT_AFAR: Duration = Duration::from_secs(15);
/// A session that lasted this long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);

/// What outlives a session.
pub(super) struct Watch {
    pub(super) address: Address,
    pub(super) clock: Clock,
    pub(super) relist: Duration,
    /// How many events were heard.
    pub(super) events: Arc<AtomicU64>,
    pub(super) known: Known,
    pub(super) images: Images,
    pub(super) site: Site,
    engine: Engine,
    is_known: bool,
    seen: watch::Sender<Option<Sighting>>,
}

impl Watch {
    pub(super) fn new(
        address: Address,
        clock: Clock,
        relist: Duration,
        events: Arc<AtomicU64>,
        seen: watch::Sender<Option<Sighting>>,
    ) -> Self {
        Self {
            engine: Engine::Lost { since: clock.now(), why: "it has not answered yet".to_owned() },
            address,
            clock,
            relist,
            events,
            known: Known::default(),
            images: Images::default(),
            site: Site::Host,
            is_known: false,
            seen,
        }
    }

    /// Watches for ever: an engine may come back after any time.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        let longest = match &self.address {
            Address::Unix(_) => LONGEST_WAIT,
            Address::Tcp(_) => LONGEST_WAIT_AFAR,
        };
        loop {
            let began = self.clock.now();
            match session::hold(&mut self).await {
                // Whether the engine is there still, the next attempt tells, within moments.
                End::Quiet(why) => info!(engine = %self.address, why, "asking the container engine anew"),
                End::Failed(error) => self.lost(&error),
            }
            let now = self.clock.now();
            if now - began >= GOOD {
                wait = FIRST_WAIT;
            }
            self.clock.sleep_until(now + jittered(wait)).await;
            wait = (wait * 2).min(longest);
        }
    }

    /// The engine answers, and its containers are known.
    pub(super) fn connected(&mut self, version: &str) {
        let engine = Engine::Connected { version: version.to_owned() };
        if self.engine != engine {
            let containers = self.known.len();
            info!(engine = %self.address, version, containers, "watching the container engine");
        }
        self.engine = engine;
        self.is_known = true;
        self.tell();
    }

    /// Tells how things stand. What was told before and not taken is replaced.
    pub(super) fn tell(&self) {
        let containers = self.known.containers();
        let sighting = Sighting { engine: self.engine.clone(), site: self.site.clone(), containers };
        self.seen.send_replace(Some(sighting));
    }

    /// Whether the containers were ever known completely.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    fn lost(&mut self, error: &CallError) {
        let why = error.to_string();
        let since = self.lost_since();
        let engine = Engine::Lost { since, why };
        if self.engine != engine {
            let why = error.to_string();
            warn!(engine = %self.address, why, "the container engine can't be asked; its containers stay as they were seen last");
        }
        self.engine = engine;
        self.tell();
    }

    fn lost_since(&self) -> Timestamp {
        match &self.engine {
            Engine::Lost { since, .. } => *since,
            Engine::Connected { .. } => self.clock.now(),
        }
    }
}

/// A fifth more or less, so that many who lost the same engine don't come back at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.8 + 0.4 * fastrand::f64())
}
