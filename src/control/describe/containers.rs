//! What is seen of containers: how the engine stands, who serves, and who does not and why.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::containers::Notice;
use crate::control::control::Control;
use crate::control::endpoints::{EndpointState, VersionState};
use crate::control::report::{ContainerCounts, ContainerStatus, DockerStatus, IdleContainer, rfc3339};
use crate::domain::container::{Container, Engine, Health, Image, Run, Sighting, Withheld};
use crate::domain::{ServiceName, VersionName};
use crate::telemetry::DockerSeries;

/// How the engine and its containers stand; `None`: none is configured.
pub(super) fn docker(control: &Control) -> Option<DockerStatus> {
    let Some(sighting) = &control.sighting else {
        let why = Some("it was not heard yet".to_owned());
        return control.spec.docker.is_some().then(|| DockerStatus { why, ..DockerStatus::default() });
    };
    let (version, lost) = match &sighting.engine {
        Engine::Connected { version } => (Some(version.clone()), None),
        Engine::Lost { since, why } => (None, Some((rfc3339(*since), why.clone()))),
    };
    let mut status = DockerStatus { connected: lost.is_none(), version, ..DockerStatus::default() };
    (status.since, status.why) = lost.unzip();
    let places = places(control);
    let notices = notices(&control.problems.containers);
    for container in sighting.containers.values() {
        let about = notices.get(container.name.as_str()).map_or(&[][..], Vec::as_slice);
        status.containers.seen += 1;
        let left_out = control.containers.left_out.get(&container.id);
        match fate(container, places.contains(container.id.as_str()), left_out.is_some()) {
            Fate::Served => status.containers.served += 1,
            Fate::Withheld => status.withheld.push(idle(container, about, control)),
            Fate::LeftOut => status.left_out.push(idle(container, about, control)),
        }
    }
    status.containers.withheld = status.withheld.len();
    status.containers.left_out = status.left_out.len();
    Some(status)
}

/// Whether it is known what is to be served: as long as the engine was never heard and nothing else names a service,
/// there may be any.
pub(super) fn are_known(control: &Control) -> bool {
    let is_heard = |sighting: &Sighting| matches!(sighting.engine, Engine::Connected { .. });
    control.spec.docker.is_none()
        || !control.services.is_empty()
        || control.sighting.as_ref().is_some_and(is_heard)
}

/// The same in numbers.
pub(super) fn docker_series(control: &Control) -> Option<DockerSeries> {
    docker(control).map(|docker| {
        let ContainerCounts { seen: _, served, withheld, left_out } = docker.containers;
        DockerSeries { up: docker.connected, served, withheld, left_out }
    })
}

/// What is wrong with the engine and its containers.
pub(super) fn problems(control: &Control) -> Vec<String> {
    let lost = control.sighting.as_ref().and_then(|sighting| match &sighting.engine {
        Engine::Connected { .. } => None,
        Engine::Lost { since, why } => Some(format!(
            "docker: the engine can't be asked since {}: {why}; its containers are taken to be as they were seen last",
            rfc3339(*since)
        )),
    });
    let wrong = control.problems.containers.iter().filter(|notice| notice.wrong);
    lost.into_iter().chain(wrong.map(ToString::to_string)).collect()
}

/// What is good to know of containers.
pub(super) fn notes(control: &Control) -> Vec<String> {
    let notices = control.problems.containers.iter();
    notices.filter(|notice| !notice.wrong).map(ToString::to_string).collect()
}

/// The container behind an endpoint.
pub(super) fn behind(endpoint: &EndpointState) -> Option<ContainerStatus> {
    endpoint.container.as_deref().map(identity)
}

/// How an endpoint is whose container gets no requests: a word and why. `None`: as far as the engine knows it may.
pub(super) fn withheld(endpoint: &EndpointState) -> Option<(&'static str, String)> {
    let withheld = endpoint.withheld()?;
    Some((word(withheld), withheld.to_string()))
}

/// What registries know a version by: as it is pinned, else as the engine knows its image.
pub(super) fn digest(version: &VersionState) -> Option<String> {
    let pinned = version.spec.build.digest().map(str::to_owned);
    let build = version.spec.build.image_id.as_deref();
    let known = || {
        let mut images = version.spec.containers.values().map(|container| &container.image);
        images.find(|image| build.is_none_or(|build| image.id == build)).and_then(pulled)
    };
    pinned.or_else(known)
}

/// The digest by which an image was pulled; by that of another name when it was only named anew.
fn pulled(image: &Image) -> Option<String> {
    let of = |reference: &str| {
        let name = reference.split('@').next().unwrap_or_default();
        // A colon before a slash belongs to the registry's port.
        let tag = name.rfind(':').filter(|colon| !name[*colon..].contains('/'));
        name[..tag.unwrap_or(name.len())].to_owned()
    };
    let name = of(&image.reference);
    let best = image.digests.iter().find(|digest| of(digest) == name).or_else(|| image.digests.first());
    best?.split_once('@').map(|(_, digest)| digest.to_owned())
}

fn identity(container: &Container) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        id: container.id.clone(),
        image: container.image.reference.clone(),
        image_id: container.image.id.clone(),
    }
}

fn word(withheld: Withheld) -> &'static str {
    match withheld {
        Withheld::NotRunning(Run::Created) | Withheld::NotHealthy(Health::Starting) => "starting",
        Withheld::NotRunning(Run::Running) => "running",
        Withheld::NotRunning(Run::Paused) => "paused",
        Withheld::NotRunning(Run::Restarting) => "restarting",
        Withheld::NotRunning(Run::Stopping) => "stopping",
        Withheld::NotRunning(Run::Exited { .. } | Run::Removed) => "exited",
        Withheld::Unsure => "down",
        Withheld::NotHealthy(Health::Unhealthy | Health::Healthy) => "unhealthy",
    }
}

/// What becomes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Withheld,
    LeftOut,
}

/// `has_place`: it is behind an endpoint. What is wrong with one that is served all the same is a problem of its labels.
fn fate(container: &Container, has_place: bool, is_left_out: bool) -> Fate {
    match (has_place, container.withheld()) {
        (true, None) => Fate::Served,
        (true, Some(_)) => Fate::Withheld,
        (false, Some(_)) if !is_left_out => Fate::Withheld,
        (false, None | Some(_)) => Fate::LeftOut,
    }
}

fn idle(container: &Container, about: &[&Notice], control: &Control) -> IdleContainer {
    let withheld = container.withheld();
    let what = |notice: &&Notice| match &notice.label {
        Some(label) => format!("label {label}: {}", notice.what),
        None => notice.what.clone(),
    };
    let (service, version) = belongs(container, control);
    IdleContainer {
        container: identity(container),
        service,
        version,
        state: withheld.map_or("running", word).to_owned(),
        reasons: withheld.iter().map(ToString::to_string).chain(about.iter().map(what)).collect(),
    }
}

/// Whose a container without an endpoint is.
fn belongs(container: &Container, control: &Control) -> (Option<ServiceName>, Option<VersionName>) {
    let placed = control.containers.placed.get(&container.id);
    placed.map(|placed| (placed.service.clone(), placed.version.clone())).unzip()
}

/// The ids of all containers behind endpoints.
fn places(control: &Control) -> BTreeSet<&str> {
    let versions = control.services.values().flat_map(|service| service.versions.values());
    let endpoints = versions.flat_map(|version| &version.endpoints);
    endpoints.filter_map(|endpoint| Some(endpoint.container.as_ref()?.id.as_str())).collect()
}

fn notices(all: &[Notice]) -> BTreeMap<&str, Vec<&Notice>> {
    let mut by_container: BTreeMap<&str, Vec<&Notice>> = BTreeMap::new();
    for notice in all {
        if let Some(container) = &notice.container {
            by_container.entry(container).or_default().push(notice);
        }
    }
    by_container
}
