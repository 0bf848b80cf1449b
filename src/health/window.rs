//! How many of an endpoint's attempts failed within the last ten seconds, from counters that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Timestamp;

/// How far back the window looks.
pub(super) const LENGTH: Duration = Duration::from_secs(10);
/// How finely it forgets: ten buckets.
const BUCKET: Duration = Duration::from_secs(1);

/// What the counters showed at the beginning of each bucket. Bounded: a mark per bucket.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    marks: VecDeque<Mark>,
}

/// The counters at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) attempts: u64,
    pub(super) failures: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    at: Timestamp,
    totals: Totals,
}

impl Window {
    /// Nothing counted yet: the counters show `totals` now.
    pub(super) fn starting(now: Timestamp, totals: Totals) -> Self {
        Self { marks: VecDeque::from([Mark { at: now, totals }]) }
    }

    /// Takes in what the counters show now, and returns what they counted within the window. What was counted
    /// between two looks that are further apart than the window is left out: it may be older.
    pub(super) fn record(&mut self, now: Timestamp, totals: Totals) -> Totals {
        while self.marks.front().is_some_and(|mark| now - mark.at > LENGTH) {
            self.marks.pop_front();
        }
        let counted = self.marks.front().map_or_else(Totals::default, |mark| totals.since(mark.totals));
        if self.marks.back().is_none_or(|mark| now - mark.at >= BUCKET) {
            self.marks.push_back(Mark { at: now, totals });
        }
        counted
    }
}

impl Totals {
    /// What was counted since the counters showed `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_sub(earlier.attempts),
            failures: self.failures.saturating_sub(earlier.failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn totals(attempts: u64) -> Totals {
        Totals { attempts, failures: attempts / 2 }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut window = Window::starting(at(0), totals(0));
        assert_eq!(window.record(at(500), totals(10)), totals(10));
        for second in 1..=10 {
            assert_eq!(window.record(at(second * 1000), totals(10)), totals(10), "second {second}");
        }
        assert_eq!(window.record(at(11_001), totals(10)), totals(0));
    }

    #[test]
    fn what_was_counted_during_a_long_silence_is_left_out() {
        let mut window = Window::starting(at(0), totals(0));
        assert_eq!(window.record(at(60_000), totals(1_000)), totals(0));
        assert_eq!(window.record(at(60_100), totals(1_010)), totals(10));
    }

    #[test]
    fn looking_often_keeps_no_more_than_a_mark_per_bucket() {
        let mut window = Window::starting(at(0), totals(0));
        for look in 0..100_000 {
            window.record(at(look), totals(look));
        }
        assert!(window.marks.len() <= 11, "{} marks", window.marks.len());
    }
}
