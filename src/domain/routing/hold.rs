//! A service whose requests wait. Workers count who waits; control shows it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A hold: from the operator's command until its release. Every request that comes in between waits.
#[derive(Debug)]
pub struct Hold {
    /// How requests wait.
    pub terms: HoldTerms,
    waiting: AtomicU32,
}

/// How requests wait while their service is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// The longest that one waits. Default 30 s.
    pub max_wait: Duration,
    /// How many may wait at once, over all workers. Default 1000.
    pub max_waiting: u32,
}

impl Hold {
    /// Nobody waits yet.
    pub fn new(terms: HoldTerms) -> Self {
        Self { terms, waiting: AtomicU32::new(0) }
    }

    /// Takes a place among those who wait; `false` when all are taken. Whoever has one must [`Self::leave`] it.
    #[must_use = "`false` says that there is no place"]
    pub fn enter(&self) -> bool {
        let more = |waiting: u32| (waiting < self.terms.max_waiting).then(|| waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives the place back.
    pub fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many wait now.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Default for HoldTerms {
    fn default() -> Self {
        Self { max_wait: Duration::from_secs(30), max_waiting: 1000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_may_and_a_place_that_was_left_is_free() {
        let hold = Hold::new(HoldTerms { max_waiting: 2, ..HoldTerms::default() });
        assert!(hold.enter() && hold.enter() && !hold.enter());
        assert_eq!(hold.waiting(), 2);
        hold.leave();
        assert!(hold.enter() && !hold.enter());
    }
}
