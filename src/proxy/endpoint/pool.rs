//! One worker's connections to one endpoint: the last used first, never one that may be dead already.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::socket::EndpointSocket;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::routing::{Endpoint, EndpointId};
use crate::domain::stats::{EndpointCells, EndpointCounts};
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::AttemptError;
use crate::proxy::request::upload::{RequestBody, Upload};

/// Below 5 s, after which Node and others close.
const IDLE: Duration = Duration::from_secs(4);
/// Connections kept per worker and endpoint.
const KEPT: usize = 64;
/// Afterwards a connection is not reused, ±10 %: load spreads to new hosts behind an address.
const AGE: Duration = Duration::from_secs(600);
/// The largest response head, and what is buffered per connection and direction.
const BUFFER: usize = 64 * 1024;

/// An endpoint as one worker knows it. Lives as long as the endpoint is in the snapshot, across snapshots.
pub(crate) struct Pool {
    pub(crate) id: EndpointId,
    pub(crate) address: SocketAddr,
    pub(crate) declared: Arc<str>,
    pub(crate) cells: Arc<EndpointCells>,
    idle: RefCell<Vec<Idle>>,
    retired: Cell<bool>,
    /// When this worker asked it for the first time.
    first: OnceCell<Timestamp>,
    worker: usize,
}

struct Idle {
    connection: Connection,
    until: Timestamp,
}

/// A connection to an endpoint, for one request at a time. Dropping it closes it, whatever it is doing.
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    task: AbortHandle,
    heard: Rc<Cell<bool>>,
    pub(crate) alarm: Alarm,
    dies: Timestamp,
    /// How long it may be kept for another request; zero: it is for one.
    idle: Duration,
}

/// How long to wait for an answer.
pub(crate) struct Patience {
    pub(crate) clock: Clock,
    /// From the end of the request.
    pub(crate) response: Duration,
    /// The same, as long as the request could be sent again if this is over.
    pub(crate) per_try: Option<Duration>,
    /// When the whole exchange must be over.
    pub(crate) whole: Option<Timestamp>,
    pub(crate) upload: Option<Rc<Upload>>,
}

/// Why there is no answer.
pub(crate) enum SendError {
    /// Not a byte was sent: here is the request again.
    NotSent(Box<Request<RequestBody>>),
    /// The connection ended before the first byte of an answer.
    Unheard,
    /// Anything else.
    Failed(AttemptError),
}

impl Pool {
    /// For one worker, which may give it requests from now on.
    pub(crate) fn new(endpoint: &Endpoint, worker: usize) -> Self {
        endpoint.cells.workers[worker].open.add(1);
        Self {
            id: endpoint.id,
            address: endpoint.address,
            declared: endpoint.declared.clone(),
            cells: endpoint.cells.clone(),
            idle: RefCell::default(),
            retired: Cell::new(false),
            first: OnceCell::new(),
            worker,
        }
    }

    /// For how long this worker has asked it, at `now`; asking for this is asking it.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        now - *self.first.get_or_init(|| now)
    }

    /// This worker's counters.
    pub(crate) fn counts(&self, worker: usize) -> &EndpointCounts {
        &self.cells.workers[worker]
    }

    /// A connection that was used before and is fit for another request.
    pub(crate) fn take(&self, now: Timestamp) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if candidate.is_fit(now) {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// A new connection. `header`: says first whom it is for, and that stays so; empty: anybody.
    pub(crate) async fn connect(
        &self,
        clock: &Clock,
        limit: Duration,
        header: &[u8],
    ) -> Result<Connection, AttemptError> {
        let stream = tokio::select! {
            biased;
            stream = self.introduce(header) => stream.map_err(|error| AttemptError::of_connect(&error))?,
            () = clock.sleep_until(clock.now() + limit) => return Err(AttemptError::ConnectTimeout),
        };
        let mut connection = Connection::open(stream, clock).await?;
        if !header.is_empty() {
            connection.idle = Duration::ZERO;
        }
        Ok(connection)
    }

    async fn introduce(&self, header: &[u8]) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(header).await?;
        Ok(stream)
    }

    /// Keeps a connection for the next request if it is fit for one: an answer that came before the request was
    /// whole leaves it unfit.
    pub(crate) fn put(&self, mut connection: Connection, now: Timestamp) {
        let mut idle = self.idle.borrow_mut();
        if self.retired.get()
            || connection.idle.is_zero()
            || idle.len() >= KEPT
            || !connection.sender.is_ready()
        {
            return;
        }
        connection.alarm.clear();
        let until = connection.dies.min(now + connection.idle);
        idle.push(Idle { connection, until });
    }

    /// Closes connections that waited for too long.
    pub(crate) fn reap(&self, now: Timestamp) {
        self.idle.borrow_mut().retain(|idle| idle.is_fit(now));
    }

    /// The endpoint is gone: closes what is idle and keeps nothing from now on.
    pub(crate) fn retire(&self) {
        if !self.retired.replace(true) {
            self.cells.workers[self.worker].open.add(-1);
        }
        self.idle.borrow_mut().clear();
    }
}

impl Idle {
    fn is_fit(&self, now: Timestamp) -> bool {
        now < self.until && self.connection.sender.is_ready()
    }
}

impl Connection {
    async fn open(stream: TcpStream, clock: &Clock) -> Result<Self, AttemptError> {
        // An error here means that the connection is gone already; sending will tell.
        let _nodelay = stream.set_nodelay(true);
        let heard = Rc::new(Cell::new(false));
        let socket = TokioIo::new(EndpointSocket::new(stream, heard.clone()));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(socket)
            .await
            .map_err(|_| AttemptError::Terminated)?;
        // Its errors reach the request that is under way; when none is, there is nobody to tell.
        let task =
            tokio::task::spawn_local(async move { connection.await.unwrap_or_default() }).abort_handle();
        let dies = clock.now() + AGE.mul_f64(0.9 + 0.2 * fastrand::f64());
        Ok(Self { sender, task, heard, alarm: Alarm::new(clock.clone()), dies, idle: IDLE })
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
        patience: &Patience,
    ) -> Result<Response<Incoming>, SendError> {
        self.heard.set(false);
        let mut answer = pin!(self.sender.try_send_request(request));
        let alarm = &mut self.alarm;
        alarm.set(patience.begin());
        let answer = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            while alarm.poll(cx).is_ready() {
                match patience.longer() {
                    Some(until) => alarm.set(until),
                    None => return Poll::Ready(None),
                }
            }
            Poll::Pending
        })
        .await;
        alarm.clear();
        match answer {
            None => Err(SendError::Failed(patience.ended())),
            Some(Ok(response)) => self.accept(response),
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Err(SendError::NotSent(Box::new(request))),
                None => Err(self.failed(&error.into_error(), patience)),
            },
        }
    }

    /// Takes only what can be an answer: 101 was not asked for, and codes end at 599.
    fn accept(&mut self, response: Response<Incoming>) -> Result<Response<Incoming>, SendError> {
        if !(200..600).contains(&response.status().as_u16()) {
            return Err(SendError::Failed(AttemptError::Malformed));
        }
        if let Some(idle) = keep_alive(response.headers()) {
            // One second less than the endpoint says: it may close at the very moment we send.
            self.idle = self.idle.min(idle.saturating_sub(Duration::from_secs(1)));
        }
        Ok(response)
    }

    fn failed(&self, error: &hyper::Error, patience: &Patience) -> SendError {
        let upload = patience.upload.as_ref();
        if let Some(fault) = upload.and_then(|upload| upload.fault()) {
            SendError::Failed(AttemptError::Client(fault))
        } else if !self.heard.get() {
            SendError::Unheard
        } else if let Some(fault) = upload.and_then(|upload| upload.why_unfinished()) {
            SendError::Failed(AttemptError::Client(fault))
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

impl Patience {
    fn begin(&self) -> Timestamp {
        self.bounded(self.clock.now() + self.limit())
    }

    /// Asked when time is up: until when to wait further. An endpoint has its time from the end of the request, so
    /// while the request is still coming the clock starts anew with each piece that the endpoint takes.
    fn longer(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let upload = self.upload.as_ref().filter(|_| self.whole.is_none_or(|whole| now < whole))?;
        // What the client owes us has a limit of its own.
        let since = if upload.waits_for_client() { now } else { upload.progress() };
        Some(self.bounded(since + self.limit())).filter(|until| *until > now)
    }

    fn limit(&self) -> Duration {
        let repeatable = self.upload.as_ref().is_none_or(|upload| upload.can_repeat());
        self.per_try.filter(|_| repeatable).map_or(self.response, |limit| limit.min(self.response))
    }

    /// What it means that the connection ended before the first byte of an answer.
    pub(crate) fn unheard(&self) -> AttemptError {
        let unfinished = self.upload.as_ref().and_then(|upload| upload.why_unfinished());
        unfinished.map_or(AttemptError::Terminated, AttemptError::Client)
    }

    /// Time is up. Whose fault it is depends on who let us wait.
    fn ended(&self) -> AttemptError {
        match &self.upload {
            Some(upload) if upload.waits_for_client() => {
                AttemptError::Client(crate::proxy::fault::ClientFault::Stalled)
            }
            _ => AttemptError::ResponseTimeout,
        }
    }

    fn bounded(&self, at: Timestamp) -> Timestamp {
        self.whole.map_or(at, |whole| at.min(whole))
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
                http::HeaderValue::from_static(text),
            )]);
            assert_eq!(keep_alive(&headers), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
