//! `POST /v1/services/{s}/deploy`: have a version released.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::commands::{Said, Service, Who, refusal};
use super::problem::{Code, Problem};
use super::routes::Api;
use crate::control::report::ServiceStatus;
use crate::control::{By, DeployError, DeployOrder};

/// Answers how the service stands once its rollout began: `rollout.number` is the one to follow.
pub(super) async fn deploy(
    State(api): State<Arc<Api>>,
    Service(service): Service,
    Who(who): Who,
    Said(order): Said<DeployOrder>,
) -> Result<Json<ServiceStatus>, Problem> {
    let by = By { who, why: order.why.clone() };
    api.handle.deploy(service.clone(), by, order).await.map(Json).map_err(|error| match error {
        DeployError::Invalid(what) => Problem::new(Code::BadRequest, what),
        DeployError::Refused(error) => refusal(service.as_str(), error),
    })
}
