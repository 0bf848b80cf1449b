//! A response's body on its way to the client: streamed at the client's pace, watched for an endpoint that stalls,
//! and the place where an exchange is known to have ended.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::endpoint::pool::{Connection, Pool};
use super::fault::AttemptError;
use super::observe::{End, Exchange};
use crate::domain::Timestamp;

/// The body of a response as a client gets it.
pub(super) struct Answer {
    source: Source,
    exchange: Box<Exchange>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "almost every answer is an endpoint's: a box would cost each one"
)]
enum Source {
    /// Of our own; empty once given.
    Ours(Bytes),
    Endpoint(Download),
}

/// What an endpoint sends, with the connection it comes on.
pub(super) struct Download {
    pub(super) incoming: Incoming,
    /// `None` once it went back to its pool.
    pub(super) connection: Option<Connection>,
    pub(super) pool: Rc<Pool>,
    /// The longest pause.
    pub(super) idle: Duration,
    /// How the client takes it.
    pub(super) pace: Pace,
    /// When the whole exchange must be over.
    pub(super) whole: Option<Timestamp>,
}

/// Whether the client took the answer as it came. An endpoint may give up on one that does not, and that is not the
/// endpoint's failure: it must not be in a client's power to make it look like one.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last piece was given to the client's connection.
    given: Option<Timestamp>,
    paused: bool,
}

/// A client that lets an answer stand for so long has paused.
const PAUSE: Duration = Duration::from_secs(1);

impl Pace {
    /// The next piece is asked for.
    fn asked(&mut self, now: Timestamp) {
        if let Some(given) = self.given.take() {
            self.paused |= now - given >= PAUSE;
        }
    }
}

impl Answer {
    pub(super) fn ours(body: Bytes, exchange: Box<Exchange>) -> Self {
        Self { source: Source::Ours(body), exchange }
    }

    pub(super) fn endpoint(download: Download, exchange: Box<Exchange>) -> Self {
        let mut answer = Self { source: Source::Endpoint(download), exchange };
        if answer.is_end_stream() {
            // Nobody will ask for a body that isn't there.
            answer.end(End::Whole);
        }
        answer
    }

    fn end(&mut self, end: End) {
        if let Source::Endpoint(download) = &mut self.source {
            let connection = download.connection.take().filter(|_| end == End::Whole);
            if let Some(connection) = connection {
                download.pool.put(connection, self.exchange.worker.clock.now());
            }
        }
        self.exchange.end(end);
    }

    /// An endpoint's answer breaks off as well when its request did or when the client did not take it, which is the
    /// client's doing.
    fn blame(&self, error: AttemptError) -> End {
        let paused = matches!(&self.source, Source::Endpoint(download) if download.pace.paused);
        match self.exchange.upload.as_ref().and_then(|upload| upload.why_unfinished()) {
            None if !paused => End::Cut(error),
            Some(_) | None => End::ClientLeft,
        }
    }
}

impl Download {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        self.pace.asked(now());
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        match polled {
            Poll::Ready(frame) => {
                connection.alarm.clear();
                self.pace.given = Some(now());
                Poll::Ready(frame.map(|frame| frame.map_err(|_| AttemptError::Incomplete)))
            }
            Poll::Pending => {
                if !connection.alarm.is_set() {
                    let until = now() + self.idle;
                    connection.alarm.set(self.whole.map_or(until, |whole| until.min(whole)));
                }
                connection.alarm.poll(cx).map(|()| Some(Err(AttemptError::Incomplete)))
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AttemptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        let this = &mut *self;
        let clock = &this.exchange.worker.clock;
        let polled = match &mut this.source {
            Source::Ours(body) if body.is_empty() => Poll::Ready(None),
            Source::Ours(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Source::Endpoint(download) => download.poll(cx, || clock.now()),
        };
        match &polled {
            Poll::Pending => this.exchange.waits_for_endpoint(),
            Poll::Ready(Some(Ok(frame))) => {
                this.exchange.sent(frame.data_ref().map_or(0, Bytes::len));
                if this.is_end_stream() {
                    this.end(End::Whole);
                }
            }
            Poll::Ready(Some(Err(error))) => this.end(this.blame(*error)),
            Poll::Ready(None) => this.end(End::Whole),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ours(body) => body.is_empty(),
            Source::Endpoint(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(body) => SizeHint::with_exact(u64::try_from(body.len()).unwrap_or(u64::MAX)),
            Source::Endpoint(download) => download.incoming.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.end(End::Whole);
        }
        // Otherwise the client went away: the exchange says so when it is dropped.
    }
}
