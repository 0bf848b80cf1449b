//! From a chosen version to the head of an answer: which endpoint, which connection, and when to try again. A request
//! is sent twice from here only if it was never sent, or if it is safe to repeat and its connection died unheard, or its
//! endpoint was lost.

use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::Response;

use super::outbound::Outbound;
use super::patience::Patience;
use super::pool::{Connection, Pool, SendError};
use super::received::Received;
use super::tries::Tries;
use super::waiting::Whereabouts;
use crate::domain::Timestamp;
use crate::domain::proxy_protocol::ProxyHeader;
use crate::domain::routing::{EndpointId, Role, Timeouts};
use crate::proxy::answer::{Download, Inflow, Pace, Silence};
use crate::proxy::fault::AttemptError;
use crate::proxy::observe::Exchange;
use crate::proxy::view::{ServiceView, View};
use crate::proxy::worker::Worker;

/// Whoever refuses a connection does so at once; to be told after seconds that there is no way is an attempt.
const AT_ONCE: Duration = Duration::from_millis(100);

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
    /// Whether another version may answer in its place.
    pub(crate) is_aided: bool,
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
    /// Nobody was there: another endpoint may have the request.
    Refused,
    /// It saw nothing of the request, which another endpoint may have.
    Unseen(AttemptError),
    /// It was lost before it answered, and another endpoint may have the request.
    Lost,
    /// A new connection died with it, and it is safe to repeat.
    Unheard,
    /// It may have begun to work on it.
    Finally(AttemptError),
}

/// Sends the request to one endpoint of the version after another, until one takes it.
pub(crate) async fn forward(
    exchange: &mut Exchange,
    to: &Destination,
    outbound: &mut Outbound,
    tries: &mut Tries,
) -> Result<Response<Download>, AttemptError> {
    let rule = &to.service.policy.retry;
    let mut last = AttemptError::NoEndpoint;
    while tries.may_go_on(rule)
        && let Some(pool) = to.pick(&exchange.worker, tries.endpoints())
    {
        exchange.attempt(&pool);
        tries.begin(pool.id);
        let (error, again) = match to.send(exchange, &pool, outbound, tries).await {
            Ok(response) => {
                exchange.answered(&response);
                return Ok(response);
            }
            Err(Failed::Finally(error)) => (error, false),
            Err(Failed::Lost) => {
                exchange.left_alone();
                tries.was_none();
                last = AttemptError::Lost;
                continue;
            }
            Err(Failed::Refused) => {
                tries.was_none();
                (AttemptError::Refused, rule.on.connect && rule.attempts > 1)
            }
            Err(Failed::Unseen(error)) => (error, rule.on.connect),
            Err(Failed::Unheard) => {
                let may = tries.may_go_on(rule)
                    && to.pick(&exchange.worker, tries.endpoints()).is_some()
                    && to.spend(exchange);
                (AttemptError::Terminated, may)
            }
        };
        exchange.failed(error);
        if !again {
            return Err(error);
        }
        last = error;
    }
    if matches!(last, AttemptError::NoEndpoint | AttemptError::Lost) {
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
    pub(super) fn pick(&self, worker: &Worker, tried: &[EndpointId]) -> Option<Rc<Pool>> {
        let view = worker.view();
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
        pool: &Rc<Pool>,
        outbound: &mut Outbound,
        tries: &Tries,
    ) -> Result<Response<Download>, Failed> {
        outbound.name_host(pool);
        let patience = Patience {
            at: Whereabouts {
                worker: exchange.worker.clone(),
                to: self,
                pool,
                tried: tries.endpoints(),
                moves: outbound.left.moves,
            },
            response: self.timeouts.response,
            per_try: tries.limit(&self.service.policy.retry),
            whole: self.whole,
            upload: outbound.upload.clone(),
        };
        // Of those that carry many none has been left alone for long: they are as good as new.
        if !self.connections.is_new(pool)
            && self.service.policy.connection.proxy_protocol.is_none()
            && let ControlFlow::Break(outcome) = self.send_on_open(exchange, pool, outbound, &patience).await
        {
            return outcome;
        }
        // Boxed: most requests need no new connection, and all carry this function's state.
        Box::pin(self.send_on_new(exchange, pool, outbound, &patience)).await
    }

    /// Continues if the request wants a new connection.
    async fn send_on_open(
        &self,
        exchange: &mut Exchange,
        pool: &Rc<Pool>,
        outbound: &mut Outbound,
        patience: &Patience<'_>,
    ) -> ControlFlow<Result<Response<Download>, Failed>> {
        loop {
            let now = patience.clock().now();
            let Some(mut connection) = pool.take(patience.clock(), now) else {
                return ControlFlow::Continue(());
            };
            let error = match connection.send(outbound, patience, now).await {
                Ok(response) => return ControlFlow::Break(Ok(self.answer(response, connection, pool))),
                // The connection was closed over what somebody else had sent on it.
                Err(SendError::Failed(AttemptError::Scolded)) if outbound.left.on_stale > 0 => {
                    if !outbound.is_whole() {
                        return ControlFlow::Break(Err(Failed::Finally(AttemptError::Scolded)));
                    }
                    SendError::Unheard
                }
                Err(error) if outbound.may_follow(&error, outbound.left.on_stale) => error,
                Err(error) => return ControlFlow::Break(Err(finally(&error, patience))),
            };
            match error {
                // It closed between two requests: no attempt at all.
                SendError::NotSent | SendError::Closing => continue,
                SendError::Unheard => outbound.left = outbound.left.after_a_death(),
                SendError::Lost => return ControlFlow::Break(Err(outbound.leaves())),
                SendError::Refused | SendError::Failed(_) => {}
            }
            exchange.repeats();
            return ControlFlow::Continue(());
        }
    }

    async fn send_on_new(
        &self,
        exchange: &mut Exchange,
        pool: &Rc<Pool>,
        outbound: &mut Outbound,
        patience: &Patience<'_>,
    ) -> Result<Response<Download>, Failed> {
        let began = patience.clock().now();
        let left = self.whole.map_or(self.timeouts.connect, |whole| whole - began);
        let (limit, header) = (self.timeouts.connect.min(left), self.header(exchange));
        let wanted = if header.is_empty() { self.connections } else { Connections::Own };
        let connecting = pin!(pool.connect(patience.clock(), limit, wanted, &header));
        let connected = patience.at.unless_lost(connecting).await;
        let now = patience.clock().now();
        let took = now - began;
        let mut connection = match connected {
            Some(Ok(connection)) if !pool.is_lost() => connection,
            None | Some(Ok(_)) => return Err(Failed::Lost),
            Some(Err(AttemptError::Refused)) if took < AT_ONCE => return Err(Failed::Refused),
            Some(Err(error)) => return Err(Failed::Unseen(error)),
        };
        exchange.connected(took);
        let view = exchange.worker.view();
        if !Rc::ptr_eq(&view, &self.view) && self.is_taken_back(&view) {
            return Err(Failed::Unseen(AttemptError::NoEndpoint));
        }
        match connection.send(outbound, patience, now).await {
            Ok(response) => Ok(self.answer(response, connection, pool)),
            Err(error) if outbound.may_follow(&error, outbound.left.elsewhere) => Err(match error {
                SendError::Lost => outbound.leaves(),
                SendError::NotSent | SendError::Closing | SendError::Refused => {
                    Failed::Unseen(AttemptError::Terminated)
                }
                SendError::Unheard if patience.unheard() == AttemptError::Terminated => {
                    outbound.left = outbound.left.after_a_death();
                    Failed::Unheard
                }
                SendError::Unheard | SendError::Failed(_) => finally(&error, patience),
            }),
            Err(error) => Err(finally(&error, patience)),
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
        pool: &Rc<Pool>,
    ) -> Response<Download> {
        response.map(|incoming| {
            Box::new(Inflow {
                incoming,
                connection: Some(connection),
                pool: pool.clone(),
                idle: self.timeouts.idle,
                silence: Silence::default(),
                pace: Pace::default(),
                whole: self.whole,
            })
        })
    }
}

impl Outbound {
    /// Its endpoint was lost, and another one may have it.
    fn leaves(&mut self) -> Failed {
        self.left.moves = self.left.moves.saturating_sub(1);
        Failed::Lost
    }
}

/// What it comes to when it may not be sent again.
fn finally(error: &SendError, patience: &Patience<'_>) -> Failed {
    Failed::Finally(match error {
        SendError::Failed(error) => *error,
        SendError::Lost => AttemptError::Lost,
        SendError::NotSent | SendError::Closing | SendError::Refused | SendError::Unheard => {
            patience.unheard()
        }
    })
}
