//! A request, ready for an endpoint, and what may still be done with it once it was sent.

use std::rc::Rc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};

use super::patience::Patience;
use super::pool::{Pool, SendError};
use crate::proxy::request::upload::{KEPT, Repeat, RequestBody, Upload};

/// A request, ready for an endpoint.
pub(crate) struct Outbound {
    /// Boxed: it passes through many hands.
    parts: Box<Parts>,
    pub(super) upload: Option<Rc<Upload>>,
    pub(super) left: Repeats,
}

/// How often a request may still be sent again when an endpoint may have seen it; never if that is not safe.
#[derive(Clone, Copy)]
pub(super) struct Repeats {
    /// Its connection had been open for a while, and was most likely closed while we sent.
    pub(super) on_stale: u8,
    /// A new connection died with it.
    pub(super) elsewhere: u8,
    /// Its endpoint was lost.
    pub(super) moves: u8,
}

/// As often as it takes to find the one that is left of four, should each of the others die with it. Not more: what kills
/// whoever reads it must not be passed on to all.
const REPEATS: u8 = 3;
const MOVES: u8 = 2;

impl Repeats {
    /// A connection died with it.
    pub(super) fn after_a_death(self) -> Self {
        let [on_stale, elsewhere] = [self.on_stale, self.elsewhere].map(|left| left.saturating_sub(1));
        Self { on_stale, elsewhere, ..self }
    }
}

impl Outbound {
    /// `upload` must keep what it reads if `repeat` says that it may be needed again.
    pub(crate) fn new(parts: Box<Parts>, upload: Option<Rc<Upload>>, repeat: Repeat) -> Self {
        let left = match repeat {
            Repeat::Possible => Repeats { on_stale: REPEATS, elsewhere: REPEATS, moves: MOVES },
            Repeat::Never => Repeats { on_stale: 0, elsewhere: 0, moves: 0 },
        };
        Self { parts, upload, left }
    }

    /// A second copy, for another version; it may be sent once, unless its endpoint is lost.
    pub(crate) fn only_copy(&self) -> Self {
        let left = Repeats { on_stale: 0, elsewhere: 0, ..self.left };
        Self { parts: self.parts.clone(), upload: self.upload.clone(), left }
    }

    pub(crate) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.parts.headers
    }

    /// A second copy, for another attempt of the same version: what goes wrong then is not repeated from here.
    pub(crate) fn another(&self) -> Self {
        let left = Repeats { elsewhere: 0, ..self.left };
        Self { parts: self.parts.clone(), upload: self.upload.clone(), left }
    }

    /// Whether it may be sent again although an endpoint may have begun to work on it.
    pub(crate) fn may_repeat(&self) -> bool {
        self.left.on_stale > 0
    }

    /// Whether all of the body that was read is still at hand, and is no more than is kept for a repeat.
    pub(crate) fn is_small(&self) -> bool {
        let fits = |upload: &Rc<Upload>| usize::try_from(upload.bytes()).is_ok_and(|bytes| bytes <= KEPT);
        self.is_whole() && self.upload.as_ref().is_none_or(fits)
    }

    /// One that a connection gave back.
    pub(super) fn restore(unsent: Request<RequestBody>, patience: &Patience<'_>, left: Repeats) -> Self {
        Self { parts: Box::new(unsent.into_parts().0), upload: patience.upload.clone(), left }
    }

    /// HTTP/1.1 wants a host, and HTTP/2 one with a name. A client of HTTP/1.0 may have named none: then the endpoint is
    /// called by its own name.
    pub(super) fn name_host(&mut self, pool: &Pool) {
        let is_named =
            self.parts.headers.get(HOST).is_some_and(|host| !host.is_empty() || !pool.multiplexes());
        if !is_named && let Ok(name) = HeaderValue::from_str(&pool.declared) {
            self.parts.headers.insert(HOST, name);
        }
    }

    /// A second copy, if it may be needed: an endpoint that says what it has not looked at makes any request safe to
    /// repeat.
    pub(super) fn spare(&self, repeats: u8, pool: &Pool) -> Option<Self> {
        (repeats > 0 || self.left.moves > 0 || pool.multiplexes()).then(|| Self {
            parts: self.parts.clone(),
            upload: self.upload.clone(),
            left: self.left,
        })
    }

    /// Whether this copy may be sent after the first came to nothing.
    pub(super) fn may_follow(&self, error: &SendError, repeats: u8) -> bool {
        let safe = match error {
            SendError::Closing | SendError::Refused | SendError::NotSent(_) => true,
            SendError::Unheard => repeats > 0,
            SendError::Lost => self.left.moves > 0,
            SendError::Failed(_) => false,
        };
        safe && self.is_whole()
    }

    /// Whether all of the body that was read is still at hand.
    pub(crate) fn is_whole(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.can_repeat())
    }

    pub(super) fn request(self) -> Request<RequestBody> {
        let body = self.upload.as_ref().map_or(RequestBody::Empty, Upload::body);
        Request::from_parts(*self.parts, body)
    }
}
