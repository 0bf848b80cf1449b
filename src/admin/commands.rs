//! The verbs: read what the caller says, tell control, pass its answer on.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use super::routes::Api;
use crate::control::report::ServiceStatus;
use crate::control::{By, Command, CommandError, ReloadError, Reloaded, Verb};
use crate::domain::{ServiceName, VersionName, Weight};

/// The header in which a caller says who gives a command, for the audit. Nobody checks it: it is a courtesy among
/// those who are let in.
pub const WHO: &str = "x-adit-who";
/// Who gives a command when the caller does not say.
const ANYONE: &str = "api";
/// Bytes in [`WHO`].
const WHO_LIMIT: usize = 256;

type Answer = Result<Json<ServiceStatus>, Problem>;

pub(super) async fn promote(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Promotion>,
) -> Answer {
    let verb = if said.full { Verb::PromoteFull } else { Verb::Promote };
    api.tell(Command { service, verb, who, why: said.why }).await
}

pub(super) async fn abort(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Plain>,
) -> Answer {
    api.tell(Command { service, verb: Verb::Abort, who, why: said.why }).await
}

pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Plain>,
) -> Answer {
    api.tell(Command { service, verb: Verb::Pause, who, why: said.why }).await
}

pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Plain>,
) -> Answer {
    api.tell(Command { service, verb: Verb::Resume, who, why: said.why }).await
}

pub(super) async fn set_weight(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<NewWeight>,
) -> Answer {
    let Some(weight) = said.weight else {
        return Err(Problem::new(Code::BadRequest, "which weight? Send {\"weight\": 25} for 25 %"));
    };
    api.tell(Command { service, verb: Verb::SetWeight(weight), who, why: said.why }).await
}

pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Retrial>,
) -> Answer {
    api.tell(Command { service, verb: Verb::Retry(said.version), who, why: said.why }).await
}

pub(super) async fn undo(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(said): Said<Undoing>,
) -> Answer {
    api.tell(Command { service, verb: Verb::Undo(said.to), who, why: said.why }).await
}

pub(super) async fn reload(
    State(api): State<Arc<Api>>,
    Who(who): Who,
    Said(said): Said<Plain>,
) -> Result<Json<Reloaded>, Problem> {
    api.handle.reload(By { who, why: said.why }).await.map(Json).map_err(|error| match error {
        ReloadError::Invalid(diagnostics) => Problem::new(Code::InvalidConfig, diagnostics),
        ReloadError::Refused(what) => Problem::new(Code::Refused, what),
        ReloadError::Stopped => Problem::stopping(),
    })
}

impl Api {
    async fn tell(&self, command: Command) -> Answer {
        let service = command.service.clone();
        self.handle.command(command).await.map(Json).map_err(|error| refusal(service.as_str(), error))
    }
}

/// What to answer when control does not do what a command about `named` asks for.
pub(super) fn refusal(named: &str, error: CommandError) -> Problem {
    match error {
        CommandError::UnknownService(known) => unknown_service(&ServiceName::from(named), &known),
        CommandError::UnknownEndpoint(known) => {
            let known = if known.is_empty() { "none" } else { &known };
            let detail = format!("there is no endpoint or container `{named}`; known: {known}");
            Problem::new(Code::UnknownEndpoint, detail)
        }
        CommandError::AmbiguousEndpoint(what) => Problem::new(Code::BadRequest, what),
        CommandError::UnknownVersion(what) => Problem::new(Code::UnknownVersion, what),
        CommandError::Conflict(what) => Problem::new(Code::Conflict, what),
        CommandError::NotSaved(what) => Problem::new(Code::NotSaved, what),
        CommandError::Stopped => Problem::stopping(),
    }
}

/// `known`: the names that there are.
pub(super) fn unknown_service(service: &ServiceName, known: &str) -> Problem {
    let known = if known.is_empty() { "none" } else { known };
    Problem::new(Code::UnknownService, format!("there is no service `{service}`; known: {known}"))
}

/// What the body of `promote` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Promotion {
    full: bool,
    why: Option<String>,
}

/// What the body of a verb without parameters may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Plain {
    pub(super) why: Option<String>,
}

/// What the body of `weight` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewWeight {
    weight: Option<Weight>,
    why: Option<String>,
}

/// What the body of `retry` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retrial {
    version: Option<VersionName>,
    why: Option<String>,
}

/// What the body of `undo` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Undoing {
    to: Option<VersionName>,
    why: Option<String>,
}

/// The service that the path names.
pub(super) struct Service(pub(super) ServiceName);

/// Who gives a command.
pub(super) struct Who(pub(super) String);

/// The body: JSON whatever its Content-Type says (the guard keeps foreign pages out), or nothing at all.
pub(super) struct Said<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
        Ok(Self(ServiceName::from(name.as_str())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(WHO) else { return Ok(Self(ANYONE.to_owned())) };
        match value.to_str() {
            Ok(who) if who.len() <= WHO_LIMIT && !who.trim().is_empty() => Ok(Self(who.trim().to_owned())),
            Ok(_) | Err(_) => Err(Problem::new(
                Code::BadRequest,
                format!("{WHO} names who gives the command: 1 to {WHO_LIMIT} characters of printable ASCII"),
            )),
        }
    }
}

impl<S: Send + Sync, T: Default + DeserializeOwned> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            let text = error.body_text();
            match error.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, "the body is above 64 KiB"),
                _ => Problem::new(Code::BadRequest, text),
            }
        })?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Problem::new(Code::BadRequest, format!("the body can't be read: {error}")))
    }
}
