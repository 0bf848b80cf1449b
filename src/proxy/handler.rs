//! A request from its head to the head of its answer, step by step. The rest of the answer follows at the client's
//! pace, and when it has ended the exchange is counted (`observe.rs`).

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::{Either, Empty};

use super::answer::{Answer, Download, Silence};
use super::client::body::ClientBody;
use super::client::who::Client;
use super::endpoint::forward::{Connections, Destination};
use super::endpoint::outbound::Outbound;
use super::endpoint::rescue::{self, Aid};
use super::fault::AttemptError;
use super::observe::Exchange;
use super::request::admit::{Visit, admit};
use super::request::assign::{Asker, Assignment, HostUse, assign};
use super::request::gate::{self, Entered};
use super::request::headers::{tell_certificate, to_client, to_endpoint};
use super::request::hold;
use super::request::normalize::{asked, level, without_prefix};
use super::request::redirect;
use super::request::respond::{Form, Refusal};
use super::request::size::refuse_large;
use super::request::upload::{Bounds, KEPT, Repeat, Upload};
use super::tunnel::{self, ask};
use super::view::{ServiceView, View};
use super::worker::Worker;
use crate::domain::routing::{Protocol, RequestParts, Role};
use crate::domain::stats::RouteId;

/// What a client gets: an answer, or nothing but a head before a tunnel.
type Given = Either<Answer, Empty<Bytes>>;

/// Answers one request, always. Its state is copied on its way to where it is polled: what few requests need is boxed inside,
/// down to where requests wait.
pub(super) async fn handle(
    worker: Rc<Worker>,
    client: Rc<Client>,
    parts: Box<Parts>,
    body: ClientBody,
) -> Response<Given> {
    let listener = client.listener.clone();
    let mut exchange = Exchange::begin(worker, client, &parts, !body.is_end_stream());
    let form = exchange.fields.form();
    let mut response = match serve(&mut exchange, parts, body).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            tunnel::open(response, exchange).map(Either::Right)
        }
        Ok(response) => response.map(|download| Either::Left(Answer::endpoint(download, exchange))),
        Err(refusal) => refuse(exchange, refusal, form).map(Either::Left),
    };
    if let Some(hsts) = &listener.hsts {
        // An endpoint may know better.
        response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
    }
    response
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

/// Serves it for as long as its client waits; letting go of a request ends it at its endpoint as well.
async fn serve(
    exchange: &mut Exchange,
    mut parts: Box<Parts>,
    body: ClientBody,
) -> Result<Response<Download>, Refusal> {
    exchange.read_call(&mut parts.headers)?;
    let Some(deadline) = exchange.deadline() else { return serve_at_leisure(exchange, parts, body).await };
    let clock = exchange.worker.clock.clone();
    tokio::select! {
        biased;
        served = Box::pin(serve_at_leisure(exchange, parts, body)) => served,
        () = clock.sleep_until(deadline.at) => Err(Refusal::Overdue),
    }
}

async fn serve_at_leisure(
    exchange: &mut Exchange,
    mut parts: Box<Parts>,
    body: ClientBody,
) -> Result<Response<Download>, Refusal> {
    let found = find(exchange, &mut parts, body.size_hint().lower()).await?;
    let assignment = choose_version(exchange, &found, &parts.headers)?;
    let aid = Aid::of(&found.service, &assignment, &parts.method, found.on_missing)
        .with_body(&body, &found.service);
    let timeouts = found.service.policy.timeouts;
    let spoken = found.service.policy.connection.protocol;
    if exchange.is_grpc() && spoken == Protocol::Http1 {
        return Err(Refusal::GrpcOverHttp1);
    }
    let protocol = match spoken {
        Protocol::Http1 | Protocol::Auto if exchange.fields.names_protocol => {
            ask::asked(&parts, &body, &found.service.policy.upgrades)
        }
        // HTTP/2 has other ways to change what is spoken.
        Protocol::Http1 | Protocol::Auto | Protocol::Http2 => None,
    };
    let mut outbound = prepare(exchange, parts, body, &found.service, aid);
    if let Some(protocol) = &protocol {
        ask::ask(outbound.headers(), protocol);
    }
    let to = Destination {
        view: found.view,
        service: found.service,
        version: assignment.version,
        role: assignment.role,
        timeouts,
        whole: timeouts.request.map(|limit| exchange.work_began() + limit),
        is_aided: aid.rescue,
        // After a 101 no other request can have it.
        connections: if protocol.is_some() { Connections::Own } else { Connections::Any },
    };
    let mut response = rescue::ask(exchange, &to, &mut outbound, aid).await?;
    suit_to_stream(exchange, &mut response, to.timeouts.stream_idle);
    // Ours, whatever the endpoint's is: its framing ends with its connection (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    to_client(response.headers_mut());
    if let (Some(protocol), StatusCode::SWITCHING_PROTOCOLS) = (protocol, response.status()) {
        ask::agree(response.headers_mut(), protocol);
    }
    if let Some(cookie) = assignment.cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Finds the service, if the client may ask it, and comes in; if that is held or has no room now, waits and looks again.
/// `length`: at least so many bytes of a body will come.
async fn find(exchange: &mut Exchange, parts: &mut Parts, length: u64) -> Result<Found, Refusal> {
    refuse_large(parts, &exchange.fields, exchange.client.life.limits())?;
    level(parts, &mut exchange.fields, &exchange.client.scheme)?;
    if let Some(to) = exchange.client.listener.redirect
        && exchange.origin.scheme != Scheme::HTTPS
        && let Some(location) = redirect::location(parts, &exchange.fields, to)?
    {
        exchange.location = Some(location);
        return Err(Refusal::ToHttps);
    }
    let mut visit = Visit::First;
    loop {
        let found = route(exchange.worker.view(), parts, exchange)?;
        exchange.addressed(&found.service, found.route);
        admit(exchange, &found.service, &parts.headers, visit)?;
        visit = Visit::Again;
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

fn route(view: Rc<View>, parts: &Parts, exchange: &Exchange) -> Result<Found, Refusal> {
    let asked = asked(parts, &exchange.fields)?;
    if exchange.client.tls.as_ref().is_some_and(|session| session.misdirects(&asked.host)) {
        return Err(Refusal::Misdirected);
    }
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
    let asker = Asker {
        ip: exchange.origin.ip,
        headers,
        scheme: &exchange.origin.scheme,
        host: found.host,
        now: exchange.work_began(),
    };
    let assignment = assign(&found.service, &asker).ok_or(Refusal::Attempt(AttemptError::NoEndpoint))?;
    let began = exchange.work_began();
    found.service.retries(assignment.version).came(began);
    if found.service.split.arm(Role::Canary).is_some() {
        found.service.budget.borrow_mut().came(began);
    }
    exchange.assigned(found.service.clone(), &assignment);
    Ok(assignment)
}

/// Makes the request fit for an endpoint.
fn prepare(
    exchange: &mut Exchange,
    mut parts: Box<Parts>,
    body: ClientBody,
    service: &ServiceView,
    aid: Aid,
) -> Outbound {
    let covered = service.policy.retry.covers(&parts.method);
    let repeat = if covered { Repeat::Possible } else { Repeat::Never };
    if !body.is_end_stream() {
        // An endpoint may say, after it was sent, that it did nothing with it: then any request may be sent again.
        let says = service.policy.connection.protocol != Protocol::Http1;
        let for_repeat = if repeat == Repeat::Possible || says { KEPT } else { 0 };
        let for_rescue = if aid.rescue { service.policy.rescue.max_body } else { 0 };
        let (limits, timeouts) = (&service.policy.limits, service.policy.timeouts);
        let is_call = exchange.is_grpc();
        let bounds = Bounds {
            kept: for_repeat.max(for_rescue),
            idle: if is_call { timeouts.stream_idle } else { limits.body_idle },
            // A call sends when it has something to say.
            rate: limits.min_rate.filter(|_| !is_call),
            size: limits.max_body,
            trailers: exchange.client.life.limits().trailer_bytes,
        };
        exchange.upload = Some(Upload::new(body, bounds, &exchange.worker.clock));
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    to_endpoint(&mut parts.headers, &exchange.fields);
    let host = exchange.fields.asked_host().cloned();
    let introduction = exchange.origin.introduce(&exchange.client, host, exchange.request_id.clone());
    if let Some(shown) = exchange.client.tls.as_ref().and_then(|session| session.shown.as_ref()) {
        tell_certificate(&mut parts.headers, shown);
    }
    if let Some(deadline) = exchange.deadline() {
        deadline.pass_on(&mut parts.headers, exchange.worker.clock.now());
    }
    Outbound::new(parts, introduction, exchange.upload.clone(), repeat)
}

/// A stream may be silent for longer than a page, and a call is over when its client waits no longer.
fn suit_to_stream(exchange: &Exchange, response: &mut Response<Download>, idle: Duration) {
    let is_call = exchange.is_grpc();
    if !is_call && !is_event_stream(response.headers()) {
        return;
    }
    let download = response.body_mut();
    download.idle = idle;
    download.silence = Silence::Nothing(exchange.upload.clone().filter(|_| is_call));
    if let Some(deadline) = exchange.deadline() {
        download.whole = Some(download.whole.map_or(deadline.at, |whole| whole.min(deadline.at)));
    }
}

/// Server-sent events (HTML section 9.2).
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}

fn refuse(mut exchange: Box<Exchange>, refusal: Refusal, form: Form) -> Response<Answer> {
    exchange.refused(refusal, form);
    let mut response = refusal.response(&exchange.method, form, &exchange.request_id);
    if let Some(location) = exchange.location.take() {
        response.headers_mut().insert(LOCATION, location);
    }
    response.map(|body| Answer::ours(body, exchange))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_handle: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_is_copied_of_a_request_on_its_way_is_small() {
        let size = size_of_future(handle);
        assert!(size <= 3584, "{size} bytes: box what few requests need (see `handle`)");
    }
}
