//! `[services.*]`: versions, and which of them users get. Routes and policies have files of their own.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::build;
use super::connection;
use super::file::comes_back;
use super::policies;
use super::reader::{Place, Table, not_a_name};
use super::rescue::{self, Hosts};
use super::rollout;
use super::routes::{self, RouteKey};
use super::spec::{
    Build, DockerSpec, EjectSpec, EndpointAddress, EndpointTlsFiles, HealthSpec, Recover, ReleaseBy,
    ServiceSpec, Traffic, VersionSpec,
};
use super::value::Value;
use crate::domain::rollout::Plan;
use crate::domain::routing::Policy;
use crate::domain::{ServiceName, VersionName, Weight};

type Versions = BTreeMap<VersionName, VersionSpec>;

/// What is said of the whole program, and holds for every service.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Ours: no endpoint may be one of them.
    pub(super) listeners: &'a [SocketAddr],
    /// Whose containers may bring versions.
    pub(super) docker: Option<&'a DockerSpec>,
}

/// How a service is treated: what a config or labels may say of it, whatever its versions are.
#[derive(Clone, Debug)]
pub(super) struct Treatment {
    pub(super) health: HealthSpec,
    pub(super) eject: EjectSpec,
    pub(super) policy: Policy,
    pub(super) tls_files: EndpointTlsFiles,
    pub(super) rollout: Plan,
    pub(super) recover: Recover,
}

/// The versions that a service's config may speak of.
struct Known {
    names: Vec<String>,
    /// Containers may bring others.
    is_open: bool,
}

/// Reads all services.
pub(super) fn read(file: &mut Table<'_>, around: Around<'_>) -> Vec<ServiceSpec> {
    let mut routes: HashMap<RouteKey, Place> = HashMap::new();
    let mut hosts = Hosts::default();
    let services = file.named("services", |name, value| {
        value.table(|table| {
            let found = routes::read(table);
            let service = service(name, table, around, &mut hosts);
            let found = found?;
            let mut matches = Vec::with_capacity(found.len());
            routes.reserve(found.len());
            for (route, place) in found {
                hosts.named(&route.host, &place);
                match routes.entry(routes::key(&route)) {
                    Entry::Occupied(first) => routes::report_twice(table, &place, first.get()),
                    Entry::Vacant(free) => drop(free.insert(place)),
                }
                matches.push(route);
            }
            service.map(|service| ServiceSpec { routes: matches, ..service })
        })?
    });
    hosts.report_twice(file);
    services
}

/// How the service is treated that `table` is about.
pub(super) fn treatment(table: &mut Table<'_>, hosts: &mut Hosts) -> Treatment {
    let (connection, tls_files) = table.table("connection", connection::connection);
    let health = table.table("health", |table| policies::health(table, connection.protocol));
    let eject = table.table("eject", policies::eject);
    let (rollout, handling) = table.table("rollout", |table| (rollout::plan(table), rescue::handling(table)));
    hosts.preview(handling.preview_host.as_ref());
    let policy = policies::policy(table, connection, &eject, handling);
    let recoveries = [("restart", Recover::Restart), ("no", Recover::No)];
    let recover = table.value("recover").and_then(|value| value.choice(&recoveries, &[]));
    Treatment { health, eject, policy, tls_files, rollout, recover: recover.unwrap_or_default() }
}

/// A service but for its routes.
fn service(name: &str, table: &mut Table<'_>, around: Around<'_>, hosts: &mut Hosts) -> Option<ServiceSpec> {
    table.unserved(&["rescue", "hooks", "tls"]);
    let (known, versions) = versions(table, around);
    let traffic = traffic(table, &known);
    let Treatment { health, eject, policy, tls_files, rollout, recover } = treatment(table, hosts);
    if recover == Recover::Restart && around.docker.is_none() {
        let help = "add a `[docker]` table: its engine is asked to restart containers";
        table.error_of("recover", "there is no engine to ask", Some(help.to_owned()));
    }
    let (traffic, release_by) = traffic?;
    Some(ServiceSpec {
        name: ServiceName::from(name),
        routes: Vec::new(),
        versions: versions?,
        traffic,
        health,
        eject,
        policy,
        tls_files,
        rollout,
        recover,
        release_by,
    })
}

/// The names of all versions, and the versions if each of them is as it should be.
fn versions(table: &mut Table<'_>, around: Around<'_>) -> (Known, Option<Versions>) {
    let mut names = Vec::new();
    let mut places: HashMap<EndpointAddress, Place> = HashMap::new();
    let versions = table.named("versions", |name, value| {
        names.push(name.to_owned());
        let mut check = |item: &Value<'_>, endpoint: &EndpointAddress| {
            if comes_back(endpoint, around.listeners) {
                let help = "name the address that the application listens on";
                let message = format!("{endpoint} is a listener of Adit: requests would go round in circles");
                item.error(message, Some(help.to_owned()));
            }
            if let Some(first) = places.insert(endpoint.clone(), item.place().clone()) {
                let message = format!("{endpoint} is already an endpoint at {}", first.path);
                item.error(message, Some("an endpoint serves one version: name it once".to_owned()));
            }
        };
        let version = value.table(|table| version(table, &mut check)).flatten();
        Some((VersionName::from(name), version?))
    });
    let is_open = around.docker.is_some();
    if names.is_empty() && !is_open {
        let path = &table.place().path;
        let help = format!("add a table `[{path}.versions.v1]` with `endpoints = [\"127.0.0.1:9001\"]`");
        table.error("there is no version", Some(help));
    }
    let complete = (is_open || !names.is_empty()) && versions.len() == names.len();
    (Known { names, is_open }, complete.then(|| versions.into_iter().collect()))
}

fn version(
    table: &mut Table<'_>,
    check: &mut impl FnMut(&Value<'_>, &EndpointAddress),
) -> Option<VersionSpec> {
    let build = Build {
        image: table.value("image").and_then(|value| value.parsed(build::image)),
        revision: table.value("revision").and_then(|value| value.parsed(build::revision)),
        created: table.value("created").and_then(|value| value.parsed(build::created)),
        ..Build::default()
    };
    let value = table.required("endpoints", "write `endpoints = [\"127.0.0.1:9001\"]`")?;
    let endpoints = value.list(|item| {
        let endpoint = item.parsed(str::parse::<EndpointAddress>)?;
        check(&item, &endpoint);
        Some(endpoint)
    })?;
    if endpoints.is_empty() {
        value.error(
            "a version needs an endpoint",
            Some("write `host:port`, or remove the version".to_owned()),
        );
        return None;
    }
    Some(VersionSpec::at(endpoints, build))
}

/// Which version users get, and who says so. No names: that was reported, unless containers bring them.
fn traffic(table: &mut Table<'_>, known: &Known) -> Option<(Traffic, ReleaseBy)> {
    let by_config = |traffic: Traffic| (traffic, ReleaseBy::Config);
    match (table.value("release"), table.value("weights")) {
        (Some(release), Some(weights)) => {
            let help = "`release` moves users to a new version, `weights` divides them for good: keep one";
            weights.error("`weights` and `release` exclude each other", Some(help.to_owned()));
            // Read all the same, so that what is wrong with them shows too.
            named(&release, known).and(fixed(&weights, known)).map(by_config)
        }
        (Some(release), None) => named(&release, known).map(Traffic::Release).map(by_config),
        (None, Some(weights)) => fixed(&weights, known).map(by_config),
        (None, None) => match known.names.as_slice() {
            [] if known.is_open => Some((Traffic::Weights(Vec::new()), ReleaseBy::Containers)),
            [] => None,
            [first, ..] if known.is_open => {
                Some((Traffic::Release(VersionName::from(first.as_str())), ReleaseBy::Containers))
            }
            [only] => Some(by_config(Traffic::Release(VersionName::from(only.as_str())))),
            several => {
                let help = format!("write `release = \"…\"` with one of {}", several.join(", "));
                table.error("there are several versions and `release` is missing", Some(help));
                None
            }
        },
    }
}

/// The version that `value` names.
fn named(value: &Value<'_>, known: &Known) -> Option<VersionName> {
    let name = value.string()?;
    known.allows(value, &name).then(|| VersionName::from(name.as_str()))
}

/// `{ v1 = 90, v2 = 10 }`.
fn fixed(value: &Value<'_>, known: &Known) -> Option<Traffic> {
    let read = |(name, value): (&str, Value<'_>)| {
        let is_known = known.allows(&value, name);
        let weight = value.weight();
        is_known.then_some((VersionName::from(name), weight?))
    };
    // All are read before the first failure counts, so that all errors show.
    let read: Vec<_> = value.pairs()?.into_iter().map(read).collect();
    let weights: Vec<(VersionName, Weight)> = read.into_iter().collect::<Option<_>>()?;
    let parts: u64 = weights.iter().map(|(_, weight)| u64::from(weight.parts())).sum();
    if parts != u64::from(Weight::PARTS) {
        let percent: f64 = weights.iter().map(|(_, weight)| weight.percent()).sum();
        let message = format!("the weights add up to {} %, not 100 %", (percent * 1e4).round() / 1e4);
        value.error(message, None);
        return None;
    }
    Some(Traffic::Weights(weights))
}

impl Known {
    /// Whether there is such a version, or may be; reported when not.
    fn allows(&self, value: &Value<'_>, name: &str) -> bool {
        if self.is_open {
            let wrong = not_a_name(name);
            let fits = wrong.is_none();
            wrong.into_iter().for_each(|why| value.error(why, None));
            return fits;
        }
        let is_known = self.names.iter().any(|known| known == name);
        if !is_known && !self.names.is_empty() {
            let help = format!("versions are {}", self.names.join(", "));
            value.error(format!("there is no version {name:?}"), Some(help));
        }
        is_known
    }
}
