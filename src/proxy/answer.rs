//! A response's body on its way to the client: streamed at the client's pace, watched for an endpoint that stalls,
//! and the place where an exchange is known to have ended.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::endpoint::pool::{Connection, Pool};
use super::endpoint::received::Received;
use super::fault::AttemptError;
use super::observe::{End, Exchange};
use super::request::grpc;
use super::request::headers::without_hop;
use super::request::upload::Upload;
use crate::domain::Timestamp;
use crate::domain::stats::GrpcCode;

/// The body of a response as a client gets it.
pub(super) struct Answer {
    source: Source,
    exchange: Box<Exchange>,
}

enum Source {
    /// Of our own; empty once given.
    Ours(Bytes),
    Endpoint(Download),
}

/// What an endpoint sends, with the connection it comes on. Boxed: it goes through many hands before it is polled, and each
/// would copy it.
pub(super) type Download = Box<Inflow>;

pub(super) struct Inflow {
    pub(super) incoming: Received,
    /// `None` once it went back to its pool.
    pub(super) connection: Option<Connection>,
    pub(super) pool: Rc<Pool>,
    /// The longest pause, and what one means that is longer.
    pub(super) idle: Duration,
    pub(super) silence: Silence,
    /// How the client takes it.
    pub(super) pace: Pace,
    /// When the whole exchange must be over.
    pub(super) whole: Option<Timestamp>,
}

/// What it means that an answer stands still.
#[derive(Default)]
pub(super) enum Silence {
    /// Its endpoint has failed it.
    #[default]
    Failure,
    /// A stream may have nothing to tell. Where both sides talk at once, the request's body is a sign of life as well.
    Nothing(Option<Rc<Upload>>),
}

/// Whether the client took the answer as it came. An endpoint may give up on one that does not, and that is not the
/// endpoint's failure: it must not be in a client's power to make it look like one.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last piece was given to the client's connection.
    given: Option<Timestamp>,
    /// When the first one was.
    began: Option<Timestamp>,
    /// How long the client let pieces stand, together.
    held: Duration,
    paused: bool,
}

/// A client that lets an answer stand for so long has paused.
const PAUSE: Duration = Duration::from_secs(1);

impl Pace {
    fn gave(&mut self, now: Timestamp) {
        self.began.get_or_insert(now);
        self.given = Some(now);
    }

    /// The next piece is asked for.
    fn asked(&mut self, now: impl Fn() -> Timestamp) {
        if let Some(given) = self.given.take() {
            let now = now();
            self.held += now - given;
            let all = self.began.map_or(Duration::ZERO, |began| now - began);
            // At once, or in many small pieces that make up most of the time.
            self.paused |= now - given >= PAUSE || (self.held >= PAUSE && self.held * 2 >= all);
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
        if !self.exchange.is_closed() {
            self.end_at(self.exchange.worker.clock.now(), end);
        }
    }

    fn end_at(&mut self, now: Timestamp, end: End) {
        if let Source::Endpoint(download) = &mut self.source {
            let connection = download.connection.take().filter(|_| end == End::Whole);
            if let Some(connection) = connection {
                download.pool.put(connection, now);
            }
        }
        self.exchange.end_at(now, end);
    }

    /// It breaks off. Whoever speaks gRPC is told how, if its protocol has a place for that.
    fn broke(&mut self, error: AttemptError) -> Option<Result<Frame<Bytes>, AttemptError>> {
        let overdue = self.exchange.deadline().is_some_and(|it| self.exchange.worker.clock.now() >= it.at);
        let (code, message) = match error {
            _ if overdue => (GrpcCode::DeadlineExceeded, "The client's own deadline has passed.".to_owned()),
            AttemptError::Codeless => (GrpcCode::Unknown, error.to_string()),
            other => (GrpcCode::Unavailable, other.to_string()),
        };
        let told = self.exchange.owes_code() && self.exchange.speaks_http2();
        let end = if overdue { End::OutOfTime } else { self.blame(error) };
        if told {
            self.exchange.end_call(code);
        }
        self.end(end);
        if !told {
            return Some(Err(error));
        }
        self.source = Source::Ours(Bytes::new());
        let mut trailers = HeaderMap::new();
        grpc::end(&mut trailers, code, &message);
        Some(Ok(Frame::trailers(trailers)))
    }

    /// A piece of the answer goes to the client.
    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let frame = without_hop(frame);
        if let Some(trailers) = frame.trailers_ref() {
            self.exchange.call_ended(trailers);
        }
        self.exchange.sent(frame.data_ref().map_or(0, Bytes::len));
        if self.is_end_stream() {
            self.end_at(self.now_given(), End::Whole);
        }
        frame
    }

    /// When the piece that is being given came.
    fn now_given(&self) -> Timestamp {
        let given = match &self.source {
            Source::Endpoint(download) => download.pace.given,
            Source::Ours(_) => None,
        };
        given.unwrap_or_else(|| self.exchange.worker.clock.now())
    }

    /// An endpoint's answer breaks off as well when its request did or when the client did not take it, which is the
    /// client's doing.
    fn blame(&self, error: AttemptError) -> End {
        let Source::Endpoint(download) = &self.source else { return End::Cut(error) };
        let upload = self.exchange.upload.as_ref();
        let by_client = match download.silence {
            Silence::Failure => upload.and_then(|upload| upload.why_unfinished()),
            // Nobody owes the next piece where both sides talk at once.
            Silence::Nothing(_) => upload.and_then(|upload| upload.fault()),
        };
        let quiet = error == AttemptError::Stalled && !matches!(download.silence, Silence::Failure);
        match by_client {
            _ if quiet => End::OutOfTime,
            None if !download.pace.paused => End::Cut(error),
            Some(_) | None => End::ClientLeft,
        }
    }
}

impl Inflow {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        self.pace.asked(&now);
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        match polled {
            Poll::Ready(frame) => {
                connection.alarm.clear();
                if matches!(frame, Some(Ok(_))) {
                    self.pace.gave(now());
                }
                if let Silence::Nothing(Some(upload)) = &self.silence {
                    upload.answer_went_on();
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let bounded = |until: Timestamp| self.whole.map_or(until, |whole| until.min(whole));
                if !connection.alarm.is_set() {
                    connection.alarm.set(bounded(now() + self.idle));
                }
                while connection.alarm.poll(cx).is_ready() {
                    let sign = self.silence.last_sign_of_life().map(|at| bounded(at + self.idle));
                    match sign.filter(|until| *until > now()) {
                        Some(until) => connection.alarm.set(until),
                        None => return Poll::Ready(Some(Err(AttemptError::Stalled))),
                    }
                }
                Poll::Pending
            }
        }
    }
}

impl Silence {
    fn last_sign_of_life(&self) -> Option<Timestamp> {
        match self {
            Self::Nothing(Some(upload)) => Some(upload.progress()),
            Self::Nothing(None) | Self::Failure => None,
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
            Source::Endpoint(_) if this.exchange.deadline().is_some_and(|it| it.at <= clock.now()) => {
                Poll::Ready(Some(Err(AttemptError::Incomplete)))
            }
            Source::Endpoint(download) => download.poll(cx, || clock.now()),
        };
        match polled {
            Poll::Pending => {
                this.exchange.waits_for_endpoint();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(this.pass(frame)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(this.broke(error)),
            Poll::Ready(None) if this.exchange.owes_code() => Poll::Ready(this.broke(AttemptError::Codeless)),
            Poll::Ready(None) => {
                this.end(End::Whole);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ours(body) => body.is_empty(),
            // A call is over when it has been said how it ended.
            Source::Endpoint(download) => download.incoming.is_end_stream() && !self.exchange.owes_code(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(body) => SizeHint::with_exact(u64::try_from(body.len()).unwrap_or(u64::MAX)),
            // Trailers may follow, ours if need be.
            Source::Endpoint(_) if self.exchange.owes_code() => SizeHint::default(),
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
