//! What happened, page by page. The journal is read on a thread of its own: a verdict never waits for a reader.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::commands::{Service, unknown_service};
use super::problem::{Code, Problem};
use super::routes::Api;
use crate::control::StoreError;
use crate::control::journal::{Journal, RolloutPage, RolloutStory};
use crate::domain::ServiceName;

/// Rollouts on a page when nothing is said.
const PAGE: u32 = 20;
/// Rollouts on a page at most.
const LONGEST: u32 = 1_000;

/// Which rollouts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    before: Option<u64>,
}

/// `GET /v1/services/{service}/rollouts`: newest first; also of services that are no longer configured.
pub(super) async fn rollouts(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<RolloutPage>, Problem> {
    let Query(which) = which.map_err(unreadable)?;
    let limit = limit(&which)?;
    let name = service.clone();
    let page = api.read(move |journal| journal.rollouts(&name, which.before, limit)).await?;
    if page.rollouts.is_empty() {
        api.must_know(&service).await?;
    }
    Ok(Json(page))
}

/// `GET /v1/rollouts`: the newest of all services.
pub(super) async fn latest(
    State(api): State<Arc<Api>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<RolloutPage>, Problem> {
    let Query(which) = which.map_err(unreadable)?;
    if which.before.is_some() {
        return Err(Problem::new(
            Code::BadRequest,
            "`before` pages through one service: GET /v1/services/SERVICE/rollouts",
        ));
    }
    let limit = limit(&which)?;
    api.read(move |journal| journal.latest(limit)).await.map(Json)
}

/// `GET /v1/services/{service}/rollouts/{number}`: all that happened in one; `last` is the last one.
pub(super) async fn story(
    State(api): State<Arc<Api>>,
    Path((service, number)): Path<(String, String)>,
) -> Result<Json<RolloutStory>, Problem> {
    let service = ServiceName::from(service.as_str());
    let wanted = match number.as_str() {
        "last" => None,
        digits => Some(digits.parse::<u64>().map_err(|_| {
            Problem::new(
                Code::BadRequest,
                format!("`{number}` is no rollout: say its number, as in /v1/services/{service}/rollouts/3, or `last`"),
            )
        })?),
    };
    let name = service.clone();
    if let Some(story) = api.read(move |journal| journal.story(&name, wanted)).await? {
        return Ok(Json(story));
    }
    api.must_know(&service).await?;
    Err(unknown_rollout(&service, wanted))
}

fn unknown_rollout(service: &ServiceName, number: Option<u64>) -> Problem {
    let what = match number {
        Some(number) => format!(
            "service `{service}` has no recorded rollout {number}; `adit history {service}` lists those that there are"
        ),
        None => format!("service `{service}` has had no rollout yet; change its `release` to start one"),
    };
    Problem::new(Code::UnknownRollout, what)
}

fn limit(which: &Which) -> Result<u32, Problem> {
    match which.limit.unwrap_or(PAGE) {
        limit @ 1..=LONGEST => Ok(limit),
        _ => Err(Problem::new(Code::BadRequest, format!("`limit` must be from 1 to {LONGEST}"))),
    }
}

/// What a query may say that can't be read.
pub(super) fn unreadable(rejection: QueryRejection) -> Problem {
    Problem::new(Code::BadRequest, rejection.body_text())
}

impl Api {
    /// Reads the journal off this thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Journal) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let journal = self.journal.clone();
        let read = tokio::task::spawn_blocking(move || read(&journal)).await;
        match read {
            Ok(outcome) => outcome.map_err(|error| Problem::new(Code::Unreadable, error.to_string())),
            // Only a panic, which is logged, or the runtime's end.
            Err(_) => Err(Problem::stopping()),
        }
    }

    /// Refuses a service that is neither configured nor recorded, and names those that are.
    pub(super) async fn must_know(&self, service: &ServiceName) -> Result<(), Problem> {
        let status = self.handle.status().await.ok_or_else(Problem::stopping)?;
        if status.service(service.as_str()).is_some() {
            return Ok(());
        }
        let mut known = self.read(Journal::services).await?;
        if known.contains(service) {
            return Ok(());
        }
        known.extend(status.services.into_iter().map(|service| service.name));
        known.sort();
        known.dedup();
        let names: Vec<_> = known.iter().map(ServiceName::as_str).collect();
        Err(unknown_service(service, &names.join(", ")))
    }
}
