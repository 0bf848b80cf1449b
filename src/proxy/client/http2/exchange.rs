//! One stream: its request is answered, then the answer is carried into it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use http_body::Body;

use super::pipe::Pipe;
use super::reply::{Dates, make_fit};
use crate::clock::Clock;
use crate::proxy::client::life::Life;
use crate::proxy::client::stream::Stream;

/// What all streams of a connection share.
pub(super) struct Shared {
    pub(super) life: Rc<Life>,
    pub(super) clock: Clock,
    pub(super) dates: Dates,
}

/// Dropping it resets the stream, unless it has ended, and leaves the connection alone.
pub(super) struct Exchange<F, B> {
    stage: Stage<F, B>,
    respond: SendResponse<Bytes>,
    stream: Rc<Stream>,
    shared: Rc<Shared>,
}

enum Stage<F, B> {
    /// Boxed, since it is large and most of an answer's time comes after it.
    Asked(Pin<Box<F>>),
    Answered(Pipe<B>),
}

impl<F, B> Exchange<F, B>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(answer: Pin<Box<F>>, respond: SendResponse<Bytes>, shared: &Rc<Shared>) -> Self {
        let stream = Rc::<Stream>::default();
        shared.life.adopt(&stream);
        Self { stage: Stage::Asked(answer), respond, stream, shared: shared.clone() }
    }

    /// Ready when there is nothing more to do for it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.is_cut() {
            return Poll::Ready(());
        }
        self.stream.runs_in(cx.waker());
        loop {
            match &mut self.stage {
                Stage::Asked(answer) => {
                    self.shared.life.within(Some(self.stream.clone()));
                    let polled = answer.as_mut().poll(cx);
                    self.shared.life.within(None);
                    let Poll::Ready(response) = polled else {
                        // Its client may wait no longer.
                        return self.respond.poll_reset(cx).map(|_| ());
                    };
                    match self.reply(response) {
                        Some(pipe) => self.stage = Stage::Answered(pipe),
                        None => return Poll::Ready(()),
                    }
                }
                Stage::Answered(pipe) => return pipe.poll(cx),
            }
        }
    }

    /// Sends the head. `None`: there is no more than that.
    fn reply(&mut self, response: Response<B>) -> Option<Pipe<B>> {
        let (mut head, body) = response.into_parts();
        let whole = body.is_end_stream();
        let length = if whole { None } else { body.size_hint().exact() };
        make_fit(&mut head.headers, length, || self.shared.dates.at(self.shared.clock.now()));
        match self.respond.send_response(Response::from_parts(head, ()), whole) {
            Ok(stream) => (!whole).then(|| Pipe::new(stream, body)),
            Err(error) => {
                // Most often its client has left.
                tracing::debug!(%error, "an answer could not be sent");
                self.respond.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }
}
