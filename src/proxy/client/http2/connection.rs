//! A connection from its handshake to its end: requests taken in, streams polled, pings sent, farewells said.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::Reason;
use h2::server::{self, Handshake};
use http::{Request, Response};
use http_body::Body;
use tokio::task::coop;

use super::bell::Bell;
use super::body::RequestBody;
use super::exchange::Shared;
use super::heartbeat::Heartbeat;
use super::reply::Dates;
use super::streams::Streams;
use crate::proxy::client::life::Life;
use crate::proxy::client::socket::ClientSocket;
use crate::proxy::worker::Worker;

/// So often streams and socket take turns before other tasks of the worker do.
const ROUNDS: u32 = 8;

/// A connection, and how its requests are answered. Ready when it has ended, however.
pub(super) struct Connection<A, F, B> {
    phase: Phase,
    answer: A,
    streams: Streams<F, B>,
    bell: Arc<Bell>,
    /// The same bell, for those whom it is to be rung by.
    ringer: Waker,
    heartbeat: Option<Heartbeat>,
    leaving: bool,
    worker: Rc<Worker>,
    life: Rc<Life>,
}

#[allow(clippy::large_enum_variant, reason = "one per connection, and almost always the large one")]
enum Phase {
    Handshake(Handshake<ClientSocket, Bytes>),
    Serving(server::Connection<ClientSocket, Bytes>),
}

impl<A, F, B> Connection<A, F, B>
where
    A: FnMut(Request<RequestBody>) -> Pin<Box<F>> + Unpin,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(
        handshake: Handshake<ClientSocket, Bytes>,
        answer: A,
        worker: Rc<Worker>,
        life: Rc<Life>,
    ) -> Self {
        let bell = Arc::<Bell>::default();
        let shared = Shared { life: life.clone(), clock: worker.clock.clone(), dates: Dates::default() };
        Self {
            phase: Phase::Handshake(handshake),
            answer,
            streams: Streams::new(bell.clone(), Rc::new(shared)),
            ringer: bell.clone().into(),
            bell,
            heartbeat: None,
            leaving: false,
            worker,
            life,
        }
    }

    /// Tells the client that it should come again elsewhere: what it has asked and what is on its way is still answered.
    pub(super) fn bid_farewell(mut self: Pin<&mut Self>) {
        self.leaving = true;
        self.bell.call();
        if let Phase::Serving(connection) = &mut self.phase {
            connection.graceful_shutdown();
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Phase::Handshake(handshake) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let mut connection = ready!(Pin::new(handshake).poll(cx))?;
        self.heartbeat = Some(Heartbeat::new(connection.ping_pong(), self.worker.clock.clone(), &self.life));
        if self.leaving {
            connection.graceful_shutdown();
        }
        self.phase = Phase::Serving(connection);
        self.bell.call();
        Poll::Ready(Ok(()))
    }

    /// Streams first: `h2` calls for what they say to go out, which it does in one write when the socket is looked at. Then
    /// those that the socket brought.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(self.poll_handshake(cx)).is_err() {
            return Poll::Ready(());
        }
        for _ in 0..ROUNDS {
            self.streams.poll(&self.worker);
            if self.bell.take_call() && self.poll_socket(cx).is_ready() {
                return Poll::Ready(());
            }
            if !self.bell.has_rung() || !coop::has_budget_remaining() {
                break;
            }
        }
        Poll::Pending
    }

    /// Reads what has come, writes what is to go, and begins to answer new requests.
    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Serving(connection) = &mut self.phase else { return Poll::Pending };
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (parts, stream) = request.into_parts();
                    let body = RequestBody::new(stream, &parts.headers);
                    self.streams.push((self.answer)(Request::from_parts(parts, body)), respond);
                }
                // An error ends the connection; what it cost is in the records of the exchanges it broke.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => {
                    let heartbeat = self.heartbeat.as_mut();
                    let is_gone = heartbeat.is_some_and(|beat| beat.poll(cx, &self.life).is_ready());
                    if !is_gone {
                        return Poll::Pending;
                    }
                    connection.abrupt_shutdown(Reason::NO_ERROR);
                }
            }
        }
    }
}

impl<A, F, B> Future for Connection<A, F, B>
where
    A: FnMut(Request<RequestBody>) -> Pin<Box<F>> + Unpin,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.bell.attend(cx.waker());
        let ringer = this.ringer.clone();
        let polled = this.poll_all(&mut Context::from_waker(&ringer));
        this.bell.leave();
        polled
    }
}
