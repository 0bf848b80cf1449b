//! One request on a session: its form, its answer, and what it means when there is none.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use h2::{Reason, RecvStream};
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use http_body::Body as _;
use tokio::task::AbortHandle;

use super::super::patience::Patience;
use super::super::pool::{SendError, is_answer};
use super::body::Body;
use super::pump::Pump;
use super::session::Session;
use super::sessions::Sessions;
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::{AttemptError, ClientFault};
use crate::proxy::request::upload::RequestBody;

/// A place for one request on a session. Dropping it ends the request, and nobody else's.
pub(crate) struct Stream {
    session: Rc<Session>,
    sessions: Rc<Sessions>,
    /// What still carries the request's body.
    pump: Option<AbortHandle>,
}

impl Stream {
    pub(super) fn new(session: Rc<Session>, sessions: Rc<Sessions>) -> Self {
        session.takes_one();
        Self { session, sessions, pump: None }
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
        patience: &Patience<'_>,
        alarm: &mut Alarm,
    ) -> Result<Response<Body>, SendError> {
        let (mut parts, body) = request.into_parts();
        if level(&mut parts, self.sessions.scheme()).is_none() {
            return Err(SendError::Failed(AttemptError::Client(ClientFault::Unsayable)));
        }
        let (head, whole) = (Request::from_parts(parts, ()), body.is_end_stream());
        let before = self.session.heard();
        let (answer, sending) =
            self.session.send(head, whole).map_err(|error| self.failed(&error, patience))?;
        if !whole {
            self.pump(Pump::new(body, sending)).await;
        }
        match patience.wait(alarm, answer).await {
            Err(unanswered) => {
                if self.session.heard() == before {
                    self.session.doubt();
                }
                Err(unanswered)
            }
            Ok(Ok(response)) => accept(response),
            Ok(Err(error)) => Err(self.failed(&error, patience)),
        }
    }

    /// Sends what can be sent at once; the rest in a task of its own: an answer may begin, and stand still, meanwhile.
    async fn pump(&mut self, mut pump: Pump) {
        let sent = poll_fn(|cx| Poll::Ready(Pin::new(&mut pump).poll(cx).is_ready())).await;
        if !sent {
            self.pump = Some(tokio::task::spawn_local(pump).abort_handle());
        }
    }

    /// What it means that there is no answer on this stream.
    fn failed(&self, error: &h2::Error, patience: &Patience<'_>) -> SendError {
        if let Some(spoiled) = patience.spoiled() {
            return SendError::Failed(spoiled);
        }
        if error.is_remote() && error.is_go_away() {
            // Only streams that the endpoint will never look at are told so (RFC 9113 section 6.8).
            return SendError::Closing;
        }
        if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
            return SendError::Refused;
        }
        if error.is_library() {
            // Our own word: see where the answer's body breaks.
            let ours = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
            return SendError::Failed(if ours { AttemptError::Scolded } else { AttemptError::Malformed });
        }
        if error.is_reset() {
            return SendError::Failed(patience.unfinished().unwrap_or(AttemptError::Reset));
        }
        if !error.is_io() {
            return SendError::Failed(AttemptError::Client(ClientFault::Unsayable));
        }
        if self.session.is_scolded() { SendError::Failed(AttemptError::Scolded) } else { SendError::Unheard }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
        self.session.lets_one_go();
        self.sessions.has_room();
    }
}

fn accept(response: Response<RecvStream>) -> Result<Response<Body>, SendError> {
    if !is_answer(response.status()) {
        return Err(SendError::Failed(AttemptError::Malformed));
    }
    let (parts, stream) = response.into_parts();
    let body = Body::new(stream, &parts.headers);
    Ok(Response::from_parts(parts, body))
}

/// RFC 9113 section 8.3.1: where `Host` was there is `:authority`, and there is nothing between two hops but `te`.
fn level(parts: &mut Parts, scheme: Scheme) -> Option<()> {
    let host = parts.headers.remove(HOST)?;
    // What an attempt over HTTP/1.1 has left there means nothing here.
    for name in [CONNECTION, TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    let mut target = std::mem::take(&mut parts.uri).into_parts();
    target.scheme = Some(scheme);
    target.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    target.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    parts.uri = Uri::from_parts(target).ok()?;
    parts.version = Version::HTTP_2;
    Some(())
}
