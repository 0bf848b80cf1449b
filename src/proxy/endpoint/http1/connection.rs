//! One connection to an endpoint: opened, one request after the other, handed over or closed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::Body as _;

use super::Body;
use super::upload::Rest;
use super::wire::{Unanswered, Wire};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::routing::Protocol;
use crate::proxy::alarm::Alarm;
use crate::proxy::endpoint::connect::{Dial, Socket};
use crate::proxy::endpoint::outbound::Outbound;
use crate::proxy::endpoint::patience::Patience;
use crate::proxy::endpoint::pool::{AGE, SendError, is_answer};
use crate::proxy::endpoint::socket::{EndpointSocket, Line};
use crate::proxy::fault::AttemptError;
use crate::proxy::http1::Framing;
use crate::proxy::http1::response::ResponseHead;
use crate::proxy::tunnel::ask::agrees;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Below 5 s, after which Node and others close.
const IDLE: Duration = Duration::from_secs(4);

/// A connection to an endpoint, for one request at a time. Dropping it closes it, whatever it is doing.
pub(in crate::proxy::endpoint) struct Connection {
    /// Shared with the body of the answer that is under way, and with the rest of a request that it came before.
    wire: Rc<RefCell<Wire>>,
    line: Rc<Line>,
    dies: Timestamp,
    /// How long it may be kept for another request; zero: it is for one.
    idle: Duration,
    rest: Option<Rest>,
}

/// The socket after a 101, and what was read behind it.
pub(crate) struct Left {
    pub(crate) io: EndpointSocket,
    pub(crate) early: Bytes,
}

impl Connection {
    /// `header`: says first whom it is for, and that stays so; empty: anybody.
    pub(in crate::proxy::endpoint) async fn open(
        dial: &Dial,
        header: &[u8],
        clock: &Clock,
    ) -> Result<Self, AttemptError> {
        let mut connection = Self::on(dial.socket(Some(Protocol::Http1), header).await?, clock);
        if !header.is_empty() {
            connection.idle = Duration::ZERO;
        }
        Ok(connection)
    }

    pub(in crate::proxy::endpoint) fn on(socket: Socket, clock: &Clock) -> Self {
        let Socket { io, line, spoken: _ } = socket;
        let dies = clock.now() + AGE.mul_f64(0.9 + 0.2 * fastrand::f64());
        Self { wire: Rc::new(RefCell::new(Wire::new(io))), line, dies, idle: IDLE, rest: None }
    }

    /// Sends a request and waits for the head of the answer.
    pub(in crate::proxy::endpoint) async fn send(
        &mut self,
        request: &Outbound,
        patience: &Patience<'_>,
        alarm: &mut Alarm,
    ) -> Result<Response<Body>, SendError> {
        self.wire.borrow_mut().begin(request);
        let asked = &request.parts.method;
        let answer = poll_fn(|cx| self.wire.borrow_mut().poll_answer(cx, asked));
        match patience.wait(alarm, answer).await? {
            Ok(head) => self.accept(head, request),
            Err(unanswered) => Err(self.failed(unanswered, patience)),
        }
    }

    /// The socket, after a 101.
    pub(in crate::proxy::endpoint) fn taken_over(self) -> Option<Left> {
        let (io, early) = Rc::try_unwrap(self.wire).ok()?.into_inner().into_parts();
        Some(Left { io, early: early.freeze() })
    }

    /// After an answer: whether it is fit for another request, for which it waits from now on.
    pub(super) fn rests(&mut self) -> bool {
        let mut wire = self.wire.borrow_mut();
        let fit = wire.is_fit() && !self.idle.is_zero();
        if fit {
            wire.rest();
            self.rest = None;
        }
        fit
    }

    pub(super) fn rests_until(&self, now: Timestamp) -> Timestamp {
        self.dies.min(now + self.idle)
    }

    /// Whether nothing came on it while it waited, not even its end.
    pub(super) fn is_quiet(&self) -> bool {
        self.wire.borrow_mut().is_quiet()
    }

    /// Takes only what can be an answer: 101 to what was asked for, and codes end at 599.
    fn accept(&mut self, head: ResponseHead, request: &Outbound) -> Result<Response<Body>, SendError> {
        let parts = head.parts;
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return match request.parts.headers.get(UPGRADE) {
                Some(protocol) if agrees(&parts.headers, protocol) => {
                    Ok(Response::from_parts(parts, Body::none()))
                }
                Some(_) => Err(SendError::Failed(AttemptError::UpgradeFailed)),
                None => Err(SendError::Failed(AttemptError::Malformed)),
            };
        }
        if !is_answer(parts.status) {
            return Err(SendError::Failed(AttemptError::Malformed));
        }
        if let Some(idle) = keep_alive(&parts.headers) {
            // One second less than the endpoint says: it may close at the very moment we send.
            self.idle = self.idle.min(idle.saturating_sub(Duration::from_secs(1)));
        }
        if !head.keeps_alive {
            self.idle = Duration::ZERO;
        }
        Ok(Response::from_parts(parts, self.body(head.framing)))
    }

    /// The body of an answer whose head is here.
    fn body(&mut self, framing: Framing) -> Body {
        let body = Body::new(&self.wire, framing);
        if !body.is_end_stream() && !self.wire.borrow().is_sent() {
            self.rest = Some(Rest::carry(Rc::downgrade(&self.wire)));
        }
        body
    }

    /// What it means that there is no answer.
    fn failed(&self, unanswered: Unanswered, patience: &Patience<'_>) -> SendError {
        if let Some(spoiled) = patience.spoiled() {
            return SendError::Failed(spoiled);
        }
        if let Some(fault) = self.line.tls.get() {
            return SendError::Failed(fault);
        }
        match unanswered {
            Unanswered::NotSent => SendError::NotSent,
            Unanswered::Spoiled(error) => SendError::Failed(error),
            Unanswered::Ended | Unanswered::Malformed if !self.wire.borrow().heard => SendError::Unheard,
            Unanswered::Ended => SendError::Failed(patience.unfinished().unwrap_or(AttemptError::Incomplete)),
            Unanswered::Malformed => {
                SendError::Failed(patience.unfinished().unwrap_or(AttemptError::Malformed))
            }
        }
    }
}

/// What an endpoint says about how long it keeps a silent connection: `Keep-Alive: timeout=5, max=1000`.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_endpoints_own_idle_limit_is_read() {
        for (text, seconds) in [("timeout=5", Some(5)), ("timeout=3, max=10", Some(3)), ("max=10", None)] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("keep-alive"),
                HeaderValue::from_static(text),
            )]);
            assert_eq!(keep_alive(&headers), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
