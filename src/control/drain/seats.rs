//! Who is meant by an endpoint that is to be drained: an address, a name that is looked up, or a container.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::control::control::Control;
use crate::control::endpoints::EndpointState;
use crate::control::handle::CommandError;
use crate::control::store::DrainRecord;
use crate::domain::container::Container;
use crate::domain::{ServiceName, VersionName};

/// Digits of a container's id that are enough to mean it: fewer are too easily a word.
const SHORTEST_PREFIX: usize = 4;

/// Where an endpoint is: an address may serve several services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    pub(super) service: ServiceName,
    pub(super) version: VersionName,
    pub(super) address: SocketAddr,
    /// The id of the container behind it, if there is one. A container is drained wherever it is, and another one that
    /// gets its address is not.
    pub(super) container: Option<String>,
}

impl Seat {
    pub(super) fn of(service: &ServiceName, version: &VersionName, endpoint: &EndpointState) -> Self {
        Self {
            service: service.clone(),
            version: version.clone(),
            address: endpoint.address,
            container: endpoint.container.as_ref().map(|container| container.id.clone()),
        }
    }

    pub(super) fn recorded(record: &DrainRecord) -> Self {
        Self {
            service: record.service.clone(),
            version: record.version.clone(),
            address: record.address,
            container: record.container.clone(),
        }
    }

    /// Whether this endpoint, wherever it is now, is the one that was meant here.
    pub(super) fn is(&self, service: &ServiceName, version: &VersionName, endpoint: &EndpointState) -> bool {
        match (&self.container, &endpoint.container) {
            (Some(id), behind) => behind.as_ref().is_some_and(|container| container.id == *id),
            (None, _) => (&self.service, &self.version, self.address) == (service, version, endpoint.address),
        }
    }
}

impl Control {
    /// The endpoints that `text` stands for; an address goes before a container.
    ///
    /// # Errors
    /// When it is nothing that is known, or not one container.
    pub(super) fn seats(&self, text: &str) -> Result<Vec<Seat>, CommandError> {
        let address = text.parse::<SocketAddr>().ok();
        let seats = self
            .seats_of(|endpoint| *endpoint.declared == *text || Some(endpoint.address) == address)
            .collect::<Vec<_>>();
        if !seats.is_empty() {
            return Ok(seats);
        }
        let Some(container) = self.container(text)? else {
            return Err(CommandError::UnknownEndpoint(self.all_endpoints()));
        };
        let is_it =
            |endpoint: &EndpointState| endpoint.container.as_ref().is_some_and(|it| it.id == container.id);
        let seats: Vec<_> = self.seats_of(is_it).collect();
        if !seats.is_empty() {
            return Ok(seats);
        }
        // One that is being drained may have no endpoint now: it was stopped.
        let recorded: Vec<_> = self.drains.of_container(&container.id).map(Seat::recorded).collect();
        if recorded.is_empty() {
            let why = container.withheld().map(|why| format!(": {why}")).unwrap_or_default();
            let name = &container.name;
            return Err(CommandError::Conflict(format!(
                "container {name} is no endpoint now{why}; there is nothing to drain, see `adit status`"
            )));
        }
        Ok(recorded)
    }

    fn seats_of(&self, meant: impl Fn(&EndpointState) -> bool) -> impl Iterator<Item = Seat> {
        self.services.iter().flat_map(move |(name, service)| {
            let meant = &meant;
            let versions = service.versions.iter().flat_map(move |(version, state)| {
                let found = state.endpoints.iter().filter(|endpoint| meant(endpoint));
                found.map(move |endpoint| Seat::of(name, version, endpoint))
            });
            versions.collect::<Vec<_>>()
        })
    }

    /// The container of this name or id, or whose id begins so.
    fn container(&self, text: &str) -> Result<Option<&Arc<Container>>, CommandError> {
        let all = self.containers();
        if let Some(found) = all.values().find(|it| it.name == text).or_else(|| all.get(text)) {
            return Ok(Some(found));
        }
        if text.len() < SHORTEST_PREFIX || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let prefix = text.to_ascii_lowercase();
        let found: Vec<_> = all.values().filter(|it| it.id.starts_with(&prefix)).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            ref several => {
                let names = several.iter().map(|it| format!("{} ({})", it.name, it.short_id()));
                let names = names.collect::<Vec<_>>().join(", ");
                Err(CommandError::AmbiguousEndpoint(format!(
                    "the ids of several containers begin with `{text}`: {names}; say more of it, or a name"
                )))
            }
        }
    }

    /// All containers that are known, by id: those that the engine told of, and those behind endpoints.
    fn containers(&self) -> BTreeMap<&str, &Arc<Container>> {
        let versions = self.services.values().flat_map(|service| service.versions.values());
        let endpoints = versions.flat_map(|version| &version.endpoints);
        let behind = endpoints.filter_map(|endpoint| endpoint.container.as_ref());
        let seen = self.sighting.iter().flat_map(|sighting| sighting.containers.values());
        behind.chain(seen).map(|container| (container.id.as_str(), container)).collect()
    }

    fn all_endpoints(&self) -> String {
        let versions = self.services.values().flat_map(|service| service.versions.values());
        let mut all: Vec<_> = versions
            .flat_map(|version| &version.endpoints)
            .map(|endpoint| match &endpoint.container {
                Some(container) => format!("{} ({})", container.name, endpoint.declared),
                None => endpoint.declared.to_string(),
            })
            .collect();
        all.sort();
        all.dedup();
        all.join(", ")
    }
}
