//! What is wanted: the config, and over it what was deployed since. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::{AllDeployments, Deployments};
use crate::config::spec::{EndpointAddress, ServiceSpec, Spec, Traffic, VersionSpec};
use crate::domain::VersionName;

/// The config with deployed versions added, and the deployed release in the place of the config's while the order
/// counts.
pub(crate) fn overlay(file: &Spec, deployments: &AllDeployments) -> Spec {
    let mut spec = file.clone();
    for (name, record) in deployments {
        if let Some(service) = spec.services.get_mut(name) {
            *service = over(service, record);
        }
    }
    spec
}

/// A fixed division is the config's alone.
fn over(file: &Arc<ServiceSpec>, record: &Deployments) -> Arc<ServiceSpec> {
    let Traffic::Release(named) = &file.traffic else { return file.clone() };
    let release = match &record.intent {
        Some(intent) if intent.over == *named => intent.version.clone(),
        Some(_) | None => named.clone(),
    };
    let mut service = ServiceSpec::clone(file);
    service.versions.retain(|name, _| *name == release || !record.yielded.contains(name));
    for (name, deployed) in &record.versions {
        let version = || VersionSpec::at(deployed.endpoints.clone(), deployed.build.clone());
        service.versions.entry(name.clone()).or_insert_with(version);
    }
    if service.versions.contains_key(&release) {
        service.traffic = Traffic::Release(release);
    }
    Arc::new(service)
}

/// An endpoint that two versions of the service have; neither the config alone nor a deploy alone allows that.
pub(crate) fn clash(service: &ServiceSpec) -> Option<(&EndpointAddress, &VersionName, &VersionName)> {
    let mut seen = HashMap::new();
    let all = service
        .versions
        .iter()
        .flat_map(|(name, version)| version.endpoints.iter().map(move |endpoint| (endpoint, name)));
    for (endpoint, name) in all {
        if let Some(first) = seen.insert(endpoint, name) {
            return Some((endpoint, first, name));
        }
    }
    None
}
