//! A socket to an endpoint, with what was read ahead and what is still to be written.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::output::Output;
use super::upload::{Filled, Uploading, fill, framing};
use crate::proxy::endpoint::outbound::Outbound;
use crate::proxy::endpoint::socket::EndpointSocket;
use crate::proxy::fault::AttemptError;
use crate::proxy::http1::Bounds;
use crate::proxy::http1::response::{ResponseHead, read_response};
use crate::proxy::http1::write::request_head;

/// The largest head of an answer.
const HEAD: Bounds = Bounds { bytes: 64 * 1024, fields: 100 };
/// What is read at once as long as that is enough, and copied from the stack: between two reads nothing is held for it.
const SOME: usize = 16 * 1024;
/// What is read at once of a large body.
const MUCH: usize = 64 * 1024;

/// A socket, and what is on its way in and out.
pub(super) struct Wire {
    io: EndpointSocket,
    /// What was read and not looked at yet.
    pub(super) input: BytesMut,
    /// How much of it was looked at in search of a head.
    seen: usize,
    /// How much to read at once.
    appetite: usize,
    output: Output,
    uploading: Option<Uploading>,
    /// Whether anything came since the request began.
    pub(super) heard: bool,
    /// Whether the answer is here to its end and another request may follow.
    pub(super) rests: bool,
    /// What is written goes nowhere any more.
    broken: bool,
    /// The rest of the request will not come: its client has spoiled it.
    spoiled: bool,
    /// Who reads the answer while its request is still on its way.
    reader: Option<Waker>,
}

/// Why a request was not sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The connection takes no more.
    Broken,
    /// The client's body can't be passed on.
    Spoiled(AttemptError),
}

/// Why there is no head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Not a byte of the request was taken.
    NotSent,
    /// The client's body can't be passed on.
    Spoiled(AttemptError),
    /// The connection ended.
    Ended,
    /// What came is no answer.
    Malformed,
}

impl Wire {
    pub(super) fn new(io: EndpointSocket) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            seen: 0,
            appetite: SOME,
            output: Output::default(),
            uploading: None,
            heard: false,
            rests: false,
            broken: false,
            spoiled: false,
            reader: None,
        }
    }

    /// Makes a request ready to be written.
    pub(super) fn begin(&mut self, request: &Outbound) {
        let (head, body) = (&*request.parts, request.body());
        let framing = framing(head, &body);
        request_head(self.output.begin(), &head.method, &head.uri, request.fields(), framing);
        self.uploading = Uploading::new(body, framing, &head.headers);
        (self.heard, self.rests, self.seen, self.appetite) = (false, false, 0, SOME);
    }

    /// Writes what can be written, and waits for the head of the answer to what was `asked` meanwhile.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Method,
    ) -> Poll<Result<ResponseHead, Unanswered>> {
        let sent = self.poll_send(cx);
        if sent == Poll::Ready(Err(Unsent::Broken)) && !self.output.began {
            // An endpoint that turns us away in TLS says so before it closes.
            let _word = self.poll_read(cx);
            return Poll::Ready(Err(Unanswered::NotSent));
        }
        while let Some(head) = ready_or(self.poll_head(cx, asked))? {
            if is_final(head.parts.status) {
                return Poll::Ready(Ok(head));
            }
        }
        match sent {
            Poll::Ready(Err(Unsent::Spoiled(error))) => Poll::Ready(Err(Unanswered::Spoiled(error))),
            Poll::Ready(Ok(()) | Err(Unsent::Broken)) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, asked: &Method) -> Poll<Result<ResponseHead, Unanswered>> {
        loop {
            if !self.input.is_empty() {
                let head = read_response(&mut self.input, &mut self.seen, HEAD, asked);
                if let Some(head) = head.map_err(|_| Unanswered::Malformed)? {
                    return Poll::Ready(Ok(head));
                }
            }
            if ready!(self.poll_read(cx)).map_err(|_| Unanswered::Ended)? == 0 {
                return Poll::Ready(Err(Unanswered::Ended));
            }
        }
    }

    /// Writes what can be written of the request. Ready when that is all of it, or no more can be.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        if self.broken {
            return Poll::Ready(Err(Unsent::Broken));
        }
        while !self.is_sent() {
            let filled = match fill(&mut self.uploading, &mut self.output, cx) {
                Ok(filled) => filled,
                Err(error) => return Poll::Ready(Err(self.give_up(Unsent::Spoiled(error)))),
            };
            if ready!(self.output.poll_write(cx, &mut self.io)).is_err() {
                return Poll::Ready(Err(self.give_up(Unsent::Broken)));
            }
            if filled == Filled::Waits {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing is written any more: half a request must not end like a whole one.
    fn give_up(&mut self, why: Unsent) -> Unsent {
        self.broken = true;
        self.uploading = None;
        if why != Unsent::Broken {
            self.spoiled = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        why
    }

    /// Whether the whole request is written.
    pub(super) fn is_sent(&self) -> bool {
        self.uploading.is_none() && self.output.is_empty()
    }

    /// Reads more; 0 at the end of the connection.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = if self.appetite > SOME { self.poll_read_much(cx) } else { self.poll_read_some(cx) };
        let count = ready!(count)?;
        self.heard |= count > 0;
        Poll::Ready(Ok(count))
    }

    fn poll_read_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; SOME];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let read = room.filled();
        if self.input.is_empty() {
            // A large buffer is not held for small pieces.
            self.input = BytesMut::from(read);
        } else {
            self.input.extend_from_slice(read);
        }
        if read.len() == SOME {
            self.appetite = MUCH;
        }
        Poll::Ready(Ok(read.len()))
    }

    fn poll_read_much(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < SOME.min(self.appetite) {
            self.input.reserve(self.appetite);
        }
        let count = ready!(pin!(self.io.read_buf(&mut self.input)).poll(cx))?;
        if count < SOME {
            self.appetite = SOME;
        }
        Poll::Ready(Ok(count))
    }

    /// A body of which so much is still to come is read in pieces of a fitting size.
    pub(super) fn expects(&mut self, left: u64) {
        let left = usize::try_from(left).unwrap_or(MUCH).saturating_sub(self.input.len());
        if left > SOME {
            // One byte more: whatever stands behind the body shows at once.
            self.appetite = MUCH.min(left + 1);
        }
    }

    /// Whether the answer can't be taken to its end, because the request can't; whoever reads it is woken when that changes.
    pub(super) fn is_spoiled(&mut self, cx: &Context<'_>) -> bool {
        if !self.spoiled && self.uploading.is_some() {
            self.reader = Some(cx.waker().clone());
        }
        self.spoiled
    }

    /// Whether it is fit for another request: this one was written, and its answer read, to the last byte and no further.
    pub(super) fn is_fit(&self) -> bool {
        self.rests && self.is_sent() && self.input.is_empty() && !self.broken
    }

    /// Holds nothing while it waits for the next request.
    pub(super) fn rest(&mut self) {
        self.input = BytesMut::new();
        self.reader = None;
        self.output.rest();
    }

    /// Whether nothing came, not even the end, as far as is known without asking the system.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.input.is_empty() && self.io.is_quiet()
    }

    pub(super) fn into_parts(self) -> (EndpointSocket, BytesMut) {
        (self.io, self.input)
    }
}

/// Whether it is the answer, and no word that one is to come.
fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

fn ready_or<T, E>(polled: Poll<Result<T, E>>) -> Result<Option<T>, E> {
    match polled {
        Poll::Ready(result) => result.map(Some),
        Poll::Pending => Ok(None),
    }
}
