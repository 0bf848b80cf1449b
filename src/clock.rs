//! The only place that reads a clock. `Real` follows the machine, `Manual` follows a test.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::domain::Timestamp;

/// Where the time comes from. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Wall time at start plus monotonic time since: never jumps back while the process lives.
    Real(Origin),
    /// Stands still until a test moves it.
    Manual(Arc<Manual>),
}

/// The moment the process began, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    wall: Timestamp,
    monotonic: Instant,
}

/// A clock that a test holds in its hand.
#[derive(Debug)]
pub struct Manual {
    now: watch::Sender<Timestamp>,
}

impl Clock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    pub fn real() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Real(Origin { wall: Timestamp::from_epoch(since_epoch), monotonic: Instant::now() })
    }

    /// A clock that stands at `start` until [`Manual::advance`] is called.
    pub fn manual(start: Timestamp) -> (Self, Arc<Manual>) {
        let manual = Arc::new(Manual { now: watch::Sender::new(start) });
        (Self::Manual(manual.clone()), manual)
    }

    /// The time now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    #[inline]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Real(origin) => origin.wall + Instant::now().saturating_duration_since(origin.monotonic),
            Self::Manual(manual) => *manual.now.borrow(),
        }
    }

    /// Returns once the clock shows `at` or later. Cancel-safe.
    pub async fn sleep_until(&self, at: Timestamp) {
        match self {
            Self::Real(_) => tokio::time::sleep(at - self.now()).await,
            Self::Manual(manual) => {
                let mut now = manual.now.subscribe();
                // An error means that the sender is gone, but `manual` holds it: it cannot happen.
                let _moved = now.wait_for(|now| *now >= at).await;
            }
        }
    }

    /// Like [`Self::sleep_until`]; `None` never returns.
    pub async fn sleep_until_any(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => self.sleep_until(at).await,
            None => pending().await,
        }
    }
}

impl Manual {
    /// Moves the clock forward and wakes whoever waited for a moment that has come.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = *now + by);
    }
}
