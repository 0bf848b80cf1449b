//! By which address a container is reached, from where we are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::reading::Reading;
use crate::config::file::comes_back;
use crate::config::spec::{DockerSpec, EndpointAddress};
use crate::domain::container::{Container, Run, Site};

const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// From where containers are looked at.
#[derive(Clone, Copy)]
pub(super) struct Outlook<'a> {
    pub(super) site: &'a Site,
    pub(super) docker: Option<&'a DockerSpec>,
    pub(super) listeners: &'a [SocketAddr],
}

/// Why a container can't be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreachable {
    /// The label that would say more, or says something wrong.
    pub(super) label: Option<&'static str>,
    pub(super) what: String,
}

/// Where a container is reached; `None`: nowhere now, because it isn't running.
pub(super) fn address(reading: &Reading, outlook: Outlook<'_>) -> Result<Option<SocketAddr>, Unreachable> {
    let about = |label| move |what| Unreachable { label: Some(label), what };
    let container = &reading.container;
    let port = reading.port.clone().map_err(about("adit.port"))?;
    let address = if container.ports.host_network {
        on_host(outlook.site, port).map(Some)
    } else {
        match outlook.site {
            Site::Host => match published(container, port) {
                Some(address) => Ok(Some(address)),
                None => in_network(reading, outlook, None).map(|ip| ip.map(|ip| SocketAddr::new(ip, port))),
            },
            Site::Container { networks, .. } => {
                in_network(reading, outlook, Some(networks)).map(|ip| ip.map(|ip| SocketAddr::new(ip, port)))
            }
        }
    }?;
    match address {
        Some(address) if comes_back(&EndpointAddress::Ip(address), outlook.listeners) => {
            let what = format!("{address} is a listener of Adit: requests would go round in circles");
            Err(about("adit.port")(what))
        }
        address => Ok(address),
    }
}

fn on_host(site: &Site, port: u16) -> Result<SocketAddr, Unreachable> {
    match site {
        Site::Host => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Site::Container { .. } => {
            let what =
                "it has its host's network, which Adit's own container does not reach: give both a network";
            Err(Unreachable { label: None, what: what.to_owned() })
        }
    }
}

/// The host's port that leads to `port`; on loopback, if it is open there.
fn published(container: &Container, port: u16) -> Option<SocketAddr> {
    let all = container.ports.published.get(&port)?;
    let near = |address: &&SocketAddr| address.ip().is_unspecified();
    if let Some(address) = all.iter().filter(near).min() {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())));
    }
    all.iter().min_by_key(|address| (!address.ip().is_loopback(), **address)).copied()
}

/// Its address in the network in which we meet. `shared`: our own networks; `None`: we reach all of them.
fn in_network(
    reading: &Reading,
    outlook: Outlook<'_>,
    shared: Option<&BTreeSet<String>>,
) -> Result<Option<IpAddr>, Unreachable> {
    let container = &reading.container;
    let networks = &container.ports.networks;
    // What has ended has no address, and that is no fault of its labels.
    let is_there = matches!(container.run, Run::Running | Run::Paused | Run::Stopping);
    if networks.is_empty() && !is_there {
        return Ok(None);
    }
    let reached = |name: &str| shared.is_none_or(|ours| ours.contains(name));
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let wrong = |what| Err(Unreachable { label: Some("adit.network"), what });
    if let Some(said) = reading.said.network.as_deref() {
        return match own_network(container, said) {
            Some((name, _)) if !reached(name) => wrong(format!("Adit is not in network {name}: attach it")),
            Some((_, ip)) => Ok(Some(ip)),
            None => wrong(format!(
                "it is not in network {said}, but in: {}",
                list(networks.keys().map(String::as_str).collect())
            )),
        };
    }
    let preferred = outlook.docker.and_then(|docker| docker.network.as_deref());
    let preferred = preferred.and_then(|name| own_network(container, name)).filter(|(name, _)| reached(name));
    if let Some((_, ip)) = preferred {
        return Ok(Some(ip));
    }
    let ours: Vec<_> = networks.iter().filter(|(name, _)| reached(name)).collect();
    match (ours.as_slice(), shared) {
        ([], None) => wrong("it is in no network, and publishes no port".to_owned()),
        ([], Some(ours)) => wrong(format!(
            "Adit shares no network with it: it is in {}, Adit in {}",
            list(networks.keys().map(String::as_str).collect()),
            list(ours.iter().map(String::as_str).collect())
        )),
        ([(_, ip)], _) | ([(_, ip), ..], Some(_)) => Ok(Some(**ip)),
        (several, None) => {
            let names = several.iter().map(|(name, _)| name.as_str()).collect();
            wrong(format!("it is in networks {}: say which one to use", list(names)))
        }
    }
}

/// The container's network of that name; Compose puts the project before the names that people write.
fn own_network<'c>(container: &'c Container, name: &str) -> Option<(&'c str, IpAddr)> {
    let networks = &container.ports.networks;
    let found = networks.get_key_value(name).or_else(|| {
        let project = container.labels.get(COMPOSE_PROJECT)?;
        networks.get_key_value(&format!("{project}_{name}"))
    });
    found.map(|(name, ip)| (name.as_str(), *ip))
}
