//! The containers of one service that are served: which version each is of, and at which address.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::address::{Outlook, address};
use super::naming::Names;
use super::reading::Reading;
use super::report::{Matters, Report};
use super::{Standing, naming};
use crate::config::spec::{EndpointAddress, ServiceSpec};
use crate::domain::VersionName;

/// A container that is served.
pub(super) struct Member<'a> {
    pub(super) reading: &'a Reading,
    pub(super) version: VersionName,
    /// `None`: it has none now.
    pub(super) address: Option<SocketAddr>,
}

/// Who has an address.
struct Claim {
    version: VersionName,
    /// The container; `None`: the config names the address.
    container: Option<String>,
}

/// Those of `readings` (oldest first) that can be served.
pub(super) fn gather<'a>(
    readings: &[&'a Reading],
    file: Option<&ServiceSpec>,
    standing: &Standing,
    outlook: Outlook<'_>,
    report: &mut Report,
) -> Vec<Member<'a>> {
    let mut members = name(readings, file, standing, report);
    let mut claims = claims(file);
    // What runs keeps its address from what once had it.
    members.sort_by_key(|member| !member.reading.container.is_live());
    members.retain_mut(|member| place(member, outlook, &mut claims, report));
    members.sort_by_key(|member| (member.reading.container.created, member.reading.container.id.clone()));
    members
}

/// Finds out which version each is of. The older one keeps a name that two builds have.
fn name<'a>(
    readings: &[&'a Reading],
    file: Option<&ServiceSpec>,
    standing: &Standing,
    report: &mut Report,
) -> Vec<Member<'a>> {
    let of_file = file.into_iter().flat_map(|file| &file.versions);
    let of_file = of_file.map(|(name, version)| (name.clone(), version.build.clone()));
    let known = standing.builds.iter().map(|(name, build)| (name.clone(), build.clone()));
    let mut names = Names::new(known.chain(of_file));
    let mut members = Vec::new();
    for reading in readings {
        let leave_out = |report: &mut Report, label, what: &str| {
            report.leave_out(&reading.container, Some(&reading.service), label, what);
        };
        if let Err(why) = &reading.port {
            leave_out(report, Some("adit.port"), why);
            continue;
        }
        let (version, moved) = match names.of(reading) {
            Ok(named) => named,
            Err(why) => {
                leave_out(report, Some("adit.version"), &why);
                continue;
            }
        };
        let users_have_it =
            standing.stable.as_ref() == Some(&version) || standing.kept.contains_key(&version);
        for fault in &reading.faults {
            match users_have_it {
                true => {
                    let what = format!("{}; the label does not count", fault.what);
                    report.about(reading, Some(&fault.label), what, Matters::Wrong);
                }
                false => leave_out(report, Some(&fault.label), &fault.what),
            }
        }
        if !reading.faults.is_empty() && !users_have_it {
            continue;
        }
        names.take(&version, reading);
        if let Some(moved) = moved {
            let now = naming::short_id(&reading.container.image).unwrap_or_default();
            let what = format!(
                "{} stood for image {} and stands for {now} here: this is version {version}",
                moved.from, moved.before
            );
            report.about(reading, None, what, Matters::Known);
        }
        for remark in &reading.remarks {
            report.about(reading, None, remark.clone(), Matters::Known);
        }
        members.push(Member { reading, version, address: None });
    }
    members
}

/// The addresses that the config itself names.
fn claims(file: Option<&ServiceSpec>) -> HashMap<SocketAddr, Claim> {
    let versions = file.into_iter().flat_map(|file| &file.versions);
    let fixed = versions.flat_map(|(name, version)| {
        let claim = |endpoint: &EndpointAddress| match endpoint {
            EndpointAddress::Ip(address) => {
                Some((*address, Claim { version: name.clone(), container: None }))
            }
            EndpointAddress::Dns { .. } => None,
        };
        version.endpoints.iter().filter_map(claim).collect::<Vec<_>>()
    });
    fixed.collect()
}

/// Finds out where it is reached. Whether it can be served.
fn place(
    member: &mut Member<'_>,
    outlook: Outlook<'_>,
    claims: &mut HashMap<SocketAddr, Claim>,
    report: &mut Report,
) -> bool {
    let reading = member.reading;
    let found = match address(reading, outlook) {
        Ok(found) => found,
        Err(why) => {
            report.leave_out(&reading.container, Some(&reading.service), why.label, &why.what);
            return false;
        }
    };
    let Some(address) = found else { return true };
    let claim = claims.get(&address);
    let is_free = claim.is_none_or(|claim| claim.container.is_none() && claim.version == member.version);
    if is_free {
        let container = Some(reading.container.name.clone());
        claims.insert(address, Claim { version: member.version.clone(), container });
        member.address = Some(address);
        return true;
    }
    if let Some(claim) = claim.filter(|_| reading.container.is_live()) {
        let whose = match &claim.container {
            Some(container) => format!("container {container} has that address"),
            None => format!("the config has that address in version {}", claim.version),
        };
        let what = format!("{address} can serve only one version, and {whose}");
        report.leave_out(&reading.container, Some(&reading.service), None, &what);
        return false;
    }
    true
}
