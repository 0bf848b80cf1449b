//! One check of one endpoint: a connection of its own, one request, one answer.

use std::net::SocketAddr;

use crate::config::spec::HealthSpec;

/// What to check, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// Where to connect.
    pub address: SocketAddr,
    /// What the request's Host field says.
    pub host: String,
    /// Path, timeout and pace.
    pub spec: HealthSpec,
}
