//! Connections that wait for a request. Nobody watches them: what became of one is looked at when it is taken.

use std::cell::RefCell;

use super::Connection;
use crate::domain::Timestamp;
use crate::proxy::alarm::Alarm;

/// Connections kept per worker and endpoint.
const KEPT: usize = 256;

/// Connections that wait for a request: the last used first, never one that is known to be dead.
#[derive(Default)]
pub(in crate::proxy::endpoint) struct Waiting(RefCell<Vec<Idle>>);

struct Idle {
    connection: Connection,
    /// Kept with its timer, for the next request.
    alarm: Alarm,
    until: Timestamp,
}

impl Waiting {
    /// A connection that was used before and is fit for another request.
    pub(in crate::proxy::endpoint) fn take(&self, now: Timestamp) -> Option<(Connection, Alarm)> {
        let mut idle = self.0.borrow_mut();
        while let Some(mut candidate) = idle.pop() {
            if candidate.is_fit(now) {
                return Some((candidate.connection, candidate.alarm));
            }
        }
        None
    }

    /// Keeps a connection for the next request if it is fit for one: an answer that came before the request was
    /// whole leaves it unfit.
    pub(in crate::proxy::endpoint) fn put(&self, mut connection: Connection, alarm: Alarm, now: Timestamp) {
        if connection.rests() {
            self.keep(connection, alarm, now);
        }
    }

    /// Keeps one that is new.
    pub(in crate::proxy::endpoint) fn keep(&self, connection: Connection, mut alarm: Alarm, now: Timestamp) {
        let mut idle = self.0.borrow_mut();
        if idle.len() < KEPT {
            alarm.clear();
            let until = connection.rests_until(now);
            idle.push(Idle { connection, alarm, until });
        }
    }

    /// Closes connections that waited for too long, or that their endpoint has closed.
    pub(in crate::proxy::endpoint) fn reap(&self, now: Timestamp) {
        self.0.borrow_mut().retain_mut(|idle| idle.is_fit(now));
    }

    /// Closes all of them.
    pub(in crate::proxy::endpoint) fn close(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Idle {
    fn is_fit(&mut self, now: Timestamp) -> bool {
        now < self.until && self.connection.is_quiet()
    }
}
