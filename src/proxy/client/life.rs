//! The life of a client's connection: what it is doing, for how long it may, and how it is told to end. No timer per
//! connection: the worker looks at all of them twice a second.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::net::TcpStream;

use super::stream::Stream;
use crate::domain::Timestamp;
use crate::domain::routing::Limits;

/// While draining: a head that is half there, and a goodbye that stays unanswered.
const DRAINING: Duration = Duration::from_secs(1);

/// What one connection's socket, requests and worker tell each other. All on one thread.
#[derive(Debug)]
pub(crate) struct Life {
    http2: Cell<bool>,
    tunnel: Cell<bool>,
    requests: Cell<u64>,
    open: Cell<u32>,
    head: Cell<bool>,
    /// How often anything came.
    heard: Cell<u64>,
    handshaking: Cell<bool>,
    unread: Cell<bool>,
    blocked: Cell<bool>,
    writes: Cell<u64>,
    patience: Cell<Duration>,
    limits: Arc<Limits>,
    /// What this connection's idle time and age are stretched by, so that clients which came together do not go together.
    stretch: f64,
    began: Timestamp,
    /// It ends with its next request.
    old: Cell<bool>,
    seen: Cell<Seen>,
    ending: Cell<Ending>,
    waker: RefCell<Option<Waker>>,
    left: RefCell<Option<TcpStream>>,
    streams: RefCell<Vec<Weak<Stream>>>,
    within: RefCell<Option<Rc<Stream>>>,
    /// Where it stands in its worker's list.
    pub(crate) place: Cell<usize>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// TLS is not agreed on yet.
    Handshake,
    /// Nothing came yet.
    Silent,
    /// A part of a request's head came.
    Head,
    /// Requests are being answered; they have limits of their own.
    Busy,
    /// The client does not take what it asked for.
    Blocked,
    /// Between two requests.
    Idle,
}

/// What the worker saw, and since when it has been so.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stage: Stage,
    count: u64,
    since: Timestamp,
}

/// Whether a connection has been told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// It goes on.
    Not,
    /// After the requests under way: `Connection: close`, GOAWAY.
    Gently,
    /// At once.
    Now,
}

impl Life {
    /// Of a connection that begins `now`. `chance`: uniform, 0 to 1.
    pub(crate) fn new(now: Timestamp, chance: f64, limits: Arc<Limits>) -> Self {
        Self {
            http2: Cell::new(false),
            tunnel: Cell::new(false),
            requests: Cell::new(0),
            open: Cell::new(0),
            head: Cell::new(false),
            heard: Cell::new(0),
            handshaking: Cell::new(false),
            unread: Cell::new(false),
            blocked: Cell::new(false),
            writes: Cell::new(0),
            patience: Cell::new(Duration::ZERO),
            limits,
            stretch: 0.9 + 0.2 * chance,
            began: now,
            old: Cell::new(false),
            seen: Cell::new(Seen { stage: Stage::Silent, count: 0, since: now }),
            ending: Cell::new(Ending::Not),
            waker: RefCell::new(None),
            left: RefCell::new(None),
            streams: RefCell::default(),
            within: RefCell::new(None),
            place: Cell::new(0),
        }
    }

    /// A TLS handshake is under way; what is exchanged in it is no request's.
    pub(crate) fn handshake_began(&self) {
        self.handshaking.set(true);
        // It has been under way since the connection began.
        self.seen.set(Seen { stage: Stage::Handshake, count: 0, since: self.seen.get().since });
    }

    pub(crate) fn handshake_ended(&self) {
        self.handshaking.set(false);
    }

    pub(crate) fn speaks_http2(&self) {
        self.http2.set(true);
    }

    /// From now on it carries another protocol, which has rules of its own.
    pub(crate) fn is_a_tunnel(&self) {
        self.tunnel.set(true);
    }

    /// What its client may take.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn request_began(&self) {
        self.requests.set(self.requests.get() + 1);
        self.open.set(self.open.get() + 1);
        self.head.set(false);
        if self.old.get() || self.requests.get() >= self.limits.requests {
            self.end(Ending::Gently);
        }
    }

    pub(crate) fn request_ended(&self) {
        self.open.set(self.open.get() - 1);
    }

    /// A request was answered before its body was read: the socket must linger, or its reset could overtake the answer.
    pub(crate) fn body_left_unread(&self) {
        self.unread.set(true);
    }

    /// How long the client may take nothing of a response: the longest that any of its requests allows.
    pub(crate) fn allow_pauses_of(&self, patience: Duration) {
        self.patience.set(self.patience.get().max(patience));
    }

    pub(crate) fn received(&self) {
        self.heard.set(self.heard.get().wrapping_add(1));
        if self.open.get() == 0 {
            self.head.set(true);
        }
    }

    /// How often anything has come.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// Bytes for the client were given to the system, or it takes none now.
    pub(crate) fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.write_blocked(),
            Poll::Ready(Ok(_)) => self.write_went_on(),
            Poll::Ready(Err(_)) => {}
        }
    }

    pub(crate) fn write_blocked(&self) {
        self.blocked.set(true);
    }

    pub(crate) fn write_went_on(&self) {
        self.blocked.set(false);
        self.writes.set(self.writes.get() + 1);
    }

    /// Keeps the stream for [`Self::take_left`] when it has to linger; closes it otherwise.
    pub(crate) fn leave(&self, stream: TcpStream) {
        if self.unread.get() && self.ending.get() != Ending::Now {
            *self.left.borrow_mut() = Some(stream);
        }
    }

    pub(crate) fn take_left(&self) -> Option<TcpStream> {
        self.left.borrow_mut().take()
    }

    /// Who is to be woken when the connection is told to end: its task.
    pub(crate) fn on_ending(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// Tells the connection to end, at least as hard as it was told before.
    pub(crate) fn end(&self, how: Ending) {
        if how > self.ending.get() {
            self.ending.set(how);
            self.wake();
        }
    }

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// A stream of this connection, to be looked after as long as it lives.
    pub(crate) fn adopt(&self, stream: &Rc<Stream>) {
        let mut streams = self.streams.borrow_mut();
        if streams.len() == streams.capacity() {
            // Those that have ended make room for new ones, not only when the worker looks: it need not be new memory.
            streams.retain(|stream| stream.strong_count() > 0);
            let living = streams.len();
            streams.reserve(living);
        }
        streams.push(Rc::downgrade(stream));
    }

    /// Says which stream's task runs now.
    pub(crate) fn within(&self, stream: Option<Rc<Stream>>) {
        *self.within.borrow_mut() = stream;
    }

    /// The stream whose task runs now.
    pub(crate) fn stream(&self) -> Option<Rc<Stream>> {
        self.within.borrow().clone()
    }

    /// Looks at the connection and ends it when it has been doing the same for too long.
    pub(crate) fn look(&self, now: Timestamp) {
        self.look_at_streams(now);
        let (stage, count) = self.stage();
        let mut seen = self.seen.get();
        if (seen.stage, seen.count) != (stage, count) {
            seen = Seen { stage, count, since: now };
            self.seen.set(seen);
        }
        self.look_at_age(now);
        let Some(limit) = self.limit(stage) else { return };
        if now - seen.since < limit {
            return;
        }
        // An idle one is bidden farewell first, so that its client learns of it.
        let bid = stage == Stage::Idle && self.ending.get() == Ending::Not;
        self.end(if bid { Ending::Gently } else { Ending::Now });
    }

    /// HTTP/2 can be told at any time. A client of HTTP/1.1 learns it with an answer: between two requests it may be
    /// sending one.
    fn look_at_age(&self, now: Timestamp) {
        if !self.old.get() && now - self.began >= self.limits.age.mul_f64(self.stretch) {
            self.old.set(true);
            if self.http2.get() {
                self.end(Ending::Gently);
            }
        }
    }

    fn look_at_streams(&self, now: Timestamp) {
        let patience = self.patience.get().max(self.limits.head);
        self.streams.borrow_mut().retain(|stream| {
            let stream = stream.upgrade();
            stream.inspect(|stream| stream.look(now, patience)).is_some()
        });
    }

    fn stage(&self) -> (Stage, u64) {
        // Told to end or not are two stretches of time.
        let told = u64::from(self.ending.get() != Ending::Not);
        if self.tunnel.get() {
            (Stage::Busy, 0)
        } else if self.handshaking.get() {
            (Stage::Handshake, told)
        } else if self.blocked.get() {
            (Stage::Blocked, self.writes.get())
        } else if self.open.get() > 0 {
            (Stage::Busy, 0)
        } else if self.head.get() && !self.http2.get() {
            (Stage::Head, self.requests.get())
        } else if self.requests.get() == 0 && !self.http2.get() {
            (Stage::Silent, 0)
        } else {
            (Stage::Idle, self.requests.get() * 2 + told)
        }
    }

    fn limit(&self, stage: Stage) -> Option<Duration> {
        let draining = self.ending.get() != Ending::Not;
        match stage {
            Stage::Busy => None,
            Stage::Blocked => Some(self.patience.get().max(self.limits.head)),
            Stage::Handshake | Stage::Silent | Stage::Head | Stage::Idle if draining => Some(DRAINING),
            Stage::Handshake => Some(self.limits.tls_handshake),
            Stage::Silent => Some(self.limits.first_byte),
            Stage::Head => Some(self.limits.head),
            Stage::Idle => Some(self.limits.idle.mul_f64(self.stretch)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_silent_client_is_cut_after_five_seconds() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.look(after(4));
        assert_eq!(life.ending(), Ending::Not);
        life.look(after(5));
        assert_eq!(life.ending(), Ending::Now);
    }

    #[test]
    fn a_handshake_has_five_seconds_of_its_own_whatever_arrives() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.handshake_began();
        for second in 1..5 {
            life.wrote(&Poll::Pending);
            life.look(after(second));
            assert_eq!(life.ending(), Ending::Not, "after {second} s");
        }
        life.look(after(5));
        assert_eq!(life.ending(), Ending::Now);
    }

    #[test]
    fn after_a_handshake_a_client_has_all_of_its_time_for_a_request() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.handshake_began();
        life.look(after(0));
        life.handshake_ended();
        for second in [4, 8] {
            life.look(after(second));
            assert_eq!(life.ending(), Ending::Not, "after {second} s");
        }
        life.look(after(9));
        assert_eq!(life.ending(), Ending::Now);
    }

    #[test]
    fn a_trickled_head_is_cut_ten_seconds_after_its_first_byte() {
        let life = Life::new(after(0), 0.5, Arc::default());
        for second in 1..=10 {
            life.received();
            life.look(after(second));
            assert_eq!(life.ending(), Ending::Not, "after {second} s");
        }
        life.look(after(11));
        assert_eq!(life.ending(), Ending::Now);
    }

    #[test]
    fn a_request_under_way_has_no_limit_here() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.request_began();
        life.look(after(1));
        life.look(after(100_000));
        assert_eq!(life.ending(), Ending::Not);
    }

    #[test]
    fn an_idle_connection_is_bidden_farewell_and_then_cut() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.request_began();
        life.request_ended();
        life.look(after(1));
        life.look(after(75));
        assert_eq!(life.ending(), Ending::Not);
        life.look(after(76));
        assert_eq!(life.ending(), Ending::Gently);
        life.look(after(77));
        life.look(after(78));
        assert_eq!(life.ending(), Ending::Now);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_but_not_one_that_takes_little() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.request_began();
        life.allow_pauses_of(Duration::from_secs(60));
        for second in 1..200 {
            life.write_went_on();
            life.write_blocked();
            life.look(after(second));
        }
        assert_eq!(life.ending(), Ending::Not);
        life.look(after(258));
        assert_eq!(life.ending(), Ending::Not);
        life.look(after(260));
        assert_eq!(life.ending(), Ending::Now);
    }

    #[test]
    fn an_old_connection_ends_with_its_next_request() {
        let life = Life::new(after(0), 0.5, Arc::default());
        for second in (0..3600).step_by(60) {
            life.request_began();
            life.request_ended();
            life.look(after(second));
            assert_eq!(life.ending(), Ending::Not, "after {second} s");
        }
        life.look(after(3600));
        assert_eq!(life.ending(), Ending::Not, "its client may be sending a request");
        life.request_began();
        assert_eq!(life.ending(), Ending::Gently);
    }

    #[test]
    fn an_old_connection_of_http2_is_told_at_once() {
        let life = Life::new(after(0), 0.5, Arc::default());
        life.speaks_http2();
        life.request_began();
        life.look(after(3600));
        assert_eq!(life.ending(), Ending::Gently);
    }

    #[test]
    fn the_last_request_that_is_allowed_ends_the_connection() {
        let limits = Limits { requests: 2, ..Limits::default() };
        let life = Life::new(after(0), 0.5, Arc::new(limits));
        life.request_began();
        assert_eq!(life.ending(), Ending::Not);
        life.request_ended();
        life.request_began();
        assert_eq!(life.ending(), Ending::Gently);
    }
}
