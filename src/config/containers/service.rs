//! One service, of the config and its containers.

use std::collections::BTreeMap;

use super::Standing;
use super::address::Outlook;
use super::members::{self, Member};
use super::reading::Reading;
use super::report::{Matters, Report};
use super::voices::{self, Voices};
use super::wanted::{Arrival, wanted};
use crate::config::spec::{Build, EndpointAddress, HealthSpec, ReleaseBy, ServiceSpec, Traffic, VersionSpec};
use crate::domain::{ServiceName, Timestamp, VersionName};

/// A service that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s, 'a> {
    pub(super) name: &'s ServiceName,
    /// What the config says of it.
    pub(super) file: Option<&'s ServiceSpec>,
    /// What it was last.
    pub(super) last: Option<&'s ServiceSpec>,
    pub(super) standing: &'s Standing,
    /// Its containers, oldest first.
    pub(super) readings: &'s [&'a Reading],
}

/// A service with its containers.
pub(super) struct Merged<'a> {
    /// `None`: it can't be served yet.
    pub(super) spec: Option<ServiceSpec>,
    pub(super) members: Vec<Member<'a>>,
}

/// Who gets the users.
struct Choice {
    traffic: Traffic,
    /// The version whose labels say how it is released.
    wanted: VersionName,
}

/// Merges what is said of one service.
pub(super) fn merge<'a>(subject: Subject<'_, 'a>, outlook: Outlook<'_>, report: &mut Report) -> Merged<'a> {
    let Subject { name, file, standing, readings, .. } = subject;
    let members = members::gather(readings, file, standing, outlook, report);
    let versions = versions(subject, &members);
    let arrivals = arrivals(file, &members);
    let Some(choice) = choose(subject, &versions, &arrivals, report) else {
        for member in &members {
            report.goes_with_service(
                member.reading,
                "its service waits for the version that the config releases",
            );
        }
        return Merged { spec: None, members: Vec::new() };
    };
    let treated = match file {
        Some(file) => {
            voices::tell_what_does_not_count(name, &members, report);
            Some(file.clone())
        }
        None => {
            let stable = standing.stable.as_ref().unwrap_or(&choice.wanted);
            Voices::of(&members, stable, &choice.wanted).treat(subject, report)
        }
    };
    let spec = treated.map(|spec| ServiceSpec { versions, traffic: choice.traffic, ..spec });
    Merged { spec, members }
}

/// Every version: of the config, of containers, and those that are remembered.
fn versions(subject: Subject<'_, '_>, members: &[Member<'_>]) -> BTreeMap<VersionName, VersionSpec> {
    let Subject { file, standing, .. } = subject;
    let mut versions = file.map(|file| file.versions.clone()).unwrap_or_default();
    for member in members {
        let reading = member.reading;
        let version = versions.entry(member.version.clone()).or_insert_with(|| VersionSpec {
            // Of a service that the config names, the config says how it is checked.
            health: file.is_none().then(|| own_health(members, &member.version)).flatten(),
            ..VersionSpec::default()
        });
        fill_up(&mut version.build, &reading.build);
        let Some(address) = member.address else { continue };
        let endpoint = EndpointAddress::Ip(address);
        if !version.endpoints.contains(&endpoint) {
            version.endpoints.push(endpoint);
        }
        version.containers.insert(address, reading.container.clone());
    }
    let of_containers = file.is_none_or(|file| file.release_by == ReleaseBy::Containers);
    for (name, kept) in &standing.kept {
        if of_containers || kept.build.image_id.is_some() {
            let remembered =
                || VersionSpec { endpoints: Vec::new(), containers: BTreeMap::new(), ..kept.clone() };
            versions.entry(name.clone()).or_insert_with(remembered);
        }
    }
    versions
}

/// The health checks of a version, when its containers have labels for them.
fn own_health(members: &[Member<'_>], version: &VersionName) -> Option<HealthSpec> {
    let speaker = voices::speaker(members, version)?;
    let own = &speaker.said.treatment.health;
    (*own != HealthSpec::default()).then(|| own.clone())
}

/// What the config says of a build stays; containers add what it leaves open.
fn fill_up(build: &mut Build, own: &Build) {
    let parts = [
        (&mut build.image, &own.image),
        (&mut build.revision, &own.revision),
        (&mut build.created, &own.created),
        (&mut build.source, &own.source),
        (&mut build.image_id, &own.image_id),
    ];
    for (known, own) in parts {
        if known.is_none() {
            known.clone_from(own);
        }
    }
}

fn arrivals(file: Option<&ServiceSpec>, members: &[Member<'_>]) -> BTreeMap<VersionName, Arrival> {
    let of_file = file.into_iter().flat_map(|file| file.versions.keys());
    let always = Arrival { came: Timestamp::default(), is_live: true, has_failed: false };
    let mut arrivals: BTreeMap<_, _> = of_file.map(|name| (name.clone(), always)).collect();
    for member in members {
        let container = &member.reading.container;
        let new = Arrival { came: container.created, is_live: false, has_failed: false };
        let arrival = arrivals.entry(member.version.clone()).or_insert(new);
        arrival.came = arrival.came.min(container.created);
        arrival.is_live |= container.is_live();
        arrival.has_failed |= container.has_failed();
    }
    arrivals
}

/// Which version users get, as far as that can be done.
fn choose(
    subject: Subject<'_, '_>,
    versions: &BTreeMap<VersionName, VersionSpec>,
    arrivals: &BTreeMap<VersionName, Arrival>,
    report: &mut Report,
) -> Option<Choice> {
    let Subject { name, file, standing, .. } = subject;
    let traffic = match file {
        Some(file) if file.release_by == ReleaseBy::Config => &file.traffic,
        Some(_) | None => {
            let wanted = wanted(arrivals, standing)?;
            return Some(Choice { traffic: Traffic::Release(wanted.clone()), wanted });
        }
    };
    let missing: Vec<&VersionName> = match traffic {
        Traffic::Release(version) => vec![version],
        Traffic::Weights(weights) => weights.iter().map(|(version, _)| version).collect(),
    };
    let missing = missing.into_iter().find(|version| !versions.contains_key(*version));
    let release = |version: &VersionName| Choice {
        traffic: Traffic::Release(version.clone()),
        wanted: version.clone(),
    };
    match (missing, traffic) {
        (None, Traffic::Release(version)) => {
            tell_what_stands_by(name, version, standing, arrivals, report);
            Some(release(version))
        }
        (None, Traffic::Weights(weights)) => {
            let wanted = weights.first().map(|(version, _)| version.clone())?;
            Some(Choice { traffic: traffic.clone(), wanted })
        }
        (Some(missing), _) => {
            let known = standing.stable.as_ref().filter(|stable| versions.contains_key(*stable));
            let known = known.filter(|_| matches!(traffic, Traffic::Release(_)));
            let till_then =
                known.map_or("the service waits for it".to_owned(), |stable| format!("{stable} stays"));
            let what = format!(
                "the config names version {missing}, and no container is of that version: {till_then}"
            );
            report.of_service(name, what, Matters::Wrong);
            known.map(release)
        }
    }
}

/// A container of a new version starts no rollout where the config says what is released.
fn tell_what_stands_by(
    name: &ServiceName,
    release: &VersionName,
    standing: &Standing,
    arrivals: &BTreeMap<VersionName, Arrival>,
    report: &mut Report,
) {
    let users_have = |version: &VersionName| {
        version == release || standing.stable.as_ref() == Some(version) || standing.kept.contains_key(version)
    };
    let is_new = |(version, arrival): &(&VersionName, &Arrival)| {
        arrival.came > Timestamp::default() && !users_have(version)
    };
    for (version, _) in arrivals.iter().filter(is_new) {
        let what = format!(
            "version {version} of its containers stands by: the config releases {release}, until that is changed or \
             `adit deploy {name} --version {version}` is said"
        );
        report.of_service(name, what, Matters::Known);
    }
}
