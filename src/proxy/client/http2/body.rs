//! The body of a request as it comes on a stream. What is taken of it makes room for more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::client::body::BrokenBody;

/// The body of a request.
pub(crate) struct RequestBody {
    stream: RecvStream,
    /// Bytes that are still to come, if the client said so; `h2` sees to it that it keeps its word.
    left: Option<u64>,
    data_ended: bool,
    ended: bool,
}

impl RequestBody {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let ended = stream.is_end_stream();
        let left = if ended { Some(0) } else { length(headers) };
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

    /// Whatever its client's reason is: half a request is none.
    fn broke(&mut self) -> BrokenBody {
        self.ended = true;
        BrokenBody
    }
}

/// `h2` has seen to it that it is a number; two that differ are none.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut said = headers.get_all(CONTENT_LENGTH).iter();
    let first = said.next()?;
    if said.any(|other| other != first) {
        return None;
    }
    first.to_str().ok()?.parse().ok()
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        while !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                // Nobody downstream needs to see it, and it tells nothing.
                Some(Ok(data)) if data.is_empty() && !self.stream.is_end_stream() => {}
                Some(Ok(data)) => return Poll::Ready(Some(Ok(self.take(data)))),
                Some(Err(_)) => return Poll::Ready(Some(Err(self.broke()))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.ended = true;
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(_) => Some(Err(self.broke())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
