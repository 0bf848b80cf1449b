//! From a chosen version to the head of an answer: which endpoint, which connection, and when to try again. A request
//! is sent twice from here only if it was never sent, or if it is safe to repeat and its connection died unheard.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};

use super::patience::Patience;
use super::pool::{Connection, Pool, SendError};
use super::received::Received;
use super::tries::Tries;
use crate::domain::Timestamp;
use crate::domain::proxy_protocol::ProxyHeader;
use crate::domain::routing::{EndpointId, Role, Timeouts};
use crate::proxy::answer::{Download, Pace, Silence};
use crate::proxy::fault::AttemptError;
use crate::proxy::observe::Exchange;
use crate::proxy::request::upload::{KEPT, Repeat, RequestBody, Upload};
use crate::proxy::view::{ServiceView, View};

/// A request, ready for an endpoint.
pub(crate) struct Outbound {
    parts: Parts,
    upload: Option<Rc<Upload>>,
    left: Repeats,
}

/// What may still be done with a request when an endpoint may have seen it: each once, and only if it is safe to repeat.
#[derive(Clone, Copy)]
struct Repeats {
    /// Its connection had been open for a while, and was most likely closed while we sent.
    on_stale: Repeat,
    /// A new connection died with it.
    elsewhere: Repeat,
}

/// Where a request may go and how long it may take.
pub(crate) struct Destination {
    /// The view that the version was chosen in.
    pub(crate) view: Rc<View>,
    pub(crate) service: Rc<ServiceView>,
    /// Index into the service's versions.
    pub(crate) version: usize,
    /// What that is in the rollout; `None`: it was chosen by hand.
    pub(crate) role: Option<Role>,
    pub(crate) timeouts: Timeouts,
    /// When the whole exchange must be over.
    pub(crate) whole: Option<Timestamp>,
    pub(crate) connections: Connections,
}

/// On which connections a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One that is open already, if there is one.
    Any,
    /// A new one.
    New,
    /// A new one in HTTP/1.1 that is not shared with others: what is spoken on it may change.
    Own,
}

/// Why an endpoint gave no answer.
enum Failed {
    /// It saw nothing of the request, which is here for another endpoint.
    Unseen(AttemptError, Box<Outbound>),
    /// A new connection died with it, and it is safe to repeat: here it is.
    Unheard(Box<Outbound>),
    /// It may have begun to work on it.
    Finally(AttemptError),
}

/// The head of an endpoint's answer, and the connection on which the rest comes.
type Answered = (Response<Received>, Connection);

/// Sends the request to one endpoint of the version after another, until one takes it.
pub(crate) async fn forward(
    exchange: &mut Exchange,
    to: &Destination,
    mut outbound: Outbound,
    tries: &mut Tries,
) -> Result<Response<Download>, AttemptError> {
    let rule = &to.service.policy.retry;
    let mut last = AttemptError::NoEndpoint;
    while tries.may_go_on(rule)
        && let Some(pool) = to.pick(exchange, &tries.endpoints)
    {
        exchange.attempt(&pool);
        tries.begin(pool.id);
        let (error, again) = match to.send(exchange, &pool, outbound, tries.limit(rule)).await {
            Ok((response, connection)) => return Ok(to.answer(response, connection, pool)),
            Err(Failed::Finally(error)) => (error, None),
            Err(Failed::Unseen(error, again)) => (error, rule.on.connect.then_some(again)),
            Err(Failed::Unheard(again)) => {
                let may = tries.may_go_on(rule)
                    && to.pick(exchange, &tries.endpoints).is_some()
                    && to.spend(exchange);
                (AttemptError::Terminated, may.then_some(again))
            }
        };
        exchange.failed(error);
        let Some(again) = again else { return Err(error) };
        (outbound, last) = (*again, error);
    }
    if last == AttemptError::NoEndpoint {
        exchange.failed(last);
    }
    Err(last)
}

impl Connections {
    /// Whether none that is open already will do. One that carries many is as good as a new one.
    fn is_new(self, pool: &Pool) -> bool {
        match self {
            Self::Any => false,
            Self::New => !pool.multiplexes(),
            Self::Own => true,
        }
    }
}

impl Destination {
    /// An endpoint as things are now: one that left the snapshot while others were tried gets nothing new.
    pub(super) fn pick(&self, exchange: &Exchange, tried: &[EndpointId]) -> Option<Rc<Pool>> {
        let view = exchange.worker.view();
        if Rc::ptr_eq(&view, &self.view) {
            return view.pick(&self.service.versions[self.version], tried);
        }
        if self.is_taken_back(&view) {
            return None;
        }
        view.pick(view.same_version(&self.service, self.version)?, tried)
    }

    /// Whether its version was a canary that gets nothing any more: no new request reaches it, however far that one is.
    fn is_taken_back(&self, view: &View) -> bool {
        self.role == Some(Role::Canary) && !view.has_share(&self.service, self.version)
    }

    /// Sends the request to this endpoint: on a connection that is open already if there is one, else on a new one.
    async fn send(
        &self,
        exchange: &mut Exchange,
        pool: &Pool,
        mut outbound: Outbound,
        per_try: Option<Duration>,
    ) -> Result<Answered, Failed> {
        outbound.name_host(pool);
        let patience = Patience {
            clock: exchange.worker.clock.clone(),
            response: self.timeouts.response,
            per_try,
            whole: self.whole,
            upload: outbound.upload.clone(),
        };
        // Of those that carry many none has been left alone for long: they are as good as new.
        if self.connections.is_new(pool) || self.service.policy.connection.proxy_protocol.is_some() {
            return self.send_on_new(exchange, pool, outbound, &patience).await;
        }
        match Self::send_on_open(exchange, pool, outbound, &patience).await {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(outbound) => self.send_on_new(exchange, pool, outbound, &patience).await,
        }
    }

    /// Continues with a request that wants a new connection.
    async fn send_on_open(
        exchange: &mut Exchange,
        pool: &Pool,
        mut outbound: Outbound,
        patience: &Patience,
    ) -> ControlFlow<Result<Answered, Failed>, Outbound> {
        while let Some(mut connection) = pool.take(&patience.clock) {
            let (spare, left) = (outbound.spare(outbound.left.on_stale, pool), outbound.left);
            let (error, mut spare) = match connection.send(outbound.request(), patience).await {
                Ok(response) => return ControlFlow::Break(Ok((response, connection))),
                // It closed between two requests: no attempt at all.
                Err(SendError::NotSent(unsent)) => {
                    outbound = Outbound::restore(*unsent, patience, left);
                    continue;
                }
                Err(SendError::Failed(error)) => return ControlFlow::Break(Err(Failed::Finally(error))),
                Err(error) => match spare.filter(|spare| spare.may_follow(&error, left.on_stale)) {
                    Some(spare) => (error, spare),
                    None => return ControlFlow::Break(Err(Failed::Finally(patience.unheard()))),
                },
            };
            match error {
                SendError::Unheard => spare.left.on_stale = Repeat::Never,
                // The same: it closed between two requests.
                SendError::Closing => {
                    outbound = spare;
                    continue;
                }
                SendError::Refused | SendError::NotSent(_) | SendError::Failed(_) => {}
            }
            exchange.repeats();
            return ControlFlow::Continue(spare);
        }
        ControlFlow::Continue(outbound)
    }

    async fn send_on_new(
        &self,
        exchange: &mut Exchange,
        pool: &Pool,
        outbound: Outbound,
        patience: &Patience,
    ) -> Result<Answered, Failed> {
        let began = patience.clock.now();
        let left = self.whole.map_or(self.timeouts.connect, |whole| whole - began);
        let (limit, header) = (self.timeouts.connect.min(left), self.header(exchange));
        let wanted = if header.is_empty() { self.connections } else { Connections::Own };
        let mut connection = match pool.connect(&patience.clock, limit, wanted, &header).await {
            Ok(connection) => connection,
            Err(error) => return Err(Failed::Unseen(error, Box::new(outbound))),
        };
        exchange.connected(patience.clock.now() - began);
        let view = exchange.worker.view();
        if !Rc::ptr_eq(&view, &self.view) && self.is_taken_back(&view) {
            return Err(Failed::Unseen(AttemptError::NoEndpoint, Box::new(outbound)));
        }
        let (spare, left) = (outbound.spare(outbound.left.elsewhere, pool), outbound.left);
        match connection.send(outbound.request(), patience).await {
            Ok(response) => Ok((response, connection)),
            Err(SendError::NotSent(unsent)) => {
                let again = Box::new(Outbound::restore(*unsent, patience, left));
                Err(Failed::Unseen(AttemptError::Terminated, again))
            }
            Err(SendError::Failed(error)) => Err(Failed::Finally(error)),
            Err(unheard) => {
                let again = spare.filter(|spare| spare.may_follow(&unheard, left.elsewhere));
                Err(elsewhere(&unheard, again, patience))
            }
        }
    }

    /// What an endpoint that wants to hear it is told about whom a connection is for.
    fn header(&self, exchange: &Exchange) -> Vec<u8> {
        let Some(version) = self.service.policy.connection.proxy_protocol else { return Vec::new() };
        let client = &exchange.client;
        let source = exchange.origin.address(client);
        ProxyHeader::Relayed { source, destination: client.reached }.write(version)
    }

    fn answer(
        &self,
        response: Response<Received>,
        connection: Connection,
        pool: Rc<Pool>,
    ) -> Response<Download> {
        response.map(|incoming| Download {
            incoming,
            connection: Some(connection),
            pool,
            idle: self.timeouts.idle,
            silence: Silence::default(),
            pace: Pace::default(),
            whole: self.whole,
        })
    }
}

/// The endpoint has failed a request, but its user need not see that.
fn elsewhere(why: &SendError, again: Option<Outbound>, patience: &Patience) -> Failed {
    match (why, patience.unheard(), again) {
        (SendError::Closing | SendError::Refused, _, Some(again)) => {
            Failed::Unseen(AttemptError::Terminated, Box::new(again))
        }
        (_, AttemptError::Terminated, Some(mut again)) => {
            again.left.elsewhere = Repeat::Never;
            Failed::Unheard(Box::new(again))
        }
        (_, error, _) => Failed::Finally(error),
    }
}

impl Outbound {
    /// `upload` must keep what it reads if `repeat` says that it may be needed again.
    pub(crate) fn new(parts: Parts, upload: Option<Rc<Upload>>, repeat: Repeat) -> Self {
        Self { parts, upload, left: Repeats { on_stale: repeat, elsewhere: repeat } }
    }

    /// A second copy, for another version; it may be sent once.
    pub(crate) fn only_copy(&self) -> Self {
        let left = Repeats { on_stale: Repeat::Never, elsewhere: Repeat::Never };
        Self { parts: self.parts.clone(), upload: self.upload.clone(), left }
    }

    pub(crate) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.parts.headers
    }

    /// A second copy, for another attempt of the same version: what goes wrong then is not repeated from here.
    pub(crate) fn another(&self) -> Self {
        let left = Repeats { elsewhere: Repeat::Never, ..self.left };
        Self { parts: self.parts.clone(), upload: self.upload.clone(), left }
    }

    /// Whether it may be sent again although an endpoint may have begun to work on it.
    pub(crate) fn may_repeat(&self) -> bool {
        self.left.on_stale == Repeat::Possible
    }

    /// Whether all of the body that was read is still at hand, and is no more than is kept for a repeat.
    pub(crate) fn is_small(&self) -> bool {
        let fits = |upload: &Rc<Upload>| usize::try_from(upload.bytes()).is_ok_and(|bytes| bytes <= KEPT);
        self.is_whole() && self.upload.as_ref().is_none_or(fits)
    }

    /// One that a connection gave back.
    fn restore(unsent: Request<RequestBody>, patience: &Patience, left: Repeats) -> Self {
        Self { parts: unsent.into_parts().0, upload: patience.upload.clone(), left }
    }

    /// HTTP/1.1 wants a host, and HTTP/2 one with a name. A client of HTTP/1.0 may have named none: then the endpoint is
    /// called by its own name.
    fn name_host(&mut self, pool: &Pool) {
        let is_named =
            self.parts.headers.get(HOST).is_some_and(|host| !host.is_empty() || !pool.multiplexes());
        if !is_named && let Ok(name) = HeaderValue::from_str(&pool.declared) {
            self.parts.headers.insert(HOST, name);
        }
    }

    /// A second copy, if it may be needed: an endpoint that says what it has not looked at makes any request safe to
    /// repeat.
    fn spare(&self, repeat: Repeat, pool: &Pool) -> Option<Self> {
        (repeat == Repeat::Possible || pool.multiplexes()).then(|| Self {
            parts: self.parts.clone(),
            upload: self.upload.clone(),
            left: self.left,
        })
    }

    /// Whether this copy may be sent after the first came to nothing.
    fn may_follow(&self, error: &SendError, repeat: Repeat) -> bool {
        let safe = match error {
            SendError::Closing | SendError::Refused | SendError::NotSent(_) => true,
            SendError::Unheard => repeat == Repeat::Possible,
            SendError::Failed(_) => false,
        };
        safe && self.is_whole()
    }

    /// Whether all of the body that was read is still at hand.
    pub(crate) fn is_whole(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.can_repeat())
    }

    fn request(self) -> Request<RequestBody> {
        let body = self.upload.as_ref().map_or(RequestBody::Empty, Upload::body);
        Request::from_parts(self.parts, body)
    }
}
