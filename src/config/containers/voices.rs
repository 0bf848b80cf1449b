//! Whose labels say how a service is treated: stable's containers, and for its rollouts those of the wanted version. Of
//! several, the oldest that runs.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::PREFIX;
use super::members::Member;
use super::reading::Reading;
use super::report::{Matters, Report};
use super::service::Subject;
use crate::config::services::Treatment;
use crate::config::spec::{HealthSpec, ReleaseBy, ServiceSpec, Traffic};
use crate::domain::{ServiceName, VersionName};

/// Labels that say what a container is, not how its service is treated.
const OWN: [&str; 5] = ["enable", "network", "port", "service", "version"];

/// Who speaks for a service that the config does not name.
pub(super) struct Voices<'a> {
    members: &'a [Member<'a>],
    stable: &'a VersionName,
    wanted: &'a VersionName,
}

/// What a label is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// The container itself.
    Own,
    /// The version.
    Version,
    /// How it is released.
    Rollout,
    /// The service.
    Service,
}

/// The container that speaks for a version.
pub(super) fn speaker<'a>(members: &'a [Member<'a>], version: &VersionName) -> Option<&'a Reading> {
    let of_version = members.iter().filter(|member| member.version == *version);
    of_version.min_by_key(|member| !member.reading.container.is_live()).map(|member| member.reading)
}

/// Says which labels do not count because the config speaks of the service.
pub(super) fn tell_what_does_not_count(service: &ServiceName, members: &[Member<'_>], report: &mut Report) {
    let all = members.iter().flat_map(|member| member.reading.texts.keys());
    let idle: BTreeSet<_> = all.filter(|label| About::of(label) != About::Own).collect();
    if !idle.is_empty() {
        let idle: Vec<_> = idle.into_iter().map(|label| format!("{PREFIX}{label}")).collect();
        let what =
            format!("labels that don't count, because the config has the service: {}", idle.join(", "));
        report.of_service(service, what, Matters::Known);
    }
}

impl<'a> Voices<'a> {
    pub(super) fn of(members: &'a [Member<'a>], stable: &'a VersionName, wanted: &'a VersionName) -> Self {
        Self { members, stable, wanted }
    }

    /// The service as its containers have it, but for versions and traffic. While none speaks it is what it was.
    pub(super) fn treat(&self, subject: Subject<'_, '_>, report: &mut Report) -> Option<ServiceSpec> {
        self.tell_what_differs(report);
        let of_wanted = speaker(self.members, self.wanted);
        let mut spec = match (speaker(self.members, self.stable), subject.last) {
            (Some(speaker), _) => treated(subject.name, speaker),
            (None, Some(last)) => last.clone(),
            (None, None) => {
                treated(subject.name, of_wanted.or(self.members.first().map(|first| first.reading))?)
            }
        };
        if let Some(speaker) = of_wanted {
            let Treatment { rollout, policy, .. } = &speaker.said.treatment;
            spec.rollout = rollout.clone();
            // These are said in the `rollout` table too.
            spec.policy.rescue = policy.rescue.clone();
            spec.policy.on_missing = policy.on_missing.clone();
            spec.policy.preview_host.clone_from(&policy.preview_host);
        }
        Some(spec)
    }

    /// Two containers of a version that say different things are a mistake. That a new version says something else than
    /// stable is not, but good to know before it is stable.
    fn tell_what_differs(&self, report: &mut Report) {
        let mut speakers: BTreeMap<&VersionName, &Reading> = BTreeMap::new();
        for member in self.members {
            let Some(own) = speaker_of(&mut speakers, self.members, &member.version) else { continue };
            for label in differing(own, member.reading) {
                let what = differs(own, label, "which was there before and counts");
                report.about(member.reading, Some(&format!("{PREFIX}{label}")), what, Matters::Wrong);
            }
        }
        let Some(stable) = speakers.get(self.stable).copied() else { return };
        for (version, own) in speakers.iter().filter(|(version, _)| **version != self.stable) {
            let counts = |label: &&str| match About::of(label) {
                About::Service => true,
                About::Rollout => *version != self.wanted,
                About::Own | About::Version => false,
            };
            for label in differing(stable, own).into_iter().filter(counts) {
                let what = differs(stable, label, &format!("which counts while {} is stable", self.stable));
                report.about(own, Some(&format!("{PREFIX}{label}")), what, Matters::Known);
            }
        }
    }
}

fn speaker_of<'a>(
    speakers: &mut BTreeMap<&'a VersionName, &'a Reading>,
    members: &'a [Member<'a>],
    version: &'a VersionName,
) -> Option<&'a Reading> {
    if let Some(known) = speakers.get(version) {
        return Some(known);
    }
    let found = speaker(members, version)?;
    speakers.insert(version, found);
    Some(found)
}

/// The service as one container has it.
fn treated(name: &ServiceName, speaker: &Reading) -> ServiceSpec {
    let Treatment { health: _, eject, policy, tls_files, rollout, recover } = speaker.said.treatment.clone();
    ServiceSpec {
        name: name.clone(),
        routes: speaker.said.routes.clone(),
        versions: BTreeMap::new(),
        traffic: Traffic::Weights(Vec::new()),
        // Every version has its own.
        health: HealthSpec::default(),
        eject,
        policy,
        tls_files,
        rollout,
        recover,
        release_by: ReleaseBy::Containers,
    }
}

/// The labels that two containers have differently, but for those that are each one's own.
fn differing<'r>(one: &'r Reading, other: &'r Reading) -> BTreeSet<&'r str> {
    if one.texts == other.texts {
        return BTreeSet::new();
    }
    let all = one.texts.keys().chain(other.texts.keys()).map(String::as_str);
    all.filter(|label| About::of(label) != About::Own && one.texts.get(*label) != other.texts.get(*label))
        .collect()
}

fn differs(from: &Reading, label: &str, which: &str) -> String {
    let said = match from.texts.get(label) {
        Some(text) => format!("says {text:?}"),
        None => "does not have it".to_owned(),
    };
    format!("container {} {said}, {which}", from.container.name)
}

impl About {
    fn of(label: &str) -> Self {
        match label.split_once('.').map_or(label, |(table, _)| table) {
            "health" => Self::Version,
            "rollout" => Self::Rollout,
            own if OWN.contains(&own) => Self::Own,
            _service => Self::Service,
        }
    }
}
