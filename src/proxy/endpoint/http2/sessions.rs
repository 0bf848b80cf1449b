//! One worker's sessions with one endpoint: requests share them, and another one is opened when the streams of those
//! there are used up. Whoever finds no room waits for the session being opened, or for the end of another request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::super::connect::{Dial, in_time};
use super::session::{STREAMS, Session};
use super::stream::Stream;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::proxy::fault::AttemptError;

/// Sessions per worker and endpoint.
const SESSIONS: usize = 8;

/// The sessions with an endpoint.
pub(crate) struct Sessions {
    dial: Dial,
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
    failed: Cell<Option<AttemptError>>,
    ended: Cell<bool>,
    done: Notify,
}

/// One who waits for a session.
struct Waiter(Rc<Opening>);

impl Sessions {
    pub(crate) fn new(dial: Dial) -> Rc<Self> {
        Rc::new(Self {
            dial,
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

    /// A stream, as soon as there is room for one.
    pub(crate) async fn stream(
        self: &Rc<Self>,
        clock: &Clock,
        limit: Duration,
    ) -> Result<Stream, AttemptError> {
        let until = clock.now() + limit;
        loop {
            if let Some(stream) = self.take(clock.now()) {
                return Ok(stream);
            }
            let left = until - clock.now();
            match self.opening(clock, limit) {
                Some(opening) => in_time(opening.wait(), clock, left).await?,
                None => in_time(self.wait_for_room(), clock, left).await.map_err(|_| AttemptError::Busy)?,
            }
        }
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

    async fn wait_for_room(&self) -> Result<(), AttemptError> {
        self.room.notified().await;
        Ok(())
    }
}

/// Opens a session. It does so to its end whoever gives up on it, for the sake of those who wait and will come.
async fn open(sessions: Rc<Sessions>, opening: Rc<Opening>, clock: Clock, limit: Duration) {
    let opened = in_time(Session::open(&sessions.dial, &clock), &clock, limit).await;
    sessions.opening.borrow_mut().retain(|one| !Rc::ptr_eq(one, &opening));
    match opened {
        Ok(session) => {
            sessions.usual.set(session.limit());
            sessions.open.borrow_mut().push(Rc::new(session));
        }
        Err(error) => opening.failed.set(Some(error)),
    }
    opening.ended.set(true);
    opening.done.notify_waiters();
}

impl Waiter {
    fn new(opening: &Rc<Opening>) -> Self {
        opening.waiting.set(opening.waiting.get() + 1);
        Self(opening.clone())
    }

    async fn wait(self) -> Result<(), AttemptError> {
        if !self.0.ended.get() {
            self.0.done.notified().await;
        }
        self.0.failed.get().map_or(Ok(()), Err)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}
