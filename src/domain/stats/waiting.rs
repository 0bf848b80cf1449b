//! Requests that wait for their answers, by the second in which they began: how many have waited for too long is known
//! without a timer, a list or a lock. One worker writes, control reads.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::Timestamp;

/// One worker's requests of one arm that have no answer yet.
#[derive(Debug, Default)]
pub struct Waiting {
    seconds: [Second; SECONDS],
    /// Those that began before the seconds which are told apart.
    older: AtomicU32,
}

/// The requests that began in one second.
#[derive(Debug, Default)]
struct Second {
    began: AtomicU32,
    requests: AtomicU32,
}

/// So many seconds are told apart.
const SECONDS: usize = 32;
const SECOND: u64 = 1_000_000;

impl Waiting {
    /// A request that began at `began` waits from now on. To be called by the one worker that owns this.
    #[inline]
    pub fn enter(&self, began: Timestamp) {
        let (slot, second) = self.slot(began);
        if slot.began.load(Ordering::Relaxed) < second {
            add(&self.older, slot.requests.load(Ordering::Relaxed));
            slot.requests.store(0, Ordering::Release);
            slot.began.store(second, Ordering::Release);
        }
        add(self.place(slot, second), 1);
    }

    /// It waits no longer. Every request that entered leaves once. To be called by the same worker.
    #[inline]
    pub fn leave(&self, began: Timestamp) {
        let (slot, second) = self.slot(began);
        let place = self.place(slot, second);
        place.store(place.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Release);
    }

    /// How many have waited for more than `limit` microseconds at `now`; up to a second late. From any thread.
    pub fn longer_than(&self, limit: u64, now: Timestamp) -> u64 {
        let overdue = |second: u32| {
            let ended = (u64::from(second) + 1) * SECOND;
            ended.saturating_add(limit) <= now.as_micros()
        };
        // First, for requests move from the seconds to here: one that moves meanwhile is missed once, not seen twice.
        let older = u64::from(self.older.load(Ordering::Acquire));
        let seconds: u64 = self.seconds.iter().map(|slot| slot.read(overdue)).sum();
        let told_apart = u64::try_from(SECONDS).unwrap_or(u64::MAX) - 1;
        seconds + if limit < told_apart * SECOND { older } else { 0 }
    }

    fn slot(&self, began: Timestamp) -> (&Second, u32) {
        let second = began.as_micros() / SECOND;
        let index = usize::try_from(second).unwrap_or(0) % SECONDS;
        (&self.seconds[index], u32::try_from(second).unwrap_or(u32::MAX))
    }

    /// Where a request of this second is counted now.
    fn place<'a>(&'a self, slot: &'a Second, second: u32) -> &'a AtomicU32 {
        if slot.began.load(Ordering::Relaxed) == second { &slot.requests } else { &self.older }
    }
}

impl Second {
    fn read(&self, overdue: impl Fn(u32) -> bool) -> u64 {
        let began = self.began.load(Ordering::Acquire);
        let requests = self.requests.load(Ordering::Acquire);
        // Else the count may be of the second that took this one's place.
        let same = self.began.load(Ordering::Acquire) == began;
        if same && overdue(began) { u64::from(requests) } else { 0 }
    }
}

fn add(count: &AtomicU32, more: u32) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_request_is_overdue_once_its_whole_second_is() {
        let waiting = Waiting::default();
        waiting.enter(at(300));
        assert_eq!(waiting.longer_than(50_000, at(1049)), 0);
        assert_eq!(waiting.longer_than(50_000, at(1050)), 1);
        waiting.leave(at(300));
        assert_eq!(waiting.longer_than(50_000, at(9000)), 0);
    }

    #[test]
    fn a_request_older_than_the_seconds_told_apart_stays_overdue_until_it_leaves() {
        let waiting = Waiting::default();
        waiting.enter(at(0));
        waiting.enter(at(32_000));
        assert_eq!(waiting.longer_than(50_000, at(32_000)), 1);
        waiting.leave(at(0));
        assert_eq!(waiting.longer_than(50_000, at(32_000)), 0);
        assert_eq!(waiting.longer_than(50_000, at(33_050)), 1);
    }

    proptest! {
        #[test]
        fn none_is_lost_and_none_is_overdue_too_soon(
            waits in vec((0u64..500, any::<bool>()), 1..200), limit in 0u64..20_000,
        ) {
            let waiting = Waiting::default();
            let (mut now, mut left) = (0, Vec::new());
            for (pause, stays) in waits {
                now += pause;
                waiting.enter(at(now));
                if stays { left.push(now) } else { waiting.leave(at(now)) }
            }
            let overdue = waiting.longer_than(limit * 1000, at(now));
            let (surely, at_most) = left.iter().fold((0, 0), |(surely, at_most), began| (
                surely + u64::from(began + limit + 1000 <= now), at_most + u64::from(began + limit <= now),
            ));
            prop_assert!((surely..=at_most).contains(&overdue), "{overdue} not in {surely}..={at_most}");
            left.iter().for_each(|began| waiting.leave(at(*began)));
            prop_assert_eq!(waiting.longer_than(0, at(now + 100_000)), 0);
        }
    }
}
