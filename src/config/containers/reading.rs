//! One container, whatever the others say: whether it asks to be served, as what, and what its labels mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::labels::{self, Fault, Labels, PREFIX, Said};
use super::naming::{self, Called};
use crate::config::reader::not_a_name;
use crate::config::spec::Build;
use crate::domain::ServiceName;
use crate::domain::container::Container;

const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";

/// A container that asks to be served.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) container: Arc<Container>,
    pub(super) service: ServiceName,
    pub(super) called: Called,
    pub(super) build: Build,
    /// The port that it listens on, or why that is not known.
    pub(super) port: Result<u16, String>,
    pub(super) said: Said,
    /// The labels that count, without their prefix.
    pub(super) texts: BTreeMap<String, String>,
    /// Those that don't.
    pub(super) faults: Vec<Fault>,
    /// What is good to know of it.
    pub(super) remarks: Vec<String>,
}

/// What a container asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// Not to be served.
    Nothing,
    /// It has labels of ours, and none that asks to be served.
    Unclear,
    /// It can't be said what: labels are wrong, or there is another reason.
    Nonsense { service: Option<ServiceName>, faults: Vec<Fault>, why: Option<String> },
    /// To be served.
    Service(Box<Reading>),
}

/// Reads a container.
pub(super) fn read(container: &Arc<Container>) -> Asked {
    let is_oneoff = |text: &String| text.eq_ignore_ascii_case("true");
    if container.labels.get(COMPOSE_ONEOFF).is_some_and(is_oneoff) {
        return Asked::Nothing;
    }
    let ours = ours(container);
    if ours.is_empty() {
        return Asked::Nothing;
    }
    let asks = |key| ours.contains_key(key);
    let Labels { said, texts, faults } = labels::read(ours.iter().map(|(label, text)| (*label, *text)));
    match said.enable {
        Some(false) => return Asked::Nothing,
        Some(true) => {}
        None if asks("service") || asks("enable") => {}
        None => return Asked::Unclear,
    }
    let service = match service(container, &said, &faults) {
        Ok(service) => service,
        Err(why) => return Asked::Nonsense { service: None, faults, why },
    };
    let Some(called) = naming::call(container, said.version.as_deref()) else {
        let why = "its image has no id, tag or label to name a version by: add adit.version".to_owned();
        return Asked::Nonsense { service: Some(service), faults, why: Some(why) };
    };
    let (build, mut remarks) = naming::identify(container);
    if let Some(written) = &called.instead_of {
        remarks.push(format!(
            "version {written:?} is called {}: a name has letters, digits and `._+-`",
            called.name
        ));
    }
    let port = port(container, said.port);
    let container = container.clone();
    Asked::Service(Box::new(Reading {
        container,
        service,
        called,
        build,
        port,
        said,
        texts,
        faults,
        remarks,
    }))
}

/// All labels of ours without their prefix. The container's own go before its image's.
fn ours(container: &Container) -> BTreeMap<&str, &str> {
    let images = container.image.labels.iter();
    let all = images.chain(&container.labels).map(|(label, text)| (label.as_str(), text.as_str()));
    all.filter_map(|(label, text)| Some((label.strip_prefix(PREFIX)?, text))).collect()
}

/// Which service it belongs to. Where a label that says so is wrong, that is reason enough.
fn service(container: &Container, said: &Said, faults: &[Fault]) -> Result<ServiceName, Option<String>> {
    if faults.iter().any(|fault| ["adit.service", "adit.enable"].contains(&fault.label.as_str())) {
        return Err(None);
    }
    let compose = || container.labels.get(COMPOSE_SERVICE).cloned();
    let name = said.service.clone().or_else(compose);
    let name =
        name.ok_or_else(|| Some("nothing says which service it belongs to: add adit.service".to_owned()))?;
    match not_a_name(&name) {
        None => Ok(ServiceName::from(name.as_str())),
        Some(why) => Err(Some(format!("{why}; add adit.service"))),
    }
}

/// The one that a label names, or the only one that there is.
fn port(container: &Container, said: Option<u16>) -> Result<u16, String> {
    if let Some(port) = said {
        return Ok(port);
    }
    let ports = &container.ports;
    let mut all: Vec<u16> = ports.exposed.iter().chain(ports.published.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [only] => Ok(*only),
        [] => Err("it exposes no port: say with adit.port which one it listens on".to_owned()),
        several => {
            let several: Vec<_> = several.iter().map(u16::to_string).collect();
            Err(format!("it exposes ports {}: say with adit.port which one to use", several.join(", ")))
        }
    }
}
