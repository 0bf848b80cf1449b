//! One worker's connections to one endpoint.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use super::connect::{Dial, Speech, in_time};
use super::forward::Connections;
use super::outbound::Outbound;
use super::received::Received;
use super::waiting::Waiters;
use super::{http1, http2, patience::Patience};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::routing::{Endpoint, EndpointId, Protocol};
use crate::domain::stats::{EndpointCells, EndpointCounts};
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::AttemptError;

/// Afterwards a connection is not reused, ±10 %: load spreads to new hosts behind an address.
pub(super) const AGE: Duration = Duration::from_secs(600);

/// An endpoint as one worker knows it. Lives as long as the endpoint is in the snapshot, across snapshots.
pub(crate) struct Pool {
    pub(crate) id: EndpointId,
    pub(crate) address: SocketAddr,
    pub(crate) declared: Arc<str>,
    pub(crate) cells: Arc<EndpointCells>,
    pub(crate) speech: Rc<Speech>,
    dial: Dial,
    http1: Rc<http1::Waiting>,
    http2: Rc<http2::Sessions>,
    /// Until when an endpoint that chose HTTP/1.1 is not asked again which it likes.
    chose_http1: Cell<Option<Timestamp>>,
    retired: Cell<bool>,
    pub(super) waiters: Waiters,
    /// When this worker asked it for the first time.
    first: OnceCell<Timestamp>,
    worker: usize,
}

/// What carries one request to an endpoint: a whole connection, or a stream of one. Dropping it ends the request,
/// whatever is still under way.
pub(crate) struct Connection {
    way: Way,
    pub(crate) alarm: Alarm,
}

enum Way {
    Http1(http1::Connection),
    Http2(http2::Stream),
}

/// Why there is no answer.
pub(crate) enum SendError {
    /// Not a byte was sent.
    NotSent,
    /// The endpoint let us know that it did nothing with it, because it closes the connection: any other will do.
    Closing,
    /// The endpoint let us know that it did nothing with it, and takes no more at the moment.
    Refused,
    /// The connection ended before the first byte of an answer.
    Unheard,
    /// The endpoint was lost while the answer was waited for, and somebody else may have one.
    Lost,
    /// Anything else.
    Failed(AttemptError),
}

impl Pool {
    /// For one worker, which may give it requests from now on.
    pub(crate) fn new(endpoint: &Endpoint, speech: &Rc<Speech>, worker: usize) -> Self {
        endpoint.cells.workers[worker].open.add(1);
        let (dial, http1) = (speech.dial(endpoint), Rc::<http1::Waiting>::default());
        Self {
            id: endpoint.id,
            address: endpoint.address,
            declared: endpoint.declared.clone(),
            cells: endpoint.cells.clone(),
            speech: speech.clone(),
            http2: http2::Sessions::new(dial.clone(), http1.clone()),
            http1,
            chose_http1: Cell::new(None),
            dial,
            retired: Cell::new(false),
            waiters: Waiters::default(),
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

    /// Whether a connection carries many requests, and says which of them it did not look at.
    pub(crate) fn multiplexes(&self) -> bool {
        self.speech.connection.protocol != Protocol::Http1
    }

    /// A way for another request on a connection that is open already.
    pub(crate) fn take(&self, clock: &Clock, now: Timestamp) -> Option<Connection> {
        let stream = if self.multiplexes() { self.http2.take(now) } else { None };
        if let Some(stream) = stream {
            return Some(Connection { way: Way::Http2(stream), alarm: Alarm::new(clock.clone()) });
        }
        // Empty where HTTP/2 is spoken.
        let (connection, alarm) = self.http1.take(now)?;
        Some(Connection { way: Way::Http1(connection), alarm })
    }

    /// A way for a request on a new connection, or the first that becomes free of those that carry many.
    pub(crate) async fn connect(
        &self,
        clock: &Clock,
        limit: Duration,
        wanted: Connections,
        header: &[u8],
    ) -> Result<Connection, AttemptError> {
        let until = clock.now() + limit;
        let speaks_http1 = match self.speech.connection.protocol {
            Protocol::Http1 => true,
            Protocol::Http2 => false,
            Protocol::Auto => self.chose_http1.get().is_some_and(|until| clock.now() < until),
        };
        if !speaks_http1 && wanted != Connections::Own {
            if let Some(stream) = self.http2.stream(clock, limit).await? {
                return Ok(Connection { way: Way::Http2(stream), alarm: Alarm::new(clock.clone()) });
            }
            let now = clock.now();
            self.chose_http1.set(Some(now + AGE));
            if let Some(connection) = self.take(clock, now) {
                return Ok(connection);
            }
        }
        let connecting = http1::Connection::open(&self.dial, header, clock);
        let connection = in_time(connecting, clock, until - clock.now()).await?;
        Ok(Connection { way: Way::Http1(connection), alarm: Alarm::new(clock.clone()) })
    }

    /// The answer is here to its end: keeps a connection for the next request if it is fit for one.
    pub(crate) fn put(&self, connection: Connection, now: Timestamp) {
        match connection.way {
            Way::Http1(http1) if !self.retired.get() => self.http1.put(http1, connection.alarm, now),
            Way::Http1(_) | Way::Http2(_) => {}
        }
    }

    /// Closes connections that waited for too long.
    pub(crate) fn reap(&self, now: Timestamp) {
        self.http1.reap(now);
        self.http2.reap(now);
    }

    /// The endpoint is gone: closes what is idle and keeps nothing from now on.
    pub(crate) fn retire(&self) {
        if !self.retired.replace(true) {
            self.cells.workers[self.worker].open.add(-1);
        }
        self.http1.close();
        self.http2.close();
    }

    /// Whether requests that wait for it need not: it gets no others, and control says that nothing answers there.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.retired.get() && self.cells.is_lost()
    }

    /// If it is lost, those who wait for it go elsewhere, as far as they may.
    pub(crate) fn leave_if_lost(&self) {
        if self.is_lost() {
            self.waiters.wake();
        }
    }
}

impl Connection {
    /// Sends a request `now`, and waits for the head of the answer.
    pub(crate) async fn send(
        &mut self,
        outbound: &Outbound,
        patience: &Patience<'_>,
        now: Timestamp,
    ) -> Result<Response<Received>, SendError> {
        self.alarm.set(patience.ends(now));
        match &mut self.way {
            Way::Http1(connection) => {
                let answer = connection.send(outbound, patience, &mut self.alarm).await;
                answer.map(|response| response.map(Received::Http1))
            }
            Way::Http2(stream) => {
                let answer = Box::pin(stream.send(outbound.request(), patience, &mut self.alarm)).await;
                answer.map(|response| response.map(Received::Http2))
            }
        }
    }
}

impl Connection {
    /// The socket, after a 101.
    pub(crate) fn taken_over(self) -> Option<http1::Left> {
        match self.way {
            Way::Http1(connection) => connection.taken_over(),
            Way::Http2(_) => None,
        }
    }
}

/// Only these can be answers: 101 was not asked for, and codes end at 599.
pub(super) fn is_answer(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}
