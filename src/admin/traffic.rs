//! The verbs about requests themselves: hold, release, drain.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use http::request::Parts;
use serde::Deserialize;

use super::commands::{Plain, Said, Service, Who, refusal};
use super::problem::{Code, Problem};
use super::routes::Api;
use crate::config;
use crate::control::report::{DrainStatus, ServiceStatus};
use crate::control::{By, DrainOrder, DrainVerb, HoldOrder, HoldVerb};
use crate::domain::ServiceName;
use crate::domain::routing::HoldTerms;

/// Longer, and clients have given up long ago.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Each of them keeps a connection and a request in memory.
const MOST_WAITING: u32 = 100_000;

pub(super) async fn hold(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Held>,
) -> Result<Json<ServiceStatus>, Problem> {
    let terms = said.terms()?;
    api.hold(service, HoldVerb::Hold(terms), By { who, why: said.why }).await
}

pub(super) async fn release(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Plain>,
) -> Result<Json<ServiceStatus>, Problem> {
    api.hold(service, HoldVerb::Release, By { who, why: said.why }).await
}

pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Endpoint(endpoint): Endpoint,
    Who(who): Who,
    Said(said): Said<Drained>,
) -> Result<Json<DrainStatus>, Problem> {
    let verb = match (said.cancel, said.force) {
        (false, false) => DrainVerb::Drain,
        (false, true) => DrainVerb::DrainByForce,
        (true, false) => DrainVerb::Cancel,
        (true, true) => {
            return Err(Problem::new(Code::BadRequest, "`cancel` needs no `force`: leave one of them out"));
        }
    };
    api.drain(DrainOrder { endpoint, verb, by: By { who, why: said.why } }).await
}

pub(super) async fn drain_status(
    State(api): State<Arc<Api>>,
    Endpoint(endpoint): Endpoint,
    Who(who): Who,
) -> Result<Json<DrainStatus>, Problem> {
    api.drain(DrainOrder { endpoint, verb: DrainVerb::Look, by: By { who, why: None } }).await
}

impl Api {
    async fn hold(
        &self,
        service: ServiceName,
        verb: HoldVerb,
        by: By,
    ) -> Result<Json<ServiceStatus>, Problem> {
        let order = HoldOrder { service: service.clone(), verb, by };
        self.handle.hold(order).await.map(Json).map_err(|error| refusal(service.as_str(), error))
    }

    async fn drain(&self, order: DrainOrder) -> Result<Json<DrainStatus>, Problem> {
        let endpoint = order.endpoint.clone();
        self.handle.drain(order).await.map(Json).map_err(|error| refusal(&endpoint, error))
    }
}

/// What the body of `hold` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Held {
    max_wait: Option<String>,
    max_waiting: Option<u32>,
    why: Option<String>,
}

impl Held {
    fn terms(&self) -> Result<HoldTerms, Problem> {
        let wrong = |detail: String| Err(Problem::new(Code::BadRequest, detail));
        let default = HoldTerms::default();
        let max_wait = match self.max_wait.as_deref().map(config::duration) {
            None => default.max_wait,
            Some(Ok(wait)) if !wait.is_zero() && wait <= LONGEST_WAIT => wait,
            Some(Ok(_)) => return wrong("`max_wait` is from 1ms to 1h".to_owned()),
            Some(Err(why)) => return wrong(format!("`max_wait`: {why}; write it as \"30s\"")),
        };
        let max_waiting = self.max_waiting.unwrap_or(default.max_waiting);
        if max_waiting > MOST_WAITING {
            return wrong(format!("`max_waiting` is from 0 to {MOST_WAITING}"));
        }
        Ok(HoldTerms { max_wait, max_waiting })
    }
}

/// What the body of `drain` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Drained {
    cancel: bool,
    force: bool,
    why: Option<String>,
}

/// The endpoint that the path names.
pub(super) struct Endpoint(String);

impl<S: Send + Sync> FromRequestParts<S> for Endpoint {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
        Ok(Self(name))
    }
}
