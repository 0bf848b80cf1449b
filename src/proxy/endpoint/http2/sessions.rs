//! One worker's sessions with one endpoint: requests share them, and another one is opened when the streams of those
//! there are used up. Whoever finds no room waits for the session being opened, or for the end of another request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::sync::Notify;

use super::super::connect::{Dial, in_time};
use super::super::http1::{self, Waiting};
use super::session::{STREAMS, Session};
use super::stream::Stream;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::routing::Protocol;
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::AttemptError;

/// Sessions per worker and endpoint.
const SESSIONS: usize = 8;

/// The sessions with an endpoint.
pub(crate) struct Sessions {
    dial: Dial,
    /// Where a connection goes if the endpoint chooses HTTP/1.1.
    http1: Rc<Waiting>,
    open: RefCell<Vec<Rc<Session>>>,
    /// Those that are being opened.
    opening: RefCell<Vec<Rc<Opening>>>,
    /// How many streams the last one had.
    usual: Cell<usize>,
    /// Told when there may be room.
    room: Notify,
    retired: Cell<bool>,
}

/// A session in the making, and who waits for it.
#[derive(Default)]
struct Opening {
    waiting: Cell<usize>,
    /// `None`: it is not known yet.
    outcome: Cell<Option<Result<Opened, AttemptError>>>,
    done: Notify,
}

/// What came of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Http2,
    /// The endpoint had the choice, and chose HTTP/1.1.
    Http1,
}

/// One who waits for a session.
struct Waiter(Rc<Opening>);

impl Sessions {
    pub(crate) fn new(dial: Dial, http1: Rc<Waiting>) -> Rc<Self> {
        Rc::new(Self {
            dial,
            http1,
            open: RefCell::default(),
            opening: RefCell::default(),
            usual: Cell::new(STREAMS),
            room: Notify::new(),
            retired: Cell::new(false),
        })
    }

    /// A stream, if there is room for one now. The oldest session with room has it, so that what was opened for a rush
    /// can close after it.
    pub(crate) fn take(self: &Rc<Self>, now: Timestamp) -> Option<Stream> {
        let mut open = self.open.borrow_mut();
        open.retain(|session| session.is_fit(now));
        let session = open.iter().find(|session| session.room() > 0)?;
        Some(Stream::new(session.clone(), self.clone()))
    }

    /// A stream, as soon as there is room for one; `None` when the endpoint had the choice and chose HTTP/1.1.
    pub(crate) async fn stream(
        self: &Rc<Self>,
        clock: &Clock,
        limit: Duration,
    ) -> Result<Option<Stream>, AttemptError> {
        let until = clock.now() + limit;
        loop {
            if let Some(stream) = self.take(clock.now()) {
                return Ok(Some(stream));
            }
            let left = until - clock.now();
            match self.opening(clock, limit) {
                Some(opening) => {
                    if in_time(opening.wait(), clock, left).await? == Opened::Http1 {
                        return Ok(None);
                    }
                }
                None => in_time(self.wait_for_room(), clock, left).await.map_err(|_| AttemptError::Busy)?,
            }
        }
    }

    /// How requests name what they are sent over.
    pub(super) fn scheme(&self) -> Scheme {
        if self.dial.is_tls() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Closes sessions that nobody has used for long, and those that get no more requests.
    pub(crate) fn reap(&self, now: Timestamp) {
        self.open.borrow_mut().retain(|session| session.is_fit(now) && !session.is_idle(now));
    }

    /// Each closes with its last stream.
    pub(crate) fn close(&self) {
        self.retired.set(true);
        self.open.borrow_mut().clear();
    }

    /// A stream has ended.
    pub(super) fn has_room(&self) {
        self.room.notify_one();
        if self.retired.get() {
            self.open.borrow_mut().clear();
        }
    }

    /// A session in the making that has room for one more, as far as can be known; or a new one. `None`: there are
    /// enough of them.
    fn opening(self: &Rc<Self>, clock: &Clock, limit: Duration) -> Option<Waiter> {
        let usual = self.usual.get().max(1);
        let mut opening = self.opening.borrow_mut();
        if let Some(one) = opening.iter().find(|one| one.waiting.get() < usual) {
            return Some(Waiter::new(one));
        }
        if opening.len() + self.open.borrow().len() >= SESSIONS {
            // Each is as good as another: the last is the youngest.
            return opening.last().map(Waiter::new);
        }
        let new = Rc::<Opening>::default();
        opening.push(new.clone());
        let waiter = Waiter::new(&new);
        tokio::task::spawn_local(open(self.clone(), new, clock.clone(), limit));
        Some(waiter)
    }

    async fn connect(&self, clock: &Clock) -> Result<Opened, AttemptError> {
        let socket = self.dial.socket(None, &[]).await?;
        if socket.spoken == Protocol::Http1 {
            let connection = http1::Connection::on(socket, clock);
            self.http1.keep(connection, Alarm::new(clock.clone()), clock.now());
            return Ok(Opened::Http1);
        }
        let session = Session::on(socket, clock).await?;
        self.usual.set(session.limit());
        self.open.borrow_mut().push(Rc::new(session));
        Ok(Opened::Http2)
    }

    async fn wait_for_room(&self) -> Result<(), AttemptError> {
        self.room.notified().await;
        Ok(())
    }
}

/// Opens a session. It does so to its end whoever gives up on it, for the sake of those who wait and will come.
async fn open(sessions: Rc<Sessions>, opening: Rc<Opening>, clock: Clock, limit: Duration) {
    let opened = in_time(sessions.connect(&clock), &clock, limit).await;
    sessions.opening.borrow_mut().retain(|one| !Rc::ptr_eq(one, &opening));
    opening.outcome.set(Some(opened));
    opening.done.notify_waiters();
}

impl Waiter {
    fn new(opening: &Rc<Opening>) -> Self {
        opening.waiting.set(opening.waiting.get() + 1);
        Self(opening.clone())
    }

    async fn wait(self) -> Result<Opened, AttemptError> {
        loop {
            match self.0.outcome.get() {
                Some(outcome) => return outcome,
                None => self.0.done.notified().await,
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}
