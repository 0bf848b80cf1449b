//! The body of an answer, read from its connection by whoever passes it on, and at that one's pace.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::wire::Wire;
use crate::proxy::fault::AttemptError;
use crate::proxy::http1::body::Decoder;
use crate::proxy::http1::{Bounds, Framing};

/// The largest trailers.
const TRAILERS: Bounds = Bounds { bytes: 16 * 1024, fields: 100 };

/// The body of an answer.
pub(crate) struct Body {
    /// `None` when it has ended: then its connection may serve another request.
    reading: Option<Reading>,
}

struct Reading {
    wire: Rc<RefCell<Wire>>,
    decoder: Decoder,
    /// It broke off. Told with the next poll: what came before it is on its way to the client then.
    broken: Option<AttemptError>,
}

impl Body {
    pub(super) fn none() -> Self {
        Self { reading: None }
    }

    /// One that follows on this connection.
    pub(super) fn new(wire: &Rc<RefCell<Wire>>, framing: Framing) -> Self {
        let decoder = Decoder::new(framing, TRAILERS);
        if decoder.is_done() {
            wire.borrow_mut().rests = true;
            return Self::none();
        }
        if let Some(left) = decoder.left() {
            wire.borrow_mut().expects(left);
        }
        Self { reading: Some(Reading { wire: wire.clone(), decoder, broken: None }) }
    }
}

impl Reading {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        let mut wire = self.wire.borrow_mut();
        loop {
            let piece = self.decoder.decode(&mut wire.input).map_err(|_| AttemptError::Incomplete)?;
            wire.rests = self.decoder.is_done();
            if piece.is_some() || wire.rests {
                return Poll::Ready(piece.map(Ok));
            }
            if wire.is_spoiled(cx) {
                return Poll::Ready(Some(Err(AttemptError::Incomplete)));
            }
            if ready!(wire.poll_read(cx)).map_err(|_| AttemptError::Incomplete)? == 0 {
                self.decoder.ended().map_err(|_| AttemptError::Incomplete)?;
            }
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
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        if let Some(error) = reading.broken {
            self.reading = None;
            return Poll::Ready(Some(Err(error)));
        }
        let polled = ready!(reading.poll_frame(cx));
        if let Some(Err(error)) = polled {
            reading.broken = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if reading.decoder.is_done() {
            self.reading = None;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.reading {
            None => SizeHint::with_exact(0),
            Some(reading) => reading.decoder.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
