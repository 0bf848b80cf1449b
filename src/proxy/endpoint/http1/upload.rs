//! A request's body on its way to an endpoint: as much as it takes, and not before it takes it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Weak;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use http_body::Body;
use tokio::task::AbortHandle;

use super::output::Output;
use super::wire::Wire;
use crate::proxy::fault::{AttemptError, ClientFault};
use crate::proxy::http1::Framing;
use crate::proxy::http1::write::announced;
use crate::proxy::request::upload::RequestBody;

/// The part of a request's body that is still to be read.
pub(super) struct Uploading {
    body: RequestBody,
    form: Form,
}

enum Form {
    /// So many bytes are still to come.
    Length(u64),
    Chunked {
        /// The trailers that its head names.
        announced: Vec<HeaderName>,
    },
}

/// What became of a look at a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There is more of it, or none: what there is should be written.
    Some,
    /// The client owes us the next piece.
    Waits,
}

/// The rest of a body, whose answer has begun before it was sent: goes on however slowly the client takes the answer.
pub(super) struct Rest(AbortHandle);

struct Carrier(Weak<RefCell<Wire>>);

/// How a request's body is delimited. Without a length it is always chunked, whatever the method.
pub(super) fn framing(head: &Parts, body: &RequestBody) -> Framing {
    if body.is_end_stream() {
        return Framing::Empty;
    }
    let Some(said) = head.headers.get(CONTENT_LENGTH) else { return Framing::Chunked };
    let said = || said.to_str().ok()?.parse().ok();
    Framing::Length(body.size_hint().exact().or_else(said).unwrap_or(0))
}

impl Uploading {
    pub(super) fn new(body: RequestBody, framing: Framing, headers: &HeaderMap) -> Option<Self> {
        let form = match framing {
            Framing::Empty | Framing::UntilClose => return None,
            Framing::Length(length) => Form::Length(length),
            Framing::Chunked => Form::Chunked { announced: announced(headers) },
        };
        Some(Self { body, form })
    }

    /// Passes on what there is. Whether that was the end of it.
    fn fill(&mut self, cx: &mut Context<'_>, output: &mut Output) -> Poll<Result<bool, AttemptError>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? else {
            return Poll::Ready(self.end(None, output).map(|()| true));
        };
        Poll::Ready(match frame.into_data() {
            Ok(data) => self.pass(data, output).and_then(|()| {
                let ended = self.body.is_end_stream();
                if ended { self.end(None, output).map(|()| true) } else { Ok(false) }
            }),
            Err(frame) => {
                let trailers = frame.into_trailers().ok();
                self.end(trailers.as_ref(), output).map(|()| true)
            }
        })
    }

    fn pass(&mut self, data: Bytes, output: &mut Output) -> Result<(), AttemptError> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.form {
            Form::Chunked { .. } => output.push_chunk(data),
            Form::Length(left) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *left = left.checked_sub(length).ok_or(BROKEN)?;
                output.push(data);
            }
        }
        Ok(())
    }

    fn end(&self, trailers: Option<&HeaderMap>, output: &mut Output) -> Result<(), AttemptError> {
        match &self.form {
            Form::Chunked { announced } => output.push_last_chunk(trailers, announced),
            Form::Length(0) => {}
            Form::Length(_) => return Err(BROKEN),
        }
        Ok(())
    }
}

/// A body of another length than was said.
const BROKEN: AttemptError = AttemptError::Client(ClientFault::BrokenBody);

/// Reads what the client has sent, as far as there is room for it.
pub(super) fn fill(
    uploading: &mut Option<Uploading>,
    output: &mut Output,
    cx: &mut Context<'_>,
) -> Result<Filled, AttemptError> {
    while let Some(body) = uploading
        && output.has_room()
    {
        match body.fill(cx, output) {
            Poll::Pending => return Ok(Filled::Waits),
            Poll::Ready(ended) => {
                if ended? {
                    *uploading = None;
                }
            }
        }
    }
    Ok(Filled::Some)
}

impl Rest {
    /// In a task of its own, which ends with the connection.
    pub(super) fn carry(wire: Weak<RefCell<Wire>>) -> Self {
        Self(tokio::task::spawn_local(Carrier(wire)).abort_handle())
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Future for Carrier {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wire) = self.0.upgrade() else { return Poll::Ready(()) };
        // What became of it is known to the wire, and so to the answer.
        wire.borrow_mut().poll_send(cx).map(drop)
    }
}
