//! A connection's socket and what was read from it, shared by the connection and the body of the request under way. Both are
//! on one thread: whoever is polled has it for that moment.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::outbox::Outbox;
use crate::proxy::client::body::BrokenBody;
use crate::proxy::client::life::Life;
use crate::proxy::client::socket::{ClientSocket, poll_read_by};
use crate::proxy::http1::body::Decoder;
use crate::proxy::http1::request::{RequestHead, read_request};
use crate::proxy::http1::{BadHead, Bounds, Framing};
use crate::proxy::worker::Worker;

/// Heads are read by so much, and no more than that of what comes too early.
const HEAD: usize = 16 * 1024;
/// Bodies are read by so much, once they turn out to be large.
const BODY: usize = 64 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub(super) struct Wire {
    worker: Rc<Worker>,
    life: Rc<Life>,
    state: RefCell<State>,
    /// Whether the connection's own task runs now: it sees by itself what changes.
    awake: Cell<bool>,
}

struct State {
    /// `None`: given away, or closed.
    socket: Option<ClientSocket>,
    /// What was read and belongs to nobody yet.
    input: BytesMut,
    /// So much of it was looked at for a head that is not whole.
    seen: usize,
    body: Incoming,
    /// Who waits for more of the body.
    reader: Option<Waker>,
}

/// What is to come of the request under way.
enum Incoming {
    /// Nothing: all of it was read, or none is under way.
    Whole,
    Body(Remaining),
    /// It broke, or nobody wants it: nothing that follows can be told from it.
    Broken,
}

struct Remaining {
    decoder: Decoder,
    /// What its client waits for before it sends the body, as far as it was not sent.
    interim: &'static [u8],
    is_wanted: bool,
    /// What is read at once.
    room: usize,
}

impl Wire {
    pub(super) fn new(worker: Rc<Worker>, life: Rc<Life>, mut socket: ClientSocket) -> Rc<Self> {
        let input = socket.take_ahead();
        let (body, reader) = (Incoming::Whole, None);
        let state = RefCell::new(State { socket: Some(socket), input, seen: 0, body, reader });
        Rc::new(Self { worker, life, state, awake: Cell::new(false) })
    }

    /// Reads the next head. `None`: the client has left.
    pub(super) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        bounds: Bounds,
    ) -> Poll<Option<Result<RequestHead, BadHead>>> {
        let state = &mut *self.state.borrow_mut();
        loop {
            if !state.input.is_empty() {
                self.life.received();
                if let Some(head) = read_request(&mut state.input, &mut state.seen, bounds).transpose() {
                    state.release();
                    return Poll::Ready(Some(head));
                }
            }
            if ready!(state.poll_read(cx, &self.worker)) == 0 {
                return Poll::Ready(None);
            }
        }
    }

    /// Whether nothing of a next request has come.
    pub(super) fn is_silent(&self) -> bool {
        self.state.borrow().input.is_empty()
    }

    /// A request's head was taken off; this follows.
    pub(super) fn begin_body(&self, framing: Framing, bounds: Bounds, expects_continue: bool) {
        let interim = if expects_continue { CONTINUE } else { b"" };
        let decoder = Decoder::new(framing, bounds);
        self.state.borrow_mut().body =
            Incoming::Body(Remaining { decoder, interim, is_wanted: true, room: HEAD });
    }

    /// The next piece of the body.
    pub(super) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let state = &mut *self.state.borrow_mut();
        let polled = state.poll_body(cx);
        match &polled {
            Poll::Ready(_) if !matches!(state.body, Incoming::Body(_)) => self.wake(),
            Poll::Ready(_) => {}
            Poll::Pending => state.note_reader(cx.waker()),
        }
        polled
    }

    /// Whether all of the request was read.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state.borrow().body, Incoming::Whole)
    }

    /// Bytes of the body that are to come, if that is known.
    pub(super) fn left_of_body(&self) -> Option<u64> {
        match &self.state.borrow().body {
            Incoming::Whole => Some(0),
            Incoming::Body(remaining) => remaining.decoder.left(),
            Incoming::Broken => None,
        }
    }

    /// Nobody wants the rest of the body.
    pub(super) fn leave_body(&self) {
        if let Incoming::Body(remaining) = &mut self.state.borrow_mut().body {
            remaining.is_wanted = false;
            self.wake();
        }
    }

    /// Whether the client has gone while its request is answered. A request that is not wholly read is another matter, and
    /// whoever sends the next one early is there: no more of that is read.
    pub(super) fn has_left(&self, cx: &mut Context<'_>) -> bool {
        let state = &mut *self.state.borrow_mut();
        matches!(state.body, Incoming::Whole)
            && state.input.is_empty()
            && matches!(state.poll_read(cx, &self.worker), Poll::Ready(0))
    }

    /// Whether another request could be read behind this one, as it looks now: not if its body was left. What is there of
    /// one is read and thrown away.
    pub(super) fn is_fit(&self, cx: &mut Context<'_>) -> bool {
        let state = &mut *self.state.borrow_mut();
        match &state.body {
            Incoming::Whole => true,
            Incoming::Body(remaining) if remaining.is_wanted => true,
            Incoming::Body(_) => state.drain(cx, &self.worker),
            Incoming::Broken => false,
        }
    }

    /// Ready when nobody reads the body any more: whether another request can be read behind it.
    pub(super) fn poll_fit(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &self.state.borrow().body {
            Incoming::Body(remaining) if remaining.is_wanted => return Poll::Pending,
            Incoming::Whole | Incoming::Body(_) | Incoming::Broken => {}
        }
        Poll::Ready(self.is_fit(cx))
    }

    /// An answer begins: whoever waited for a word before sending its body has it now. What must be sent first, because a
    /// part of it was.
    pub(super) fn end_interim(&self) -> &'static [u8] {
        match &mut self.state.borrow_mut().body {
            Incoming::Body(remaining) => {
                let rest = mem::take(&mut remaining.interim);
                if rest.len() < CONTINUE.len() { rest } else { b"" }
            }
            Incoming::Whole | Incoming::Broken => b"",
        }
    }

    /// Sends what is in the outbox.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        match &mut self.state.borrow_mut().socket {
            Some(socket) => outbox.poll_send(cx, socket),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Says that nothing more comes, where that is not the same as closing: TLS has a word for it, and what was not read would
    /// make a reset of the end.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        let is_read = state.input.is_empty() && matches!(state.body, Incoming::Whole);
        match &mut state.socket {
            Some(socket) if socket.is_encrypted() || !is_read => Pin::new(socket).poll_shutdown(cx),
            Some(_) | None => Poll::Ready(Ok(())),
        }
    }

    /// The socket, and what was read too much from it.
    pub(super) fn give_away(&self) -> Option<(ClientSocket, Bytes)> {
        let mut state = self.state.borrow_mut();
        let early = mem::take(&mut state.input).freeze();
        Some((state.socket.take()?, early))
    }

    /// The connection is over. Whoever still reads a body learns it.
    pub(super) fn close(&self) {
        let mut state = self.state.borrow_mut();
        let (socket, reader) = (state.socket.take(), state.reader.take());
        drop(state);
        drop(socket);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Runs a part of the connection's task.
    pub(super) fn awake<T>(&self, run: impl FnOnce() -> T) -> T {
        self.awake.set(true);
        let ran = run();
        self.awake.set(false);
        ran
    }

    /// The connection may have waited for this.
    fn wake(&self) {
        if !self.awake.get() {
            self.life.wake();
        }
    }
}

impl State {
    /// Reads what is there, by way of the worker's buffer: while nothing comes none is held. 0: the client has left.
    fn poll_read(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<usize> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(0) };
        let mut scratch = worker.scratch.borrow_mut();
        poll_read_by(Pin::new(socket), cx, &mut scratch[..HEAD], &mut self.input)
            .map(|read| read.unwrap_or(0))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if let (Incoming::Body(remaining), Some(socket)) = (&mut self.body, &mut self.socket)
            && !remaining.interim.is_empty()
        {
            remaining.invite(cx, socket);
        }
        loop {
            let remaining = match &mut self.body {
                Incoming::Body(remaining) => remaining,
                Incoming::Whole => return Poll::Ready(None),
                Incoming::Broken => return Poll::Ready(Some(Err(BrokenBody))),
            };
            let decoded = remaining.decoder.decode(&mut self.input);
            let is_done = remaining.decoder.is_done();
            match decoded {
                Ok(frame) if is_done => {
                    self.body = Incoming::Whole;
                    self.release();
                    return Poll::Ready(frame.map(Ok));
                }
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if ready!(self.poll_read_body(cx)) > 0 => {}
                Ok(None) | Err(_) => self.body = Incoming::Broken,
            }
        }
    }

    /// Reads more of a body to where it stays. 0: the client has left.
    fn poll_read_body(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let (Incoming::Body(remaining), Some(socket)) = (&mut self.body, &mut self.socket) else {
            return Poll::Ready(0);
        };
        let left = remaining.decoder.left().and_then(|left| usize::try_from(left).ok());
        self.input.reserve(left.map_or(remaining.room, |left| left.min(remaining.room)));
        let read = pin!(socket.read_buf(&mut self.input)).poll(cx).map(|read| read.unwrap_or(0));
        match read {
            Poll::Ready(read) if read >= remaining.room => remaining.room = BODY,
            Poll::Ready(_) => {}
            // A client may take its time; the end of a chunk may be here already.
            Poll::Pending => self.input = BytesMut::from(&self.input[..]),
        }
        read
    }

    /// Reads and throws away what is there of a body, once. Whether that was all of it.
    fn drain(&mut self, cx: &mut Context<'_>, worker: &Worker) -> bool {
        let mut has_read = false;
        while let Incoming::Body(remaining) = &mut self.body {
            let decoded = remaining.decoder.decode(&mut self.input);
            if remaining.decoder.is_done() {
                self.body = Incoming::Whole;
            } else if !matches!(decoded, Ok(Some(_)))
                && (mem::replace(&mut has_read, true)
                    || !matches!(self.poll_read(cx, worker), Poll::Ready(1..)))
            {
                self.body = Incoming::Broken;
            }
        }
        self.release();
        matches!(self.body, Incoming::Whole)
    }

    /// An empty buffer is not kept.
    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    fn note_reader(&mut self, waker: &Waker) {
        if !self.reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
    }
}

impl Remaining {
    /// Tells a client that waits for it to go on (RFC 9110 section 10.1.1).
    fn invite(&mut self, cx: &mut Context<'_>, socket: &mut ClientSocket) {
        if let Poll::Ready(Ok(sent)) = Pin::new(&mut *socket).poll_write(cx, self.interim) {
            self.interim = &self.interim[sent.min(self.interim.len())..];
        }
        // What TLS kept back goes with what comes next, at the latest.
        let _flushed = Pin::new(socket).poll_flush(cx);
    }
}
