//! The body of a client's request, read from its connection when it is asked for.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::wire::Wire;
use crate::proxy::client::body::BrokenBody;

/// The body of a request as it comes. `None`: there is none, or no more of it.
pub(crate) struct UploadBody(Option<Rc<Wire>>);

impl UploadBody {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Of the request whose head was taken off this wire last.
    pub(super) fn on(wire: &Rc<Wire>) -> Self {
        Self(Some(wire.clone()))
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let Some(wire) = &self.0 else { return Poll::Ready(None) };
        let frame = ready!(wire.poll_body(cx));
        if wire.is_whole() {
            // What follows is another request's.
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(wire) => wire.left_of_body().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        if let Some(wire) = &self.0 {
            wire.leave_body();
        }
    }
}
