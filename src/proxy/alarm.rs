//! A deadline that moves with every step of progress and fires seldom.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::clock::Clock;
use crate::domain::Timestamp;

/// The timer behind it is made when first waited on and set again only when it fires too early, so that moving the
/// deadline costs a store. One alarm serves all requests of a connection.
pub(super) struct Alarm {
    clock: Clock,
    wanted: Option<Timestamp>,
    timer: Option<Timer>,
}

struct Timer {
    at: Timestamp,
    sleep: Pin<Box<dyn Future<Output = ()>>>,
}

impl Alarm {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, wanted: None, timer: None }
    }

    /// Fires at `at` and not before, whatever was set earlier.
    pub(super) fn set(&mut self, at: Timestamp) {
        self.wanted = Some(at);
    }

    /// Does not fire until set again.
    pub(super) fn clear(&mut self) {
        self.wanted = None;
    }

    pub(super) fn is_set(&self) -> bool {
        self.wanted.is_some()
    }

    /// Ready once, when the deadline has passed; it is cleared then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = self.wanted else { return Poll::Pending };
        loop {
            let early_enough = self.timer.take().filter(|timer| timer.at <= wanted);
            let timer = self.timer.insert(early_enough.unwrap_or_else(|| Timer::new(&self.clock, wanted)));
            ready!(timer.sleep.as_mut().poll(cx));
            let reached = timer.at >= wanted;
            self.timer = None;
            if reached {
                self.wanted = None;
                return Poll::Ready(());
            }
        }
    }
}

impl Timer {
    fn new(clock: &Clock, at: Timestamp) -> Self {
        let clock = clock.clone();
        Self { at, sleep: Box::pin(async move { clock.sleep_until(at).await }) }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_alarm_that_was_moved_fires_at_the_new_time_only() {
        let start = Timestamp::from_micros(1_000_000);
        let (clock, hand) = Clock::manual(start);
        let mut alarm = Alarm::new(clock);
        let cx = &mut Context::from_waker(Waker::noop());
        let second = Duration::from_secs(1);
        alarm.set(start + second);
        assert!(alarm.poll(cx).is_pending());
        alarm.set(start + second * 3);
        hand.advance(second * 2);
        assert!(alarm.poll(cx).is_pending(), "fired at the old time");
        hand.advance(second);
        assert!(alarm.poll(cx).is_ready());
        assert!(alarm.poll(cx).is_pending(), "fired twice");
    }

    #[test]
    fn an_alarm_can_be_moved_forward() {
        let start = Timestamp::from_micros(1_000_000);
        let (clock, hand) = Clock::manual(start);
        let mut alarm = Alarm::new(clock);
        let cx = &mut Context::from_waker(Waker::noop());
        alarm.set(start + Duration::from_secs(60));
        assert!(alarm.poll(cx).is_pending());
        alarm.set(start + Duration::from_secs(1));
        hand.advance(Duration::from_secs(1));
        assert!(alarm.poll(cx).is_ready());
    }
}
