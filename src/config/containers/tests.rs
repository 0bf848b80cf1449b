//! From containers to what is wanted.

mod addresses;
mod merged;
mod properties;
mod texts;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Containers, Desired, Notice, Standing};
use crate::config::spec::{Build, ServiceSpec, Spec, Traffic, VersionSpec};
use crate::domain::container::{Container, Engine, Image, Ports, Run, Sighting, Site};
use crate::domain::{ServiceName, Timestamp, VersionName};

/// A container that runs, was created so many microseconds after the beginning of time, and has its address from that.
fn container(name: &str, born: u16, labels: &[(&str, &str)]) -> Container {
    let [high, low] = born.to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(172, 17, high, low));
    let labels = labels.iter().map(|(label, text)| ((*label).to_owned(), (*text).to_owned()));
    Container {
        id: format!("{name:0<64}"),
        name: name.to_owned(),
        created: Timestamp::from_micros(u64::from(born)),
        image: image("registry.example/web", "aa"),
        labels: labels.collect(),
        run: Run::Running,
        health: None,
        ports: Ports {
            networks: BTreeMap::from([("bridge".to_owned(), address)]),
            exposed: BTreeSet::from([8080]),
            ..Ports::default()
        },
    }
}

fn image(reference: &str, id: &str) -> Image {
    Image { reference: reference.to_owned(), id: format!("sha256:{}", id.repeat(32)), ..Image::default() }
}

/// A container of the service `web`, from an image of its own version's.
fn web(version: &str, born: u16, more: &[(&str, &str)]) -> Container {
    let labels = [&[("adit.service", "web"), ("adit.version", version)], more].concat();
    let image = image(&format!("web:{version}"), &format!("{:0>2}", version.trim_start_matches('v')));
    Container { image, ..container(&format!("web-{version}-{born}"), born, &labels) }
}

fn sighting(containers: impl IntoIterator<Item = Container>) -> Sighting {
    let containers = containers.into_iter().map(|container| (container.id.clone(), Arc::new(container)));
    Sighting {
        engine: Engine::Connected { version: "28.0.0".to_owned() },
        site: Site::Host,
        containers: containers.collect(),
    }
}

/// A config with a `[docker]` table and these lines.
fn file(lines: &str) -> Spec {
    let text = format!("[[listeners]]\naddress = '0.0.0.0:80'\n[docker]\n{lines}");
    crate::config::parse(&text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn standing(stable: &str, wanted: &str, kept: &[&str]) -> Standing {
    let kept = kept.iter().map(|name| {
        let build = Build { image_id: Some("sha256:kept".to_owned()), ..Build::default() };
        (VersionName::from(*name), VersionSpec::at(Vec::new(), build))
    });
    Standing {
        stable: Some(stable).filter(|name| !name.is_empty()).map(VersionName::from),
        wanted: Some(wanted).filter(|name| !name.is_empty()).map(VersionName::from),
        kept: kept.collect(),
        builds: BTreeMap::new(),
    }
}

fn of_web(standing: Standing) -> BTreeMap<ServiceName, Standing> {
    BTreeMap::from([(ServiceName::from("web"), standing)])
}

/// What is wanted of these containers, with nothing in the config and nothing recorded.
fn desired(containers: impl IntoIterator<Item = Container>) -> Desired {
    Containers::default().desired(&file(""), &sighting(containers), &BTreeMap::new())
}

fn service<'d>(desired: &'d Desired, name: &str) -> &'d ServiceSpec {
    desired.spec.services.get(name).unwrap_or_else(|| panic!("no service {name}: {}", said(desired)))
}

/// The version that users get, or are to get.
fn released(desired: &Desired, name: &str) -> String {
    match &service(desired, name).traffic {
        Traffic::Release(version) => version.to_string(),
        Traffic::Weights(weights) => format!("{weights:?}"),
    }
}

/// Versions with their endpoints: `v1[172.17.0.1:8080] v2[]`.
fn versions(desired: &Desired, name: &str) -> String {
    let versions = service(desired, name).versions.iter().map(|(version, spec)| {
        let endpoints: Vec<_> = spec.endpoints.iter().map(ToString::to_string).collect();
        format!("{version}[{}]", endpoints.join(" "))
    });
    versions.collect::<Vec<_>>().join(" ")
}

fn said(desired: &Desired) -> String {
    desired.notices.iter().map(Notice::to_string).collect::<Vec<_>>().join("\n")
}

/// Fails unless exactly this was said.
fn assert_said(desired: &Desired, expected: &[&str]) {
    assert_eq!(said(desired), expected.join("\n"));
}
