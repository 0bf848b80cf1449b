//! What is found where: every path of the API, and what all of them have in common.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use super::commands::{self, Service};
use super::deploy;
use super::guard::Guard;
use super::problem::{Code, Problem};
use super::{events, history, images, traffic};
use crate::control::report::{ServiceStatus, Status};
use crate::control::{Handle, Journal};
use crate::domain::ServiceName;
use crate::telemetry::Metrics;

/// For a whole request, from its headers to the head of the answer (the event stream's body has no end).
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's body.
const BODY_LIMIT: usize = 64 * 1024;
/// The paths that probes ask, who have no token.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// What all requests need.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) handle: Handle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guard: Guard,
    pub(super) journal: Journal,
    /// Places for readers of the event stream.
    pub(super) streams: Arc<Semaphore>,
    /// Becomes true when the API stops: streams end by themselves then.
    pub(super) closing: watch::Receiver<bool>,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether every service has a ready endpoint.
    pub ready: bool,
    /// The services that have none; left out for callers without the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<ServiceName>,
}

pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/services/{service}", get(service))
        .route("/v1/services/{service}/images", get(images::of_service))
        .route("/v1/images", get(images::all))
        .route("/v1/services/{service}/promote", post(commands::promote))
        .route("/v1/services/{service}/abort", post(commands::abort))
        .route("/v1/services/{service}/pause", post(commands::pause))
        .route("/v1/services/{service}/resume", post(commands::resume))
        .route("/v1/services/{service}/weight", post(commands::set_weight))
        .route("/v1/services/{service}/retry", post(commands::retry))
        .route("/v1/services/{service}/undo", post(commands::undo))
        .route("/v1/services/{service}/deploy", post(deploy::deploy))
        .route("/v1/services/{service}/hold", post(traffic::hold))
        .route("/v1/services/{service}/release", post(traffic::release))
        .route("/v1/endpoints/{endpoint}/drain", post(traffic::drain).get(traffic::drain_status))
        .route("/v1/reload", post(commands::reload))
        .route("/v1/rollouts", get(history::latest))
        .route("/v1/services/{service}/rollouts", get(history::rollouts))
        .route("/v1/services/{service}/rollouts/{number}", get(history::story))
        .route("/v1/events", get(events::events))
        .merge(not_served_yet())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(api.clone())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(api, guarded))
        .layer(from_fn(bounded))
}

/// Part of the API's contract, but not of this version: said so rather than taken for a typing error.
fn not_served_yet() -> Router<Arc<Api>> {
    Router::new().route("/", get(not_served))
}

impl Api {
    pub(super) async fn status(&self) -> Result<Status, Problem> {
        self.handle.status().await.ok_or_else(Problem::stopping)
    }
}

async fn status(State(api): State<Arc<Api>>) -> Result<Json<Status>, Problem> {
    api.status().await.map(Json)
}

async fn service(
    State(api): State<Arc<Api>>,
    Service(name): Service,
) -> Result<Json<ServiceStatus>, Problem> {
    let status = api.status().await?;
    known(&status, &name).cloned().map(Json)
}

/// The service with this name; when there is none, those that there are.
pub(super) fn known<'a>(status: &'a Status, name: &ServiceName) -> Result<&'a ServiceStatus, Problem> {
    status.service(name.as_str()).ok_or_else(|| {
        let known = status.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>();
        commands::unknown_service(name, &known.join(", "))
    })
}

/// Rendered on a thread of its own: thousands of series take longer than a verdict may wait.
async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, Problem> {
    let metrics = api.metrics.clone();
    let text =
        tokio::task::spawn_blocking(move || metrics.render()).await.map_err(|_| Problem::stopping())?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Readiness>), Problem> {
    let status = api.status().await?;
    if status.ready {
        return Ok((StatusCode::OK, Json(Readiness { ready: true, waiting_for: Vec::new() })));
    }
    // The names of services are not for everyone.
    let trusted = api.guard.check_token(&headers).is_ok();
    let waiting_for = status
        .services
        .into_iter()
        .filter(|service| trusted && !service.is_ready())
        .map(|service| service.name)
        .collect();
    Ok((StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { ready: false, waiting_for })))
}

async fn not_served(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Code::NotServed,
        format!(
            "this version of Adit does not serve {method} {} yet; see `adit help` for what it does",
            uri.path()
        ),
    )
}

async fn not_found(uri: Uri) -> Problem {
    let path = uri.path();
    Problem::new(Code::NotFound, format!("there is no {path}; `GET /v1/status` shows how things stand"))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("{} does not take {method}: reads are GET, commands are POST", uri.path()),
    )
}

async fn guarded(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let open = PROBES.contains(&parts.uri.path());
    let admitted = api.guard.admit(&parts);
    match admitted.and_then(|()| if open { Ok(()) } else { api.guard.check_token(&parts.headers) }) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

async fn bounded(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Code::TimedOut,
            format!(
                "no answer within {} s; a command may still take effect, `GET /v1/status` shows it",
                TIME_LIMIT.as_secs()
            ),
        )
        .into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
