//! A request's body on its way into a stream: as much as the endpoint takes, and not before it takes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

use crate::proxy::fault::AttemptError;
use crate::proxy::request::upload::RequestBody;

/// Ready when the body is sent, or can't be. What became of it is known to the answer and to the upload.
pub(super) struct Pump {
    body: RequestBody,
    stream: SendStream<Bytes>,
}

impl Pump {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        Self { body, stream }
    }

    /// Ready when there is room for a piece. `false`: nobody takes any more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        // Whoever has a body in hand must also hear that it is not wanted any more.
        Poll::Ready(self.stream.poll_reset(cx).is_pending())
    }

    /// Whether there is more to do.
    fn pass(&mut self, piece: Option<Result<Frame<Bytes>, AttemptError>>) -> bool {
        // An error means that the stream is closed, which its answer tells as well.
        match piece {
            None => {
                let _closed = self.stream.send_data(Bytes::new(), true);
                false
            }
            Some(Err(_client)) => {
                self.stream.send_reset(Reason::CANCEL);
                false
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let last = self.body.is_end_stream();
                    self.stream.send_data(data, last).is_ok() && !last
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let _closed = self.stream.send_trailers(trailers);
                    false
                }
            },
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !ready!(self.poll_room(cx)) {
                return Poll::Ready(());
            }
            let piece = ready!(Pin::new(&mut self.body).poll_frame(cx));
            if !self.pass(piece) {
                return Poll::Ready(());
            }
        }
    }
}
