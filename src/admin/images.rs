//! Which image runs: the status, told by image.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::commands::Service;
use super::problem::Problem;
use super::routes::{Api, known};
use crate::control::report::{AllImages, ServiceImages};

/// `GET /v1/services/{service}/images`.
pub(super) async fn of_service(
    State(api): State<Arc<Api>>,
    Service(name): Service,
) -> Result<Json<ServiceImages>, Problem> {
    let status = api.status().await?;
    Ok(Json(ServiceImages::of(known(&status, &name)?, status.docker.as_ref())))
}

/// `GET /v1/images`: those of all services.
pub(super) async fn all(State(api): State<Arc<Api>>) -> Result<Json<AllImages>, Problem> {
    Ok(Json(AllImages::of(&api.status().await?)))
}
