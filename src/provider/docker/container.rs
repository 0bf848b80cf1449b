//! What the engine says of a container, in our words. Pure; whatever is missing or absurd is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EndpointSettings, HealthStatusEnum,
    ImageInspect, NetworkSettings, PortBinding,
};

use super::event::Signal;
use crate::domain::Timestamp;
use crate::domain::container::{Container, Health, Image, Ports, Run};

/// How long the engine lets a container end when nothing else is said.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that is believed; -1 means "as long as it takes".
const LONGEST_STOP: Duration = Duration::from_secs(24 * 3600);

/// A container as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// What there is to say to others.
    pub(super) container: Container,
    /// When its process was started last, as the engine writes it: another start is another process.
    pub(super) started: String,
    /// How it is told to end.
    pub(super) stop: Stop,
}

/// How a container is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// By this signal.
    pub(super) signal: Signal,
    /// By force after this time.
    pub(super) timeout: Duration,
}

/// Whether a container with these labels is any of our business. A mistyped `adit.enable` is: someone wants to know.
pub(super) fn asks_to_be_served(labels: &HashMap<String, String>) -> bool {
    match labels.get("adit.enable").map(String::as_str) {
        Some("false") => false,
        Some(_) => true,
        None => labels.contains_key("adit.service"),
    }
}

/// The container whose network this one lives in, if it has none of its own.
pub(super) fn shares_network_of(inspected: &ContainerInspectResponse) -> Option<&str> {
    network_mode(inspected).strip_prefix("container:")
}

pub(super) fn network_mode(inspected: &ContainerInspectResponse) -> &str {
    inspected.host_config.as_ref().and_then(|config| config.network_mode.as_deref()).unwrap_or_default()
}

/// `None`: the engine does not say what it is.
pub(super) fn read(inspected: ContainerInspectResponse, image: Image) -> Option<Seen> {
    let host_network = network_mode(&inspected) == "host";
    let id = inspected.id.filter(|id| !id.is_empty())?;
    let config = inspected.config.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let name = inspected.name.unwrap_or_default();
    let stop = Stop {
        signal: config.stop_signal.as_deref().and_then(Signal::read).unwrap_or(Signal::TERM),
        timeout: stop_timeout(config.stop_timeout),
    };
    let exposed = config.exposed_ports.unwrap_or_default();
    let container = Container {
        name: name.trim_start_matches('/').to_owned(),
        created: inspected.created.as_deref().map(time).unwrap_or_default(),
        image: Image {
            reference: config.image.unwrap_or_default(),
            id: inspected.image.unwrap_or_default(),
            ..image
        },
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        run: run(&state),
        health: state.health.and_then(|health| health.status).and_then(health),
        ports: ports(host_network, &exposed, inspected.network_settings.unwrap_or_default()),
        id,
    };
    Some(Seen { container, started: state.started_at.unwrap_or_default(), stop })
}

/// What the engine says of an image; whose it is and how it was asked for is the container's to say.
pub(super) fn image(inspected: ImageInspect) -> Image {
    let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
    let mut digests = inspected.repo_digests.unwrap_or_default();
    digests.retain(|digest| digest.contains("@sha256:") && !digest.starts_with("<none>"));
    digests.sort();
    Image {
        reference: String::new(),
        id: inspected.id.unwrap_or_default(),
        digests,
        created: inspected.created.filter(|created| !created.is_empty()),
        labels: labels.into_iter().collect(),
    }
}

fn run(state: &ContainerState) -> Run {
    let exited = Run::Exited {
        code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed == Some(true),
    };
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => Run::Created,
        Some(ContainerStateStatusEnum::RUNNING) => Run::Running,
        Some(ContainerStateStatusEnum::PAUSED) => Run::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => Run::Restarting,
        Some(ContainerStateStatusEnum::STOPPING) => Run::Stopping,
        Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD) => Run::Removed,
        Some(ContainerStateStatusEnum::EXITED) => exited,
        Some(ContainerStateStatusEnum::EMPTY) | None => match state {
            ContainerState { paused: Some(true), .. } => Run::Paused,
            ContainerState { restarting: Some(true), .. } => Run::Restarting,
            ContainerState { running: Some(true), .. } => Run::Running,
            _ => exited,
        },
    }
}

fn health(status: HealthStatusEnum) -> Option<Health> {
    match status {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    }
}

fn ports(host_network: bool, exposed: &[String], settings: NetworkSettings) -> Ports {
    let bound = settings.ports.unwrap_or_default();
    let exposed =
        exposed.iter().chain(bound.keys()).filter_map(|port| tcp_port(port)).collect::<BTreeSet<_>>();
    let published = bound.iter().filter_map(|(port, bindings)| {
        let mut addresses: Vec<SocketAddr> = bindings.iter().flatten().filter_map(host_address).collect();
        addresses.sort();
        addresses.dedup();
        Some((tcp_port(port)?, addresses)).filter(|(_, addresses)| !addresses.is_empty())
    });
    let networks = settings.networks.unwrap_or_default();
    Ports {
        host_network,
        networks: networks
            .iter()
            .filter_map(|(name, network)| Some((name.clone(), address(network)?)))
            .collect(),
        exposed,
        published: published.collect::<BTreeMap<_, _>>(),
    }
}

/// IPv4 first: that is how most containers listen.
fn address(network: &EndpointSettings) -> Option<IpAddr> {
    let both = [&network.ip_address, &network.global_ipv6_address];
    let mut parsed = both.into_iter().flatten().filter_map(|text| text.parse::<IpAddr>().ok());
    parsed.find(|address| !address.is_unspecified())
}

/// `8080/tcp`, or only `8080`.
fn tcp_port(text: &str) -> Option<u16> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    number.parse().ok().filter(|&port| port > 0 && protocol == "tcp")
}

fn host_address(binding: &PortBinding) -> Option<SocketAddr> {
    let port = binding.host_port.as_deref()?.parse().ok().filter(|&port| port > 0)?;
    let ip = match binding.host_ip.as_deref() {
        None | Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(text) => text.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

/// How long a container may take to end, as the engine writes it.
pub(super) fn stop_timeout(seconds: Option<i64>) -> Duration {
    let Some(seconds) = seconds else { return STOP_TIMEOUT };
    u64::try_from(seconds).map_or(LONGEST_STOP, |seconds| Duration::from_secs(seconds).min(LONGEST_STOP))
}

/// RFC 3339; what is none, or lies before 1970, is the beginning of time.
fn time(text: &str) -> Timestamp {
    let micros = text.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_microsecond);
    Timestamp::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests;
