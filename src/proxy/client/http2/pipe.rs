//! The body of an answer on its way into a stream: as much as the client takes, and not before it takes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

/// Ready when the body is sent, or can't be. Dropping it earlier resets the stream.
pub(super) struct Pipe<B> {
    stream: SendStream<Bytes>,
    body: B,
    /// A piece that waits for room, and whether it is the last one.
    held: Option<(Bytes, bool)>,
}

/// Whether there is more to do.
enum Step {
    More,
    Done,
}

impl<B: Body<Data = Bytes> + Unpin> Pipe<B> {
    pub(super) fn new(stream: SendStream<Bytes>, body: B) -> Self {
        Self { stream, body, held: None }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Step::Done = ready!(self.poll_held(cx)) {
                return Poll::Ready(());
            }
            let Poll::Ready(piece) = Pin::new(&mut self.body).poll_frame(cx) else {
                // Whoever waits for an endpoint must also hear that the client waits no longer.
                return self.stream.poll_reset(cx).map(|_| ());
            };
            if let Step::Done = self.pass(piece) {
                return Poll::Ready(());
            }
        }
    }

    /// Sends the piece in hand as soon as there is room.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.held.is_none() {
            return Poll::Ready(Step::More);
        }
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                // The stream was reset, or the connection ended.
                Some(Err(_)) | None => return Poll::Ready(Step::Done),
            }
        }
        let (data, last) = self.held.take().unwrap_or_default();
        Poll::Ready(self.send(data, last))
    }

    fn send(&mut self, data: Bytes, last: bool) -> Step {
        let sent = self.stream.send_data(data, last);
        if sent.is_err() || last { Step::Done } else { Step::More }
    }

    fn pass(&mut self, piece: Option<Result<Frame<Bytes>, B::Error>>) -> Step {
        match piece {
            None => self.send(Bytes::new(), true),
            Some(Err(_broken)) => {
                self.stream.send_reset(Reason::INTERNAL_ERROR);
                Step::Done
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let last = self.body.is_end_stream();
                    if data.is_empty() {
                        // Needs no room.
                        return if last { self.send(data, last) } else { Step::More };
                    }
                    // Not before there is something to send: room that is asked for is nobody else's. `h2` asks for the
                    // rest of the piece itself.
                    self.stream.reserve_capacity(1);
                    self.held = Some((data, last));
                    Step::More
                }
                Err(frame) => {
                    self.stream.reserve_capacity(0);
                    // An error means that the stream is closed: nobody is left to tell.
                    let _closed = self.stream.send_trailers(frame.into_trailers().unwrap_or_default());
                    Step::Done
                }
            },
        }
    }
}
