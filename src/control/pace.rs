//! How fast stable answered in the last minutes, from the counters that every version has: looked at once a minute, so
//! that it is known from before a rollout.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::stats::{BUCKETS, PerWorker, VersionCells};
use crate::domain::{Timestamp, VersionName};

/// How long limits hold, and how much of stable's past they are made of.
pub(crate) const PACE_AGE: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two that are kept.
const MINUTE: Duration = Duration::from_secs(60);
/// One look at each minute of [`PACE_AGE`], and one at its beginning.
const LOOKS: usize = 6;
/// Fewer answers say nothing about a quantile.
const ENOUGH: u64 = 200;
/// With less traffic than that in [`PACE_AGE`], what came since the last full hour or the one before is looked at.
const HOUR: Duration = Duration::from_secs(3600);

/// Stable's times until the first byte, by bucket, as they were counted at some moments.
#[derive(Debug, Default)]
pub(crate) struct StableTimes {
    of: Option<VersionName>,
    looked: Timestamp,
    looks: VecDeque<Look>,
    hours: VecDeque<Look>,
    newest: Arc<[u64]>,
}

#[derive(Clone, Debug)]
struct Look {
    at: Timestamp,
    /// Shared while stable answers nothing.
    counts: Arc<[u64]>,
}

impl StableTimes {
    /// Whether it is time for a look.
    pub(crate) fn due(&self, now: Timestamp) -> bool {
        self.newest.is_empty() || now >= self.looked + LOOK
    }

    /// Reads the counters of the version that is stable. Another version begins anew.
    pub(crate) fn look(&mut self, stable: &VersionName, cells: &PerWorker<VersionCells>, now: Timestamp) {
        if self.of.as_ref() != Some(stable) {
            *self = Self { of: Some(stable.clone()), ..Self::default() };
        }
        self.looked = now;
        let counts = counts(cells);
        if *self.newest != *counts {
            self.newest = counts.into();
        }
        let look = Look { at: now, counts: self.newest.clone() };
        remember(&mut self.looks, &look, MINUTE, LOOKS);
        remember(&mut self.hours, &look, HOUR, 2);
    }

    /// What was counted in the last five minutes (or four, since a look is kept only each minute); in the last hour or two when that is too little; `None` when that is too.
    pub(crate) fn recent(&self, now: Timestamp) -> Option<Vec<u64>> {
        let recent = self.looks.iter().find(|look| now <= look.at + PACE_AGE);
        let since = |look: &Look| -> Option<Vec<u64>> {
            let counts = self.newest.iter().zip(&*look.counts).map(|(now, then)| now.saturating_sub(*then));
            Some(counts.collect()).filter(|counts: &Vec<u64>| counts.iter().sum::<u64>() >= ENOUGH)
        };
        recent.and_then(since).or_else(|| self.hours.front().and_then(since))
    }
}

/// Keeps a look if it is time for one, and the newest few.
fn remember(looks: &mut VecDeque<Look>, look: &Look, pause: Duration, most: usize) {
    if looks.back().is_some_and(|last| look.at < last.at + pause) {
        return;
    }
    if looks.len() == most {
        looks.pop_front();
    }
    looks.push_back(look.clone());
}

fn counts(cells: &PerWorker<VersionCells>) -> Vec<u64> {
    let mut counts = vec![0; BUCKETS];
    for times in cells.iter().filter_map(VersionCells::first_bytes) {
        counts.iter_mut().enumerate().for_each(|(bucket, count)| *count += times.bucket(bucket));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch(Duration::from_secs(1_000_000 + seconds))
    }

    fn total(times: &StableTimes, seconds: u64) -> Option<u64> {
        times.recent(at(seconds)).map(|counts| counts.iter().sum())
    }

    /// Looks every second while stable answers so many requests in each.
    fn after(per_second: &[u64]) -> StableTimes {
        let (cells, mut times) = (PerWorker::<VersionCells>::new(1), StableTimes::default());
        let stable = VersionName::from("v1");
        times.look(&stable, &cells, at(0));
        for (second, answers) in (1..).zip(per_second) {
            (0..*answers).for_each(|_| cells[0].answered(1000));
            times.look(&stable, &cells, at(second));
        }
        times
    }

    #[test]
    fn fewer_than_200_answers_say_nothing() {
        assert_eq!(total(&after(&[199]), 1), None);
        assert_eq!(total(&after(&[200]), 1), Some(200));
    }

    #[test]
    fn only_the_last_four_to_five_minutes_count_when_there_is_traffic() {
        let mut answers = vec![1000; 600];
        answers.extend([10; 301]);
        assert_eq!(total(&after(&answers), 901), Some(2410));
    }

    #[test]
    fn with_little_traffic_the_last_hours_count() {
        let mut answers = vec![0; 1000];
        answers[0] = 300;
        assert_eq!(total(&after(&answers), 1000), Some(300));
        answers.extend(vec![0; 2 * 3600]);
        assert_eq!(total(&after(&answers), 8200), None);
    }

    #[test]
    fn another_stable_begins_anew() {
        let mut times = after(&[500]);
        times.look(&VersionName::from("v2"), &PerWorker::new(1), at(2));
        assert_eq!(total(&times, 2), None);
    }
}
