//! An order to deploy: read, and compared with what there is. Pure.

use std::net::SocketAddr;

use serde::Deserialize;

use super::DeployError;
use super::record::{Deployed, Deployments, Intent, has_users, shares};
use super::same_build::{refuse_another_build, sorted};
use crate::config::spec::{Build, EndpointAddress, ServiceSpec, Traffic, VersionSpec};
use crate::config::{build, comes_back, not_a_name};
use crate::control::{By, CommandError};
use crate::domain::rollout::Machine;
use crate::domain::{Timestamp, VersionName};

/// What shall be deployed, as it was sent: the body of `POST /v1/services/{s}/deploy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeployOrder {
    /// The version's name.
    pub version: String,
    /// Its endpoints, each `host:port`. None: those that a version of this name has already.
    pub endpoints: Vec<String>,
    /// Its image.
    pub image: Option<String>,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// When it was built (RFC 3339).
    pub created: Option<String>,
    /// Whether it takes the place of another version whose rollout is under way.
    pub replace: bool,
    /// Why, for the record.
    pub why: Option<String>,
}

/// What an order meets.
pub(super) struct Site<'a> {
    /// The service as the config has it.
    pub(super) file: &'a ServiceSpec,
    /// What is deployed already.
    pub(super) record: &'a Deployments,
    pub(super) machine: &'a Machine,
    /// Ours: no endpoint may be one of them.
    pub(super) listeners: &'a [SocketAddr],
}

/// An order that was understood.
struct Wish {
    version: VersionName,
    endpoints: Vec<EndpointAddress>,
    build: Build,
}

impl DeployOrder {
    /// What will be deployed once the order is carried out.
    ///
    /// # Errors
    /// When the order makes no sense, or not here and now. Nothing is changed by it in any case.
    pub(super) fn prepare(
        &self,
        site: &Site<'_>,
        by: &By,
        now: Timestamp,
    ) -> Result<Deployments, DeployError> {
        let Traffic::Release(named) = &site.file.traffic else {
            let why =
                "fixed weights divide this service's requests; use `release` in the config, then deploy";
            return Err(CommandError::Conflict(why.to_owned()).into());
        };
        let wish = self.read(site)?;
        self.refuse_a_second_rollout(site, &wish.version)?;
        let wish = site.complete(wish)?;
        let mut next = site.record.clone();
        site.make_room(&mut next, &wish);
        if !site.file.versions.contains_key(&wish.version) {
            let deployed = Deployed { endpoints: wish.endpoints, build: wish.build };
            next.versions.insert(wish.version.clone(), deployed);
        }
        let repeated = |intent: &&Intent| intent.version == wish.version && intent.over == *named;
        if next.intent.as_ref().filter(repeated).is_none() {
            next.intent = Some(Intent {
                version: wish.version,
                over: named.clone(),
                who: by.who.clone(),
                why: by.why.clone(),
                at: now,
            });
        }
        // Once more: what was wanted until now may not be needed any more.
        Ok(next.current(site.file, Some(site.machine)))
    }

    /// Understands the order, or says all that is wrong with it.
    fn read(&self, site: &Site<'_>) -> Result<Wish, DeployError> {
        let mut wrong = Vec::new();
        match self.version.as_str() {
            "" => wrong.push("`version` is missing: name the version to deploy".to_owned()),
            name => wrong.extend(not_a_name(name).map(|why| format!("`version`: {why}"))),
        }
        let mut endpoints: Vec<EndpointAddress> = Vec::new();
        for (index, text) in self.endpoints.iter().enumerate() {
            match site.endpoint(text, &endpoints) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(why) => wrong.push(format!("endpoints[{index}]: {why}")),
            }
        }
        let build = Build {
            image: optional("image", self.image.as_deref(), build::image, &mut wrong),
            revision: optional("revision", self.revision.as_deref(), build::revision, &mut wrong),
            created: optional("created", self.created.as_deref(), build::created, &mut wrong),
            ..Build::default()
        };
        let wish = Wish { version: VersionName::from(self.version.as_str()), endpoints, build };
        if self.endpoints.is_empty() && site.known(&wish.version).is_none() {
            wrong.push(format!(
                "`endpoints` is missing: say where version {:?} listens, as `127.0.0.1:9001`",
                self.version
            ));
        }
        wrong.extend(site.taken(&wish, self.replace));
        if wrong.is_empty() { Ok(wish) } else { Err(DeployError::Invalid(wrong.join("\n"))) }
    }

    /// Two that deploy at once would each believe that its own version is on its way.
    fn refuse_a_second_rollout(&self, site: &Site<'_>, version: &VersionName) -> Result<(), DeployError> {
        let Some(rollout) = site.machine.rollout().filter(|it| it.canary != *version && !self.replace) else {
            return Ok(());
        };
        let canary = &rollout.canary;
        let from = match site.record.intent.as_ref().filter(|intent| intent.version == *canary) {
            Some(intent) => format!("deployed by {} at {}", intent.who, intent.at),
            None => format!("as the config says, since {}", rollout.started),
        };
        let service = &site.file.name;
        Err(CommandError::Conflict(format!(
            "rollout {} of {canary} is under way ({from}); wait for its end, end it by `adit abort {service}`, or take \
             its place with `--replace`",
            rollout.number
        ))
        .into())
    }
}

impl Site<'_> {
    fn endpoint(&self, text: &str, before: &[EndpointAddress]) -> Result<EndpointAddress, String> {
        let endpoint: EndpointAddress = text.parse().map_err(|why| format!("{why}"))?;
        if comes_back(&endpoint, self.listeners) {
            return Err(format!(
                "{endpoint} is a listener of Adit: requests would go round in circles; name the address that the \
                 application listens on"
            ));
        }
        if before.contains(&endpoint) {
            return Err(format!("{endpoint} is named twice; name it once"));
        }
        Ok(endpoint)
    }

    /// A version of this name that there is already.
    fn known(&self, version: &VersionName) -> Option<VersionSpec> {
        let deployed = || self.record.versions.get(version);
        self.file
            .versions
            .get(version)
            .cloned()
            .or_else(|| deployed().map(|it| VersionSpec::at(it.endpoints.clone(), it.build.clone())))
    }

    /// The endpoints that users have under another version's name.
    fn taken(&self, wish: &Wish, replace: bool) -> Vec<String> {
        let endpoints = match (&wish.endpoints[..], self.known(&wish.version)) {
            ([], Some(known)) => known.endpoints,
            (given, _) => given.to_vec(),
        };
        let keeps = |name: &VersionName| {
            let canary = !replace && self.machine.stable() != name;
            *name != wish.version
                && has_users(self.machine, name)
                && (self.machine.stable() == name || canary)
        };
        let in_use = |name: &VersionName| keeps(name).then(|| self.known(name)).flatten();
        let stable = self.machine.stable();
        let canary = self.machine.rollout().map(|rollout| &rollout.canary);
        let others = [stable].into_iter().chain(canary).filter_map(|name| Some((name, in_use(name)?)));
        let clashes = others.flat_map(|(name, version)| {
            let shared: Vec<_> =
                endpoints.iter().filter(|endpoint| version.endpoints.contains(endpoint)).cloned().collect();
            shared.into_iter().map(move |endpoint| {
                format!(
                    "{endpoint} is already an endpoint of version {name}, which users have; an endpoint serves one version"
                )
            })
        });
        clashes.collect()
    }

    /// What the order leaves open is as it is known; what it says must agree with the config.
    fn complete(&self, wish: Wish) -> Result<Wish, DeployError> {
        let Some(known) = self.known(&wish.version) else { return Ok(wish) };
        let of_the_config = self.file.versions.contains_key(&wish.version);
        if !of_the_config {
            let image = wish.build.image.as_deref();
            refuse_another_build(self.machine, &wish.version, &known, &wish.endpoints, image)?;
        }
        let endpoints = if wish.endpoints.is_empty() { known.endpoints.clone() } else { wish.endpoints };
        let build = Build {
            image: wish.build.image.or_else(|| known.build.image.clone()),
            revision: wish.build.revision.or_else(|| known.build.revision.clone()),
            created: wish.build.created.or_else(|| known.build.created.clone()),
            ..known.build.clone()
        };
        if of_the_config {
            self.agree(&wish.version, &known, &endpoints, &build)?;
        }
        Ok(Wish { version: wish.version, endpoints, build })
    }

    fn agree(
        &self,
        version: &VersionName,
        file: &VersionSpec,
        endpoints: &[EndpointAddress],
        build: &Build,
    ) -> Result<(), DeployError> {
        let same_image = file.build.image == build.image
            || (build.digest().is_some() && file.build.digest() == build.digest());
        let differing: Vec<_> = [
            ("endpoints", sorted(&file.endpoints) != sorted(endpoints)),
            ("image", !same_image),
            ("revision", file.build.revision != build.revision),
            ("created", file.build.created != build.created),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(format!("`{key}`")))
        .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let service = &self.file.name;
        Err(CommandError::Conflict(format!(
            "the config defines services.{service}.versions.{version} with other {}; change the config and reload, or \
             deploy under another version name",
            differing.join(", ")
        ))
        .into())
    }

    /// Versions that nobody needs give up the endpoints that are deployed anew: their containers are gone.
    fn make_room(&self, next: &mut Deployments, wish: &Wish) {
        let others = |name: &VersionName| *name != wish.version;
        next.versions.retain(|name, deployed| {
            let shared = deployed.endpoints.iter().any(|endpoint| wish.endpoints.contains(endpoint));
            !others(name) || !shared
        });
        let file = self.file.versions.iter();
        let yielding = file.filter(|(name, version)| others(name) && shares(version, &wish.endpoints));
        next.yielded.extend(yielding.map(|(name, _)| name.clone()));
        next.yielded.remove(&wish.version);
    }
}

/// A field that may be left out; what is wrong with it is added to `wrong`.
fn optional(
    key: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<String, String>,
    wrong: &mut Vec<String>,
) -> Option<String> {
    parse(text?).map_err(|why| wrong.push(format!("`{key}`: {why}"))).ok()
}
