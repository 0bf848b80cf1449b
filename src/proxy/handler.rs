//! A request from its head to the head of its answer, step by step. The rest of the answer follows at the client's
//! pace, and when it has ended the exchange is counted (`observe.rs`).

use std::rc::Rc;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::answer::{Answer, Download};
use super::assign::{Asker, Assignment, assign};
use super::connection::Client;
use super::fault::AttemptError;
use super::forward::{Destination, Outbound, forward};
use super::headers::{Forwarding, to_client, to_endpoint};
use super::normalize::{asked, level, without_prefix};
use super::observe::Exchange;
use super::respond::{Form, Refusal};
use super::upload::{Repeat, Upload};
use super::view::{ServiceView, View};
use super::worker::Worker;
use crate::domain::routing::{RequestParts, Timeouts};

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

async fn serve(exchange: &mut Exchange, request: Request<Incoming>) -> Result<Response<Download>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let view = exchange.worker.view();
    let service = route(exchange, &view, &mut parts)?;
    let assignment = choose_version(exchange, &service, &parts.headers)?;
    let timeouts = service.policy.timeouts;
    let outbound = prepare(exchange, parts, body, timeouts);
    let to = Destination {
        view: &view,
        version: &service.versions[assignment.version],
        timeouts,
        whole: timeouts.request.map(|limit| exchange.started + limit),
    };
    let mut response = forward(exchange, &to, outbound).await?;
    exchange.answered(response.status());
    // Ours, whatever the endpoint's is: its framing ends with its connection (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    to_client(response.headers_mut());
    if let Some(cookie) = assignment.cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Finds the service, on the one snapshot that the whole request is served from.
fn route(exchange: &mut Exchange, view: &View, parts: &mut Parts) -> Result<Rc<ServiceView>, Refusal> {
    level(parts)?;
    let asked = asked(parts)?;
    let request =
        RequestParts { host: &asked.host, path: &asked.path, method: &parts.method, headers: &parts.headers };
    let matched = view.snapshot.matcher.resolve(&request).ok_or(Refusal::NoRoute)?;
    exchange.route = matched.route;
    if matched.strip > 0 {
        parts.uri = without_prefix(&parts.uri, &asked.path, matched.strip).ok_or(Refusal::BadTarget)?;
    }
    view.service(matched.service).cloned().ok_or(Refusal::Internal)
}

fn choose_version(
    exchange: &mut Exchange,
    service: &Rc<ServiceView>,
    headers: &HeaderMap,
) -> Result<Assignment, Refusal> {
    let asker = Asker { ip: exchange.client.ip, headers, now: exchange.started };
    let assignment = assign(service, &asker).ok_or(Refusal::Attempt(AttemptError::NoEndpoint))?;
    exchange.assigned(service.clone(), &assignment);
    Ok(assignment)
}

/// Makes the request fit for an endpoint.
fn prepare(exchange: &mut Exchange, mut parts: Parts, body: Incoming, timeouts: Timeouts) -> Outbound {
    let repeat = Repeat::of(&parts.method);
    if !body.is_end_stream() {
        exchange.upload = Some(Upload::new(body, timeouts.idle, repeat, &exchange.worker.clock));
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
    let response = refusal.response(&exchange.method, form, &exchange.request_id);
    response.map(|body| Answer::ours(body, exchange))
}
