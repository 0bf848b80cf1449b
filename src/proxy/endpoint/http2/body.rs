//! The body of an answer as it comes on a stream. What is taken of it makes room for more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use crate::proxy::fault::AttemptError;

/// The body of an answer.
pub(crate) struct Body {
    stream: RecvStream,
    /// Bytes that are still to come, if the endpoint said so; `h2` sees to it that it keeps its word.
    left: Option<u64>,
    data_ended: bool,
    ended: bool,
}

impl Body {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let ended = stream.is_end_stream();
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // An answer to HEAD tells a length and has none.
        let left = if ended { Some(0) } else { length };
        Self { stream, left, data_ended: ended, ended }
    }

    fn take(&mut self, data: Bytes) -> Frame<Bytes> {
        // An error means that the stream has ended: there is no window to open.
        let _ended = self.stream.flow_control().release_capacity(data.len());
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(length));
        self.ended = self.stream.is_end_stream();
        Frame::data(data)
    }

    fn broke(&mut self, error: &h2::Error) -> AttemptError {
        self.ended = true;
        match error.reason() {
            // Our own word: clients that took too little of their answers made too many small frames wait.
            Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => AttemptError::Scolded,
            _ if error.is_library() => AttemptError::Malformed,
            _ => AttemptError::Incomplete,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = AttemptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        while !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                // Nobody downstream needs to see it, and it tells nothing.
                Some(Ok(data)) if data.is_empty() && !self.stream.is_end_stream() => {}
                Some(Ok(data)) => return Poll::Ready(Some(Ok(self.take(data)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broke(&error)))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.ended = true;
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(self.broke(&error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
