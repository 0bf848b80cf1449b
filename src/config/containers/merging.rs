//! The whole of it: the config's services, filled up with containers, and those that only containers name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::address::Outlook;
use super::clashes::Taken;
use super::members::Member;
use super::reading::{Asked, Reading};
use super::report::Report;
use super::service::{Merged, Subject, merge};
use super::{Containers, Desired, Placed, Standing};
use crate::config::spec::{ReleaseBy, ServiceSpec, Spec};
use crate::domain::ServiceName;
use crate::domain::container::{Run, Sighting};

/// One merge under way.
pub(super) struct Merging<'a> {
    containers: &'a Containers,
    file: &'a Spec,
    listeners: Vec<SocketAddr>,
    sighting: &'a Sighting,
    standings: &'a BTreeMap<ServiceName, Standing>,
    nothing: Standing,
    report: Report,
    desired: Desired,
}

impl<'a> Merging<'a> {
    pub(super) fn new(
        containers: &'a Containers,
        file: &'a Spec,
        sighting: &'a Sighting,
        standings: &'a BTreeMap<ServiceName, Standing>,
    ) -> Self {
        let spec = Spec { services: BTreeMap::new(), waiting: BTreeMap::new(), ..file.clone() };
        Self {
            containers,
            file,
            listeners: file.listeners.iter().map(|listener| listener.address).collect(),
            sighting,
            standings,
            nothing: Standing::default(),
            report: Report::default(),
            desired: Desired {
                spec,
                notices: Vec::new(),
                placed: BTreeMap::new(),
                left_out: BTreeMap::new(),
                lingering: BTreeSet::new(),
            },
        }
    }

    /// The containers of each service, oldest first.
    pub(super) fn groups(&mut self) -> BTreeMap<&'a ServiceName, Vec<&'a Reading>> {
        let mut groups: BTreeMap<_, Vec<&Reading>> = BTreeMap::new();
        for read in self.containers.read.values() {
            match &read.asked {
                Asked::Service(reading) => groups.entry(&reading.service).or_default().push(reading),
                Asked::Nothing => {}
                Asked::Unclear => {
                    let what = "it has labels of Adit but not adit.enable=true: it is not served".to_owned();
                    self.report.stray(&read.container, what);
                }
                Asked::Nonsense { service, faults, why } => {
                    if let Some(why) = why {
                        self.report.leave_out(&read.container, service.as_ref(), None, why);
                    }
                    for fault in faults {
                        let what = &fault.what;
                        self.report.leave_out(&read.container, service.as_ref(), Some(&fault.label), what);
                    }
                }
            }
        }
        for readings in groups.values_mut() {
            // By id already; sorting keeps that order among those of one moment.
            readings.sort_by_key(|reading| reading.container.created);
        }
        groups
    }

    /// A service that the config names.
    pub(super) fn config(&mut self, spec: &'a Arc<ServiceSpec>, readings: &[&'a Reading]) {
        let kept = &self.standing(&spec.name).kept;
        let is_as_written = readings.is_empty()
            && spec.release_by == ReleaseBy::Config
            && kept.keys().all(|version| spec.versions.contains_key(version));
        if is_as_written && spec.can_be_served() {
            self.desired.spec.services.insert(spec.name.clone(), spec.clone());
            return;
        }
        let mut merged = self.merge(&spec.name, Some(spec), readings);
        match merged.spec.take() {
            Some(merged_spec) if merged_spec == **spec => {
                self.desired.spec.services.insert(spec.name.clone(), spec.clone());
            }
            Some(merged_spec) => self.insert(merged_spec),
            None => {
                self.desired.spec.waiting.insert(spec.name.clone(), spec.clone());
            }
        }
        self.note(&spec.name, &merged);
    }

    /// The services that only containers name, and those that they named until now.
    pub(super) fn labels(&mut self, groups: &BTreeMap<&'a ServiceName, Vec<&'a Reading>>) {
        let last = &self.containers.last;
        let known = |name: &&ServiceName| {
            let in_file = self.file.services.contains_key(*name) || self.file.waiting.contains_key(*name);
            !in_file && !groups.contains_key(*name) && self.standings.contains_key(*name)
        };
        let names: Vec<_> = groups.keys().copied().chain(last.keys().filter(known)).collect();
        let mut merged = Vec::new();
        for name in names {
            let readings = groups.get(name).map_or(&[][..], Vec::as_slice);
            merged.push((name, self.merge(name, None, readings)));
        }
        // What users have goes before what comes, and what came first before what came later.
        merged.sort_by_key(|(name, merged)| {
            let oldest = merged.members.iter().map(|member| member.reading.container.created).min();
            (merged.members.is_empty(), self.standing(name).stable.is_none(), oldest)
        });
        let mut taken = Taken::by(self.file);
        for (name, mut merged) in merged {
            let Some(mut spec) = merged.spec.take() else { continue };
            // Where a container is reached shows when it is started: nothing is known of a service before one was.
            let waits = |member: &Member<'_>| member.reading.container.run == Run::Created;
            if self.standing(name).stable.is_none()
                && !merged.members.is_empty()
                && merged.members.iter().all(waits)
            {
                continue;
            }
            match taken.admit(&mut spec, last.get(name).map(AsRef::as_ref), &mut self.report) {
                Ok(()) => {
                    self.insert(spec);
                    self.note(name, &merged);
                    if merged.members.is_empty() {
                        self.desired.lingering.insert(name.clone());
                    }
                }
                Err(why) => {
                    merged
                        .members
                        .iter()
                        .for_each(|member| self.report.goes_with_service(member.reading, &why));
                }
            }
        }
    }

    fn merge(
        &mut self,
        name: &'a ServiceName,
        file: Option<&ServiceSpec>,
        readings: &[&'a Reading],
    ) -> Merged<'a> {
        let standing = self.standings.get(name).unwrap_or(&self.nothing);
        let last = self.containers.last.get(name).map(AsRef::as_ref);
        let outlook = Outlook {
            site: &self.sighting.site,
            docker: self.file.docker.as_ref(),
            listeners: &self.listeners,
        };
        merge(Subject { name, file, last, standing, readings }, outlook, &mut self.report)
    }

    /// The same service as last time, if it is the same.
    fn insert(&mut self, spec: ServiceSpec) {
        let last = self.containers.last.get(&spec.name).filter(|last| ***last == spec);
        let name = spec.name.clone();
        let spec = last.cloned().unwrap_or_else(|| Arc::new(spec));
        self.desired.spec.services.insert(name, spec);
    }

    fn note(&mut self, name: &ServiceName, merged: &Merged<'_>) {
        for member in &merged.members {
            let placed =
                Placed { service: name.clone(), version: member.version.clone(), address: member.address };
            self.desired.placed.insert(member.reading.container.id.clone(), placed);
        }
    }

    fn standing(&self, name: &ServiceName) -> &Standing {
        self.standings.get(name).unwrap_or(&self.nothing)
    }

    pub(super) fn finish(mut self) -> Desired {
        (self.desired.notices, self.desired.left_out) = self.report.finish();
        self.desired
    }
}
