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
    clock: Clock,
    /// How often anything had come when we looked, and when that was.
    heard: u64,
    since: Timestamp,
    asked: bool,
}

impl Heartbeat {
    pub(super) fn new(pings: Option<PingPong>, clock: Clock, life: &Life) -> Self {
        let since = clock.now();
        let mut alarm = Alarm::new(clock.clone());
        alarm.set(since + PING);
        Self { pings, alarm, clock, heard: life.heard(), since, asked: false }
    }

    /// Ready when nobody is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, life: &Life) -> Poll<()> {
        if let Some(pings) = self.pings.as_mut().filter(|_| self.asked) {
            // An answer counts by being heard; taken here, so that another ping can follow.
            let _pong = pings.poll_pong(cx);
        }
        if self.heard != life.heard() {
            self.heard = life.heard();
            self.since = self.clock.now();
            self.asked = false;
            self.alarm.set(self.since + PING);
        }
        while self.alarm.poll(cx).is_ready() {
            if self.asked {
                return Poll::Ready(());
            }
            self.asked = true;
            self.alarm.set(self.clock.now() + PING);
            if let Some(pings) = &mut self.pings {
                // An error: one is on its way already.
                let _on_its_way = pings.send_ping(Ping::opaque());
            }
        }
        Poll::Pending
    }
}
