//! A request from its head to the head of its answer, step by step. The rest of the answer follows at the client's
//! pace, and when it has ended the exchange is counted (`observe.rs`).

use std::rc::Rc;

use http::header::{CONNECTION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::answer::{Answer, Download};
use super::client::connection::Client;
use super::client::life::Ending;
use super::endpoint::forward::{Connections, Destination, Outbound};
use super::endpoint::rescue::{self, Aid};
use super::fault::AttemptError;
use super::observe::Exchange;
use super::request::assign::{Asker, Assignment, HostUse, assign};
use super::request::gate::{self, Entered};
use super::request::headers::{Forwarding, to_client, to_endpoint};
use super::request::hold;
use super::request::normalize::{asked, level, without_prefix};
use super::request::respond::{Form, Refusal};
use super::request::size::refuse_large;
use super::request::upload::{Bounds, KEPT, Repeat, Upload};
use super::view::{ServiceView, View};
use super::worker::Worker;
use crate::domain::routing::{RequestParts, Role};
use crate::domain::stats::RouteId;

/// Answers one request.
pub(super) async fn handle(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let mut exchange = Exchange::begin(worker, client, &request);
    let form = Form::wanted(request.headers());
    match serve(&mut exchange, request).await {
        Ok(response) => response.map(|download| Answer::endpoint(download, exchange)),
        Err(refusal) => refuse(exchange, refusal, form),
    }
}

/// Where a request belongs, on one snapshot that the whole request is served from.
struct Found {
    view: Rc<View>,
    service: Rc<ServiceView>,
    host: HostUse,
    /// The target without its prefix, if that is taken off.
    target: Option<Uri>,
    /// Which of the service's routes led to it.
    route: RouteId,
    /// Whether its path is one of those where a 404 is tried elsewhere.
    on_missing: bool,
}

async fn serve(exchange: &mut Exchange, request: Request<Incoming>) -> Result<Response<Download>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let found = find(exchange, &mut parts, body.size_hint().lower()).await?;
    let assignment = choose_version(exchange, &found, &parts.headers)?;
    let aid = Aid::of(&found.service, &assignment, &parts.method, found.on_missing)
        .with_body(&body, &found.service);
    let timeouts = found.service.policy.timeouts;
    let outbound = prepare(exchange, parts, body, &found.service, aid);
    let to = Destination {
        view: found.view,
        service: found.service,
        version: assignment.version,
        role: assignment.role,
        timeouts,
        whole: timeouts.request.map(|limit| exchange.work_began() + limit),
        connections: Connections::Any,
    };
    let mut response = rescue::ask(exchange, to, outbound, aid).await?;
    // Ours, whatever the endpoint's is: its framing ends with its connection (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    to_client(response.headers_mut());
    if let Some(cookie) = assignment.cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Finds the service, and comes in; if that is held or has no room now, waits and looks again. `length`: at least so many
/// bytes of a body will come.
async fn find(exchange: &mut Exchange, parts: &mut Parts, length: u64) -> Result<Found, Refusal> {
    refuse_large(parts, exchange.client.life.limits())?;
    level(parts)?;
    loop {
        let found = route(exchange.worker.view(), parts)?;
        exchange.addressed(&found.service, found.route);
        if found.service.policy.limits.max_body.is_some_and(|most| length > most) {
            return Err(Refusal::BodyTooLarge);
        }
        if let Some(hold) = found.service.hold.clone() {
            // Boxed: few requests wait, and all carry this function's state.
            Box::pin(hold::wait(exchange, &hold)).await?;
        } else if gate::enter(exchange, &found.service).await? == Entered::AtOnce {
            if let Some(target) = &found.target {
                parts.uri = target.clone();
            }
            return Ok(found);
        }
    }
}

fn route(view: Rc<View>, parts: &Parts) -> Result<Found, Refusal> {
    let asked = asked(parts)?;
    let request =
        RequestParts { host: &asked.host, path: &asked.path, method: &parts.method, headers: &parts.headers };
    let (service, strip, host, route) = match view.preview(&asked.host) {
        Some(service) => (service, 0, HostUse::Preview, RouteId::default()),
        None => {
            let matched = view.snapshot.matcher.resolve(&request).ok_or(Refusal::NoRoute)?;
            (matched.service, matched.strip, HostUse::Public, matched.route)
        }
    };
    let target = match strip {
        0 => None,
        strip => Some(without_prefix(&parts.uri, &asked.path, strip).ok_or(Refusal::BadTarget)?),
    };
    let service = view.service(service).cloned().ok_or(Refusal::Internal)?;
    let on_missing = service.policy.on_missing.covers(&asked.path);
    Ok(Found { view, service, host, target, route, on_missing })
}

fn choose_version(
    exchange: &mut Exchange,
    found: &Found,
    headers: &HeaderMap,
) -> Result<Assignment, Refusal> {
    let client = &exchange.client;
    let asker = Asker {
        ip: client.ip,
        headers,
        scheme: &client.scheme,
        host: found.host,
        now: exchange.work_began(),
    };
    let assignment = assign(&found.service, &asker).ok_or(Refusal::Attempt(AttemptError::NoEndpoint))?;
    if found.service.split.arm(Role::Canary).is_some() {
        found.service.budget.borrow_mut().came(exchange.work_began());
    }
    exchange.assigned(found.service.clone(), &assignment);
    Ok(assignment)
}

/// Makes the request fit for an endpoint.
fn prepare(
    exchange: &mut Exchange,
    mut parts: Parts,
    body: Incoming,
    service: &ServiceView,
    aid: Aid,
) -> Outbound {
    let repeat = Repeat::of(&parts.method);
    if !body.is_end_stream() {
        let for_repeat = if repeat == Repeat::Possible { KEPT } else { 0 };
        let for_rescue = if aid.rescue { service.policy.rescue.max_body } else { 0 };
        let limits = &service.policy.limits;
        let bounds = Bounds {
            kept: for_repeat.max(for_rescue),
            idle: limits.body_idle,
            rate: limits.min_rate,
            size: limits.max_body,
            trailers: exchange.client.life.limits().trailer_bytes,
        };
        exchange.upload = Some(Upload::new(body, bounds, &exchange.worker.clock));
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let forwarding = Forwarding {
        client: &exchange.client.name,
        port: &exchange.client.port,
        request_id: &exchange.request_id,
    };
    to_endpoint(&mut parts.headers, &forwarding);
    Outbound::new(parts, exchange.upload.clone(), repeat)
}

fn refuse(mut exchange: Box<Exchange>, refusal: Refusal, form: Form) -> Response<Answer> {
    exchange.refused(refusal);
    let mut response = refusal.response(&exchange.method, form, &exchange.request_id);
    if exchange.client.life.ending() != Ending::Not && response.version() == Version::HTTP_11 {
        // hyper may be told too late: this answer is complete already.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Answer::ours(body, exchange))
}
