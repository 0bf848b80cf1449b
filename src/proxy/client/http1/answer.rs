//! An answer on its way to a client of HTTP/1: how it is delimited, and what is sent when.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{Either, Empty};

use super::exchange::Asked;
use super::outbox::Outbox;
use super::wire::Wire;
use crate::proxy::answer::Answer;
use crate::proxy::date::HttpDate;
use crate::proxy::http1::write::{Delimited, announced, has_word, response_head};

/// An answer that is being sent.
pub(super) struct Reply {
    outbox: Outbox,
    /// `None`: all of it is in the outbox.
    body: Option<Answer>,
    framing: Framing,
    goes_on: bool,
}

/// How the client knows where the body ends.
enum Framing {
    /// There is none.
    Empty,
    /// After so many more bytes.
    Length(u64),
    /// With the last chunk, and these trailers if they come.
    Chunked(Vec<HeaderName>),
    /// With the connection.
    UntilClose,
}

impl Reply {
    /// `is_fit`: whether the connection could carry another request.
    pub(super) fn new(
        response: Response<Either<Answer, Empty<Bytes>>>,
        asked: &Asked,
        is_fit: bool,
        date: &HttpDate,
    ) -> Self {
        let (head, body) = response.into_parts();
        let body = match body {
            Either::Left(answer) if !answer.is_end_stream() => Some(answer),
            Either::Left(_) | Either::Right(_) => None,
        };
        let framing = Framing::of(&head, body.as_ref(), asked);
        let goes_on = is_fit
            && !matches!(framing, Framing::UntilClose)
            && !has_word(&head.headers, &CONNECTION, "close");
        let mut outbox = Outbox::default();
        let connection = connection(&head, asked.version, goes_on);
        let date = (!head.headers.contains_key(DATE)).then_some(&date[..]);
        response_head(outbox.head(), asked.version, &head, framing.said(&head, asked), connection, date);
        // What there can't be is not asked for.
        let body = body.filter(|_| !matches!(framing, Framing::Empty));
        Self { outbox, body, framing, goes_on }
    }

    /// What comes before it.
    pub(super) fn begin_with(&mut self, interim: &[u8]) {
        if !interim.is_empty() {
            self.outbox.head().splice(..0, interim.iter().copied());
        }
    }

    /// Whether the client was told that it can ask again.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Sends it as it comes. What is there already goes out together.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<io::Result<()>> {
        loop {
            let gathered = self.poll_gather(cx);
            if let Poll::Ready(Err(broken)) = gathered {
                self.break_off(cx, wire);
                return Poll::Ready(Err(broken));
            }
            ready!(wire.poll_send(cx, &mut self.outbox))?;
            match (&self.body, gathered) {
                (None, _) => return Poll::Ready(Ok(())),
                (Some(_), Poll::Pending) => return Poll::Pending,
                // There was no room for more.
                (Some(_), Poll::Ready(_)) => {}
            }
        }
    }

    /// Takes what there is of the body, as long as there is room.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(body) = self.body.as_mut().filter(|_| self.outbox.has_room()) {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let is_last = body.is_end_stream();
                    self.take(frame, is_last)?;
                }
                Some(Err(_)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                None => self.end(None)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Frame<Bytes>, is_last: bool) -> io::Result<()> {
        match frame.into_data() {
            Ok(data) => {
                self.put(data);
                if is_last { self.end(None) } else { Ok(()) }
            }
            Err(frame) => self.end(frame.into_trailers().ok()),
        }
    }

    fn put(&mut self, mut data: Bytes) {
        match &mut self.framing {
            _ if data.is_empty() => {}
            Framing::Empty => {}
            Framing::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= u64::try_from(data.len()).unwrap_or(*left);
                self.outbox.put(data);
            }
            Framing::Chunked(_) => self.outbox.put_chunk(data),
            Framing::UntilClose => self.outbox.put(data),
        }
    }

    /// Nothing more comes of the body, or nothing but these.
    fn end(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        self.body = None;
        match &self.framing {
            Framing::Length(1..) => Err(io::ErrorKind::UnexpectedEof.into()),
            Framing::Chunked(announced) => {
                self.outbox.put_last_chunk(trailers.as_ref(), announced);
                Ok(())
            }
            Framing::Empty | Framing::Length(0) | Framing::UntilClose => Ok(()),
        }
    }

    /// The client gets what there is, if it can tell that something is missing.
    fn break_off(&mut self, cx: &mut Context<'_>, wire: &Wire) {
        self.body = None;
        if !matches!(self.framing, Framing::UntilClose) {
            let _sent = wire.poll_send(cx, &mut self.outbox);
        }
    }
}

impl Framing {
    fn of(head: &Parts, body: Option<&Answer>, asked: &Asked) -> Self {
        let Some(body) = body.filter(|_| !asked.is_head && may_have_body(head.status)) else {
            return Self::Empty;
        };
        let length = body.size_hint().exact().or_else(|| length(&head.headers));
        match length {
            Some(length) => Self::Length(length),
            None if asked.version == Version::HTTP_10 => Self::UntilClose,
            None if asked.takes_trailers => Self::Chunked(announced(&head.headers)),
            None => Self::Chunked(Vec::new()),
        }
    }

    /// What the head says of it.
    fn said(&self, head: &Parts, asked: &Asked) -> Delimited {
        match self {
            // What a GET would have got.
            Self::Empty if asked.is_head || head.status == StatusCode::NOT_MODIFIED => Delimited::AsItIs,
            Self::Empty if !may_have_body(head.status) => Delimited::Not,
            Self::Empty => Delimited::Length(0),
            Self::Length(length) => Delimited::Length(*length),
            Self::Chunked(_) => Delimited::Chunked,
            Self::UntilClose => Delimited::Not,
        }
    }
}

/// What is said of the connection; `None`: what the answer says already, or what needs no saying.
fn connection(head: &Parts, version: Version, goes_on: bool) -> Option<&'static [u8]> {
    match (version, goes_on) {
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => None,
        (Version::HTTP_10, true) => Some(b"keep-alive"),
        (Version::HTTP_10, false) | (_, true) => None,
        (_, false) => Some(b"close"),
    }
}

fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The length that an endpoint gave, where its body does not know it.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)
        .map(HeaderValue::as_bytes)
        .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
}
