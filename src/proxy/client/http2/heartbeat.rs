//! Whether anybody is still there: a client that says nothing for long is asked (PING), and given up when it does not answer.

use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::proxy::alarm::Alarm;
use crate::proxy::client::life::Life;

/// A silence of so long is asked about; one of so long after that ends the connection.
const PING: Duration = Duration::from_secs(20);

pub(super) struct Heartbeat {
    pings: Option<PingPong>,
    alarm: Alarm,
    /// When the alarm is set to.
    due: Timestamp,
    clock: Clock,
    /// How often anything had come when we looked.
    heard: u64,
    asked: bool,
}

impl Heartbeat {
    pub(super) fn new(pings: Option<PingPong>, clock: Clock, life: &Life) -> Self {
        let (alarm, due) = (Alarm::new(clock.clone()), clock.now());
        let mut heartbeat = Self { pings, alarm, due, clock, heard: life.heard(), asked: false };
        heartbeat.wait_from(due);
        heartbeat
    }

    /// Asked after what has come was read. Ready when nobody is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, life: &Life) -> Poll<()> {
        if let Some(pings) = self.pings.as_mut().filter(|_| self.asked) {
            // An answer counts by being heard; taken here, so that another ping can follow.
            let _pong = pings.poll_pong(cx);
        }
        if self.heard != life.heard() {
            self.heard = life.heard();
            self.asked = false;
            self.wait_from(self.clock.now());
        }
        while self.alarm.poll(cx).is_ready() {
            let now = self.clock.now();
            // Where it was us who stood still, its answer may be here and unread.
            let stood_still = now - self.due >= PING;
            if self.asked && !stood_still {
                return Poll::Ready(());
            }
            self.asked = true;
            self.wait_from(now);
            if let Some(pings) = &mut self.pings {
                // An error: one is on its way already.
                let _on_its_way = pings.send_ping(Ping::opaque());
            }
        }
        Poll::Pending
    }

    fn wait_from(&mut self, now: Timestamp) {
        self.due = now + PING;
        self.alarm.set(self.due);
    }
}
