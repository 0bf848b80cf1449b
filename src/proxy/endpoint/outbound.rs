//! A request, ready for an endpoint, and what may still be done with it once it was sent.

use std::rc::Rc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::pool::{Pool, SendError};
use crate::proxy::request::origin::Introduction;
use crate::proxy::request::upload::{KEPT, Repeat, RequestBody, Upload};

/// A request, ready for an endpoint. Stays here while it is sent: whoever sends it borrows it.
pub(crate) struct Outbound {
    /// Boxed: it passes through many hands.
    pub(super) parts: Box<Parts>,
    introduction: Introduction,
    pub(super) upload: Option<Rc<Upload>>,
    pub(super) left: Repeats,
    /// Its client named no host, so the endpoint is called by its own name.
    nameless: bool,
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
    /// For another version, once; and again if its endpoint is lost.
    pub(super) fn for_another_version(self) -> Self {
        Self { on_stale: 0, elsewhere: 0, ..self }
    }

    /// For another attempt of the same version: what goes wrong then is not repeated from here.
    pub(super) fn for_another_attempt(self) -> Self {
        Self { elsewhere: 0, ..self }
    }

    /// A connection died with it.
    pub(super) fn after_a_death(self) -> Self {
        let [on_stale, elsewhere] = [self.on_stale, self.elsewhere].map(|left| left.saturating_sub(1));
        Self { on_stale, elsewhere, ..self }
    }
}

impl Outbound {
    /// `upload` must keep what it reads if `repeat` says that it may be needed again.
    pub(crate) fn new(
        parts: Box<Parts>,
        introduction: Introduction,
        upload: Option<Rc<Upload>>,
        repeat: Repeat,
    ) -> Self {
        let left = match repeat {
            Repeat::Possible => Repeats { on_stale: REPEATS, elsewhere: REPEATS, moves: MOVES },
            Repeat::Never => Repeats { on_stale: 0, elsewhere: 0, moves: 0 },
        };
        Self { parts, introduction, upload, left, nameless: false }
    }

    pub(crate) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.parts.headers
    }

    /// All fields that its endpoint gets.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.parts.headers.iter().chain(self.introduction.fields())
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

    /// HTTP/1.1 wants a host, and HTTP/2 one with a name. A client of HTTP/1.0 may have named none: then the endpoint is
    /// called by its own name.
    pub(super) fn name_host(&mut self, pool: &Pool) {
        let is_named =
            self.parts.headers.get(HOST).is_some_and(|host| !host.is_empty() || !pool.multiplexes());
        self.nameless |= !is_named;
        if self.nameless
            && let Ok(name) = HeaderValue::from_str(&pool.declared)
        {
            self.parts.headers.insert(HOST, name);
        }
    }

    /// Whether it may be sent again after an attempt came to nothing.
    pub(super) fn may_follow(&self, error: &SendError, repeats: u8) -> bool {
        let safe = match error {
            SendError::Closing | SendError::Refused | SendError::NotSent => true,
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

    /// The body from its beginning. A second time only if it [`Self::is_whole`].
    pub(super) fn body(&self) -> RequestBody {
        self.upload.as_ref().map_or(RequestBody::Empty, Upload::body)
    }

    /// A copy, to be made into another form.
    pub(super) fn request(&self) -> Request<RequestBody> {
        let mut parts = Parts::clone(&self.parts);
        parts.headers.extend(self.introduction.fields().map(|(name, value)| (name.clone(), value.clone())));
        Request::from_parts(parts, self.body())
    }
}
