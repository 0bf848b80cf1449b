//! One connection that carries many requests: opened, kept alive, given up.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::Request;

use super::super::connect::Socket;
use super::super::pool::AGE;
use super::super::socket::{EndpointSocket, Line};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::AttemptError;

/// What may be under way of one answer's body.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Streams on one session, however many the endpoint allows.
pub(super) const STREAMS: usize = 128;
/// All windows together: clients who take nothing of their answers, however many, hold up nobody else's.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 128;
/// What small frames that nobody has taken yet may lack together, each to 256 bytes: a connection that exceeds it is ended, with all
/// its streams. Room for 280,000 of 20 bytes, which is many clients that take nothing of their answers.
const FRAME_BUDGET: usize = 64 * 1024 * 1024;
/// The largest head of an answer, fields counted as RFC 9113 section 6.5.2 says.
const HEADER_LIST: u32 = 64 * 1024;
/// What is buffered of one request's body.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that we may end because the endpoint broke the protocol on them, before the session ends.
const LOCAL_RESETS: usize = 256;
/// What we said was met by silence for so long: a ping asks whether anybody is there. Not more often: servers of gRPC
/// close a connection on the third ping in five minutes without an answer of theirs in between.
const SILENCE: Duration = Duration::from_secs(20);
/// Below the 75 s of nginx.
const IDLE: Duration = Duration::from_secs(60);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that carries many requests. When it is dropped, it ends.
pub(super) struct Session {
    sender: RefCell<SendRequest<Bytes>>,
    clock: Clock,
    line: Rc<Line>,
    fate: Rc<Fate>,
    dies: Timestamp,
    /// Requests that it carries now.
    streams: Cell<usize>,
    /// When the last one ended.
    rests: Cell<Timestamp>,
    /// A request on it was met by silence: it gets no other.
    doubted: Cell<bool>,
}

/// What a session and its driver know of each other.
#[derive(Default)]
struct Fate {
    /// Whoever drives it shall say farewell.
    left: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

/// Moves bytes between a session's streams and its socket.
struct Driver {
    connection: Connection<EndpointSocket, Bytes>,
    pings: Option<PingPong>,
    state: State,
    alarm: Alarm,
    clock: Clock,
    line: Rc<Line>,
    /// How often anything had been heard when we looked.
    heard: u64,
    fate: Rc<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Listening,
    /// A ping is on its way.
    Asked,
    Leaving,
}

impl Session {
    /// Begins one on a socket, and waits until the endpoint has shown by its settings that it speaks HTTP/2, and on how many streams:
    /// a request that is sent before may be one too many.
    pub(super) async fn on(socket: Socket, clock: &Clock) -> Result<Self, AttemptError> {
        let Socket { io, line, spoken: _ } = socket;
        let broken = |error: h2::Error| broken(&line, &error);
        let (sender, mut connection) = builder().handshake::<_, Bytes>(io).await.map_err(broken)?;
        std::future::poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(AttemptError::Terminated)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(broken(error))),
            Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let fate = Rc::<Fate>::default();
        let driver = Driver {
            pings: connection.ping_pong(),
            connection,
            state: State::Listening,
            alarm: Alarm::new(clock.clone()),
            clock: clock.clone(),
            heard: line.heard.get(),
            line: line.clone(),
            fate: fate.clone(),
        };
        tokio::task::spawn_local(driver);
        let now = clock.now();
        Ok(Self {
            sender: RefCell::new(sender),
            clock: clock.clone(),
            line,
            fate,
            dies: now + AGE.mul_f64(0.9 + 0.2 * fastrand::f64()),
            streams: Cell::new(0),
            rests: Cell::new(now),
            doubted: Cell::new(false),
        })
    }

    /// How many more requests it takes now.
    pub(super) fn room(&self) -> usize {
        self.limit().saturating_sub(self.streams.get())
    }

    /// How many requests it carries at once.
    pub(super) fn limit(&self) -> usize {
        self.sender.borrow().current_max_send_streams().min(STREAMS)
    }

    /// Whether another request may go on it: it did not say farewell (GOAWAY), is not dead, and not too old.
    pub(super) fn is_fit(&self, now: Timestamp) -> bool {
        now < self.dies && !self.doubted.get() && self.end().is_none()
    }

    /// Whether nobody has used it for long.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.streams.get() == 0 && now - self.rests.get() >= IDLE
    }

    /// Why no more requests can be sent on it.
    fn end(&self) -> Option<h2::Error> {
        let cx = &mut Context::from_waker(Waker::noop());
        match self.sender.borrow_mut().poll_ready(cx) {
            Poll::Ready(Err(error)) => Some(error),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }

    /// Whether the endpoint gave it up because it did not like how we behave. Most of what we do is what clients made
    /// us do, such as leaving.
    pub(super) fn is_scolded(&self) -> bool {
        self.end().is_some_and(|error| error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM))
    }

    pub(super) fn takes_one(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    pub(super) fn lets_one_go(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        self.rests.set(self.clock.now());
    }

    /// Sends a request's head.
    pub(super) fn send(
        &self,
        head: Request<()>,
        whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A clone of its own: what one request waits for is not for the next one to wait for.
        let mut sender = self.sender.borrow().clone();
        sender.send_request(head, whole)
    }

    /// How often anything was heard on it.
    pub(super) fn heard(&self) -> u64 {
        self.line.heard.get()
    }

    /// It may be dead: it gets no other request.
    pub(super) fn doubt(&self) {
        self.doubted.set(true);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.fate.left.set(true);
        if let Some(driver) = self.fate.driver.borrow_mut().take() {
            driver.wake();
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Its errors reach the requests that are under way; when none is, there is nobody to tell.
        if Pin::new(&mut this.connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        this.fate.driver.borrow_mut().replace(cx.waker().clone());
        this.look(cx);
        if this.alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if this.state != State::Listening {
            return Poll::Ready(());
        }
        this.state = State::Asked;
        this.alarm.set(this.clock.now() + SILENCE);
        if let Some(pings) = &mut this.pings {
            // An error: one is on its way already.
            let _on_its_way = pings.send_ping(Ping::opaque());
        }
        // The alarm must know whom to wake, and the ping must go out.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Driver {
    /// Sees whether anything was heard, and sets the alarm by that.
    fn look(&mut self, cx: &mut Context<'_>) {
        if self.state == State::Leaving {
            return;
        }
        if self.fate.left.get() {
            self.state = State::Leaving;
            self.alarm.set(self.clock.now() + FAREWELL);
            // The sender is gone now, which the connection sees when it is polled once more.
            cx.waker().wake_by_ref();
            return;
        }
        if let Some(pings) = &mut self.pings {
            // An answer to a ping counts by being heard.
            let _pong = pings.poll_pong(cx);
        }
        let heard = self.line.heard.get();
        if std::mem::replace(&mut self.heard, heard) != heard {
            self.state = State::Listening;
            self.alarm.clear();
        }
        if self.line.spoke.take() && !self.alarm.is_set() {
            self.alarm.set(self.clock.now() + SILENCE);
        }
    }
}

fn builder() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        // None before the endpoint has said how many: that is how we know that it has.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(FRAME_BUDGET)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(LOCAL_RESETS));
    builder
}

/// Why a connection did not come to life.
fn broken(line: &Line, error: &h2::Error) -> AttemptError {
    match line.tls.get() {
        Some(fault) => fault,
        None if error.is_library() => AttemptError::Malformed,
        None => AttemptError::Terminated,
    }
}
