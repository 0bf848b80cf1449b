//! HTTP/1.1 towards an endpoint: a connection carries one request at a time and waits for the next one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::connect::{Dial, Socket};
use super::patience::Patience;
use super::pool::{AGE, SendError, is_answer};
use super::socket::Line;
use super::switch::{Left, Switch};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::routing::Protocol;
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::AttemptError;
use crate::proxy::request::upload::RequestBody;
use crate::proxy::tunnel::ask::agrees;

/// Below 5 s, after which Node and others close.
const IDLE: Duration = Duration::from_secs(4);
/// Connections kept per worker and endpoint.
const KEPT: usize = 64;
/// The largest response head, and what is buffered per connection and direction.
const BUFFER: usize = 64 * 1024;

/// Connections that wait for a request: the last used first, never one that may be dead already.
#[derive(Default)]
pub(super) struct Waiting(RefCell<Vec<Idle>>);

struct Idle {
    connection: Connection,
    /// Kept with its timer, for the next request.
    alarm: Alarm,
    until: Timestamp,
}

/// A connection to an endpoint, for one request at a time. Dropping it closes it, whatever it is doing.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    task: AbortHandle,
    line: Rc<Line>,
    dies: Timestamp,
    /// How long it may be kept for another request; zero: it is for one.
    idle: Duration,
    switch: Switch,
    /// The protocol that was asked for, and where the socket comes when the endpoint agrees.
    asked: Option<Box<Asked>>,
}

type Asked = (HeaderValue, oneshot::Receiver<Left>);

impl Waiting {
    /// A connection that was used before and is fit for another request.
    pub(super) fn take(&self, now: Timestamp) -> Option<(Connection, Alarm)> {
        let mut idle = self.0.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if candidate.is_fit(now) {
                return Some((candidate.connection, candidate.alarm));
            }
        }
        None
    }

    /// Keeps a connection for the next request if it is fit for one: an answer that came before the request was
    /// whole leaves it unfit.
    pub(super) fn put(&self, connection: Connection, alarm: Alarm, now: Timestamp) {
        if connection.sender.is_ready() && !connection.idle.is_zero() {
            self.keep(connection, alarm, now);
        }
    }

    /// Keeps one that is new: it is ready as soon as its task has begun.
    pub(super) fn keep(&self, connection: Connection, mut alarm: Alarm, now: Timestamp) {
        let mut idle = self.0.borrow_mut();
        if idle.len() < KEPT {
            alarm.clear();
            let until = connection.dies.min(now + connection.idle);
            idle.push(Idle { connection, alarm, until });
        }
    }

    /// Closes connections that waited for too long.
    pub(super) fn reap(&self, now: Timestamp) {
        self.0.borrow_mut().retain(|idle| idle.is_fit(now));
    }

    /// Closes all of them.
    pub(super) fn close(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Idle {
    fn is_fit(&self, now: Timestamp) -> bool {
        now < self.until && self.connection.sender.is_ready()
    }
}

impl Connection {
    /// `header`: says first whom it is for, and that stays so; empty: anybody.
    pub(super) async fn open(dial: &Dial, header: &[u8], clock: &Clock) -> Result<Self, AttemptError> {
        let mut connection = Self::on(dial.socket(Some(Protocol::Http1), header).await?, clock).await?;
        if !header.is_empty() {
            connection.idle = Duration::ZERO;
        }
        Ok(connection)
    }

    pub(super) async fn on(socket: Socket, clock: &Clock) -> Result<Self, AttemptError> {
        let Socket { io, line, spoken: _ } = socket;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|_| AttemptError::Terminated)?;
        let switch = Switch::default();
        let task = tokio::task::spawn_local(switch.clone().drive(connection)).abort_handle();
        let dies = clock.now() + AGE.mul_f64(0.9 + 0.2 * fastrand::f64());
        Ok(Self { sender, task, line, dies, idle: IDLE, switch, asked: None })
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) fn send<'a>(
        &'a mut self,
        mut request: Request<RequestBody>,
        patience: &'a Patience<'a>,
        alarm: &'a mut Alarm,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> + 'a {
        let before = self.line.heard.get();
        if !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH) {
            // Said aloud: of a GET or HEAD that does not say so hyper sends no body, and leaves the client's unread.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let protocol = request.headers().get(UPGRADE);
        self.asked = protocol.map(|protocol| Box::new((protocol.clone(), self.switch.expect())));
        // Boxed, and not `async` up to here: what hyper makes of a request is as large as that, and everything outside of it
        // would carry both.
        let answer = Box::pin(self.sender.try_send_request(request));
        async move {
            match patience.wait(alarm, answer).await? {
                Ok(response) => self.accept(response),
                Err(mut error) => match error.take_message() {
                    Some(_) => Err(SendError::NotSent),
                    None => Err(self.failed(&error.into_error(), patience, before)),
                },
            }
        }
    }

    /// The socket, after a 101.
    pub(super) async fn taken_over(mut self) -> Option<Left> {
        let (_, left) = *self.asked.take()?;
        left.await.ok()
    }

    /// Takes only what can be an answer: 101 to what was asked for, and codes end at 599.
    fn accept(&mut self, response: Response<Incoming>) -> Result<Response<Incoming>, SendError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match self.asked.as_deref() {
                Some((protocol, _)) if agrees(response.headers(), protocol) => Ok(response),
                Some(_) => Err(SendError::Failed(AttemptError::UpgradeFailed)),
                None => Err(SendError::Failed(AttemptError::Malformed)),
            };
        }
        if self.asked.take().is_some() {
            self.switch.forget();
        }
        if !is_answer(response.status()) {
            return Err(SendError::Failed(AttemptError::Malformed));
        }
        if let Some(idle) = keep_alive(response.headers()) {
            // One second less than the endpoint says: it may close at the very moment we send.
            self.idle = self.idle.min(idle.saturating_sub(Duration::from_secs(1)));
        }
        Ok(response)
    }

    fn failed(&self, error: &hyper::Error, patience: &Patience<'_>, before: u64) -> SendError {
        if let Some(spoiled) = patience.spoiled() {
            SendError::Failed(spoiled)
        } else if let Some(fault) = self.line.tls.get() {
            SendError::Failed(fault)
        } else if self.line.heard.get() == before {
            SendError::Unheard
        } else if let Some(unfinished) = patience.unfinished() {
            SendError::Failed(unfinished)
        } else if error.is_incomplete_message() {
            SendError::Failed(AttemptError::Incomplete)
        } else {
            SendError::Failed(AttemptError::Malformed)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an endpoint says about how long it keeps a silent connection: `Keep-Alive: timeout=5, max=1000`.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_own_idle_limit_is_read() {
        for (text, seconds) in [("timeout=5", Some(5)), ("timeout=3, max=10", Some(3)), ("max=10", None)] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("keep-alive"),
                HeaderValue::from_static(text),
            )]);
            assert_eq!(keep_alive(&headers), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
