//! When the assigned version has no good answer: the other version of the rollout is asked, once, for the user's sake.
//! What the first one did is judged all the same.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body::Body;

use super::forward::{Connections, Destination, forward};
use super::outbound::Outbound;
use super::retry;
use super::second::{Answer, First};
use super::tries::Tries;
use crate::domain::Weight;
use crate::domain::routing::{Policy, Role, Timeouts};
use crate::proxy::fault::{AttemptError, Fault};
use crate::proxy::observe::Exchange;
use crate::proxy::request::assign::Assignment;
use crate::proxy::view::ServiceView;

/// An asset that another version may have is waited for no longer than that.
const MISSING_TIME: Duration = Duration::from_secs(2);

/// What may be done for a request if its version has no good answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aid {
    /// Stable may answer what the canary failed.
    pub(crate) rescue: bool,
    /// The other version may have what this one has not.
    pub(crate) missing: bool,
}

/// Why another version is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Failed,
    Missing,
}

impl Aid {
    /// For a request that is assigned so. `missing`: its path is one of those where a 404 is tried elsewhere.
    pub(crate) fn of(service: &ServiceView, assigned: &Assignment, method: &Method, missing: bool) -> Self {
        let under_way = service.split.arm(Role::Canary).is_some();
        // What was chosen by hand is answered as it was chosen.
        let Some(role) = assigned.role.filter(|_| under_way) else { return Self::default() };
        Self {
            rescue: role == Role::Canary && service.policy.rescue.covers(method),
            missing: missing && matches!(*method, Method::GET | Method::HEAD),
        }
    }

    /// A body that is known to be too large to be kept is only streamed.
    pub(crate) fn with_body(self, body: &impl Body, service: &ServiceView) -> Self {
        let fits = usize::try_from(body.size_hint().lower())
            .is_ok_and(|size| size <= service.policy.rescue.max_body);
        Self { rescue: self.rescue && fits, ..self }
    }

    fn cause(self, exchange: &Exchange, first: &Answer, policy: &Policy) -> Option<Cause> {
        let failed = match first {
            Ok(response) => policy.rescue.on.contains(exchange.rated(response).as_u16()),
            // Nobody failed it; its user needs an answer all the same.
            Err(AttemptError::Lost | AttemptError::Frozen) => true,
            Err(error) => error.fault() == Fault::Endpoint,
        };
        let missing = first.as_ref().is_ok_and(|response| response.status() == StatusCode::NOT_FOUND);
        match (self.rescue && failed, self.missing && missing) {
            (true, _) => Some(Cause::Failed),
            (false, true) => Some(Cause::Missing),
            (false, false) => None,
        }
    }
}

impl Cause {
    /// Whether an answer with this status is the better one.
    fn is_met_by(self, status: StatusCode, policy: &Policy) -> bool {
        match self {
            Self::Failed => !policy.rescue.on.contains(status.as_u16()),
            Self::Missing => status != StatusCode::NOT_FOUND && !status.is_server_error(),
        }
    }
}

/// Asks the version that the request was assigned to, and another one if that has no good answer and the other may.
pub(crate) async fn ask(
    exchange: &mut Exchange,
    to: &Destination,
    outbound: &mut Outbound,
    aid: Aid,
) -> Answer {
    let left = outbound.left.for_another_version();
    let first = retry::ask(exchange, to, outbound).await;
    if aid == Aid::default() {
        return first;
    }
    let Some(cause) = aid.cause(exchange, &first, &to.service.policy) else { return first };
    outbound.left = left;
    if cause == Cause::Missing {
        exchange.is_no_evidence();
    }
    match to.other(exchange, cause).filter(|_| outbound.is_whole()) {
        Some(other) if may_ask_another(exchange, to) => {
            // Boxed: few requests come here, and all carry this function's state.
            Box::pin(ask_other(exchange, (cause, other), outbound, first)).await
        }
        Some(_) | None => first,
    }
}

async fn ask_other(
    exchange: &mut Exchange,
    (cause, other): (Cause, Destination),
    outbound: &mut Outbound,
    first: Answer,
) -> Answer {
    if cause == Cause::Failed {
        exchange.is_judged_now();
    }
    let aside = exchange.set_aside(other.version);
    let first = First::set_aside(exchange, first, aside);
    let second = forward(exchange, &other, outbound, &mut Tries::default()).await;
    let policy = &other.service.policy;
    let (answer, better) = first.or_better(exchange, second, |status| cause.is_met_by(status, policy));
    if better && cause == Cause::Failed {
        exchange.rescued();
    }
    answer
}

/// Whether what the client sent is small enough to be sent again, and the budget has something left.
fn may_ask_another(exchange: &Exchange, to: &Destination) -> bool {
    let rule = &to.service.policy.rescue;
    let sent = exchange.upload.as_ref().map_or(0, |upload| upload.bytes());
    let small = usize::try_from(sent).is_ok_and(|sent| sent <= rule.max_body);
    small && to.service.budget.borrow_mut().take(exchange.worker.clock.now(), rule.budget)
}

impl Destination {
    /// The other version of the rollout, as it is now: what is being drained or was aborted in the meantime is not
    /// asked.
    fn other(&self, exchange: &Exchange, cause: Cause) -> Option<Self> {
        if self.whole.is_some_and(|whole| exchange.worker.clock.now() >= whole) {
            return None;
        }
        let here = |role: Role| self.service.split.arm(role).map(|arm| arm.version);
        let on_canary = here(Role::Canary) == Some(self.version);
        let version = if on_canary { here(Role::Stable)? } else { here(Role::Canary)? };
        let view = exchange.worker.view();
        let service = view.same_service(&self.service)?;
        let known = view.same_version(&self.service, version)?;
        // Stable may have ceased to be stable; a canary that has ceased to be one gets nothing any more.
        let still = on_canary
            || service.split.arm(Role::Canary).is_some_and(|arm| {
                arm.weight > Weight::ZERO && service.versions[arm.version].name == known.name
            });
        let ready = !known.endpoints.is_empty();
        (still && ready).then(|| Self {
            view: view.clone(),
            service: self.service.clone(),
            version,
            role: Some(if on_canary { Role::Stable } else { Role::Canary }),
            timeouts: match cause {
                Cause::Failed => self.timeouts,
                Cause::Missing => {
                    Timeouts { response: self.timeouts.response.min(MISSING_TIME), ..self.timeouts }
                }
            },
            whole: self.whole,
            is_aided: false,
            // One that has been open for a while may be closed at the other end: there is no second try.
            connections: match cause {
                Cause::Failed if self.connections == Connections::Own => Connections::Own,
                Cause::Failed => Connections::New,
                Cause::Missing => self.connections,
            },
        })
    }
}
