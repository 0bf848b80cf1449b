//! How the container engine and its containers are.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::families::{Family, number};
use super::metrics::ServiceSeries;
use crate::domain::ServiceName;

/// What control knows of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DockerSeries {
    /// Whether it can be asked.
    pub up: bool,
    /// Containers that are endpoints and may be given requests, as far as the engine knows.
    pub served: usize,
    /// Containers that get none because of how they are.
    pub withheld: usize,
    /// Containers that get none because of what is wrong with them.
    pub left_out: usize,
}

/// Adds what is known. `restarts`: how often a container was restarted for its health, by service.
pub(super) fn docker(
    all: &mut Vec<MetricFamily>,
    series: DockerSeries,
    services: &[ServiceSeries],
    restarts: &BTreeMap<ServiceName, u64>,
) {
    let mut up = Family::gauge("adit_docker_up", "Whether the container engine can be asked.", []);
    up.sample([], f64::from(u8::from(series.up)));
    up.finish(all);
    let help = "Containers that ask to be served, by what becomes of them.";
    let mut containers = Family::gauge("adit_docker_containers", help, ["state"]);
    let DockerSeries { up: _, served, withheld, left_out } = series;
    for (state, count) in [("served", served), ("withheld", withheld), ("left_out", left_out)] {
        containers.sample([state], number(u64::try_from(count).unwrap_or(u64::MAX)));
    }
    containers.finish(all);
    let help = "Containers that were restarted because they stayed unhealthy.";
    let mut family = Family::counter("adit_container_restarts_total", help, ["service"]);
    for service in services {
        family.sample([service.name.as_str()], number(restarts.get(&service.name).copied().unwrap_or(0)));
    }
    family.finish(all);
}
