//! From a chosen version to the head of an answer: which endpoint, which connection, and when to try again. A request
//! is sent twice only if it was never sent, or if it is safe to repeat and its connection died unheard.

use std::rc::Rc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use super::answer::Download;
use super::fault::AttemptError;
use super::observe::Exchange;
use super::pool::{Connection, Patience, Pool, SendError};
use super::upload::{Repeat, RequestBody, Upload};
use super::view::View;
use crate::domain::Timestamp;
use crate::domain::routing::{EndpointId, Timeouts, Version};

/// How many endpoints are tried when they can't be connected to.
const ATTEMPTS: usize = 3;

/// A request, ready for an endpoint.
pub(super) struct Outbound {
    parts: Parts,
    upload: Option<Rc<Upload>>,
}

/// Where a request may go and how long it may take.
pub(super) struct Destination<'a> {
    pub(super) view: &'a View,
    pub(super) version: &'a Version,
    pub(super) timeouts: Timeouts,
    /// When the whole exchange must be over.
    pub(super) whole: Option<Timestamp>,
}

/// Why an endpoint gave no answer.
enum Failed {
    /// It saw nothing of the request.
    Unsent(AttemptError, Box<Outbound>),
    /// It may have begun to work on it.
    Sent(AttemptError),
}

/// The head of an endpoint's answer, and the connection on which the rest comes.
type Answered = (Response<Incoming>, Connection);

/// Sends the request to one endpoint of the version after another, until one takes it.
pub(super) async fn forward(
    exchange: &mut Exchange,
    to: &Destination<'_>,
    mut outbound: Outbound,
) -> Result<Response<Download>, AttemptError> {
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut last = AttemptError::NoEndpoint;
    while tried.len() < ATTEMPTS
        && let Some(pool) = to.view.pick(to.version, &tried, exchange.worker.index)
    {
        exchange.attempt(&pool);
        match to.send(exchange, &pool, outbound).await {
            Ok((response, connection)) => return Ok(to.answer(response, connection, pool)),
            Err(Failed::Sent(error)) => {
                exchange.failed(error);
                return Err(error);
            }
            Err(Failed::Unsent(error, unsent)) => {
                exchange.failed(error);
                outbound = *unsent;
                last = error;
            }
        }
        tried.push(pool.id);
    }
    if last == AttemptError::NoEndpoint {
        exchange.failed(last);
    }
    Err(last)
}

impl Destination<'_> {
    /// Sends the request to this endpoint: on a connection that is open already if there is one, else on a new one.
    async fn send(
        &self,
        exchange: &mut Exchange,
        pool: &Pool,
        mut outbound: Outbound,
    ) -> Result<Answered, Failed> {
        let clock = &exchange.worker.clock.clone();
        let patience = Patience {
            clock: clock.clone(),
            response: self.timeouts.response,
            whole: self.whole,
            upload: outbound.upload.clone(),
        };
        outbound.name_host(pool);
        while let Some(mut connection) = pool.take(clock.now()) {
            let spare = outbound.spare();
            match (connection.send(outbound.request(), &patience).await, spare) {
                (Ok(response), _) => return Ok((response, connection)),
                // It closed between two requests: no attempt at all.
                (Err(SendError::NotSent(unsent)), _) => outbound = patience.restore(*unsent),
                // It died with our request unheard: once more, on a new one.
                (Err(SendError::Unheard), Some(spare)) if spare.can_repeat() => {
                    exchange.repeats();
                    outbound = spare;
                    break;
                }
                (Err(SendError::Unheard), _) => return Err(Failed::Sent(AttemptError::Terminated)),
                (Err(SendError::Failed(error)), _) => return Err(Failed::Sent(error)),
            }
        }
        let mut connection = match pool.connect(clock, self.timeouts.connect).await {
            Ok(connection) => connection,
            Err(error) => return Err(Failed::Unsent(error, Box::new(outbound))),
        };
        match connection.send(outbound.request(), &patience).await {
            Ok(response) => Ok((response, connection)),
            Err(SendError::NotSent(unsent)) => {
                Err(Failed::Unsent(AttemptError::Terminated, Box::new(patience.restore(*unsent))))
            }
            Err(SendError::Unheard) => Err(Failed::Sent(AttemptError::Terminated)),
            Err(SendError::Failed(error)) => Err(Failed::Sent(error)),
        }
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        connection: Connection,
        pool: Rc<Pool>,
    ) -> Response<Download> {
        response.map(|incoming| Download {
            incoming,
            connection: Some(connection),
            pool,
            idle: self.timeouts.idle,
            whole: self.whole,
        })
    }
}

impl Outbound {
    pub(super) fn new(parts: Parts, upload: Option<Rc<Upload>>) -> Self {
        Self { parts, upload }
    }

    /// Whether a request with this method may be sent twice (RFC 9110 section 9.2.2).
    pub(super) fn repeat(method: &Method) -> Repeat {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE];
        if safe.contains(method) { Repeat::Possible } else { Repeat::Never }
    }

    /// HTTP/1.1 wants a host. A client of HTTP/1.0 may have named none: then the endpoint is called by its own name.
    fn name_host(&mut self, pool: &Pool) {
        if !self.parts.headers.contains_key(HOST)
            && let Ok(name) = HeaderValue::from_str(&pool.declared)
        {
            self.parts.headers.insert(HOST, name);
        }
    }

    /// A second copy, for a request that may be sent twice.
    fn spare(&self) -> Option<Self> {
        (Self::repeat(&self.parts.method) == Repeat::Possible)
            .then(|| Self { parts: self.parts.clone(), upload: self.upload.clone() })
    }

    /// Whether all of the body is still at hand.
    fn can_repeat(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.can_repeat())
    }

    fn request(self) -> Request<RequestBody> {
        let body = self.upload.as_ref().map_or(RequestBody::Empty, Upload::body);
        Request::from_parts(self.parts, body)
    }
}

impl Patience {
    fn restore(&self, unsent: Request<RequestBody>) -> Outbound {
        Outbound { parts: unsent.into_parts().0, upload: self.upload.clone() }
    }
}
