//! What a config may not ask for while it runs. A config that is refused changes nothing.

use std::time::Duration;

use super::control::Control;
use super::deploy::clash;
use super::handle::ReloadError;
use super::store::{Identity, StoreError};
use crate::config::spec::{Build, Listener, Spec, Traffic};
use crate::domain::{ServiceName, VersionName};

impl Control {
    /// A config that takes away the version users have would be an outage, or a switch that nobody judged.
    pub(crate) fn refuse_without_stable(&self, spec: &Spec) -> Result<(), ReloadError> {
        for (name, service) in &self.services {
            let Some(wanted) = spec.services.get(name) else { continue };
            let Some(release) = &service.release else { continue };
            let stable = release.machine.stable();
            // That containers went away is a fact.
            let was_written =
                self.file.services.get(name).is_some_and(|file| file.versions.contains_key(stable));
            if was_written
                && matches!(wanted.traffic, Traffic::Release(_))
                && !wanted.versions.contains_key(stable)
            {
                return Err(ReloadError::Refused(format!(
                    "services.{name}: {stable} is stable, users have it now; keep `versions.{stable}` beside the new version \
                     until the rollout is promoted (`adit promote {name} --full` does it at once)"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn refuse_what_needs_a_restart(&self, spec: &Spec) -> Result<(), ReloadError> {
        let now = &self.spec;
        let changed: Vec<_> = [
            ("workers", now.workers != spec.workers),
            ("drain", now.drain != spec.drain),
            ("access_log", now.access_log != spec.access_log),
            ("admin", now.admin != spec.admin),
            ("state", now.state_dir != spec.state_dir),
            ("listeners", !same_doors(&now.listeners, &spec.listeners)),
            ("docker", engine(now) != engine(spec)),
        ]
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(ReloadError::Refused(format!(
            "{} can't be changed by a reload; restart adit to change it, or set it back",
            changed.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        )))
    }

    /// A version name seen with another image or commit is a different build.
    pub(crate) fn refuse_changed_builds(&mut self, spec: &Spec) -> Result<(), ReloadError> {
        let now = self.around.clock.now();
        // All are compared before any is remembered: a config that is refused leaves no trace.
        let mut fresh = Vec::new();
        for (name, version, build) in builds(spec) {
            match self.store.compare(name, version, build).map_err(refused)? {
                Identity::Known => {}
                Identity::New => fresh.push((name, version, build)),
                Identity::Conflict { now, known } => {
                    let what = conflict_of_builds(version, &now, &known);
                    return Err(ReloadError::Refused(format!("services.{name}.versions.{version}: {what}")));
                }
            }
        }
        for (name, version, build) in fresh {
            self.store.identify(now, name, version, build).map_err(refused)?;
        }
        Ok(())
    }
}

/// What of an engine is fixed while it is watched.
fn engine(spec: &Spec) -> Option<(&Option<String>, Duration)> {
    spec.docker.as_ref().map(|docker| (&docker.endpoint, docker.relist))
}

fn same_doors(now: &[Listener], wanted: &[Listener]) -> bool {
    now.len() == wanted.len() && now.iter().zip(wanted).all(|(now, wanted)| now.is_same_door(wanted))
}

pub(crate) fn refused(error: StoreError) -> ReloadError {
    ReloadError::Refused(error.to_string())
}

/// What to say when `version` stood for another build before.
pub(crate) fn conflict_of_builds(version: &VersionName, now: &str, known: &str) -> String {
    format!(
        "`{now}` is another build than the `{known}` that the name {version} was first seen with; give the new build a \
         version name of its own"
    )
}

/// A config and a deploy that are both fine can still name the same endpoint for two versions.
pub(crate) fn refuse_clashes(spec: &Spec) -> Result<(), ReloadError> {
    for (name, service) in &spec.services {
        if let Some((endpoint, one, other)) = clash(service) {
            return Err(ReloadError::Refused(format!(
                "services.{name}: {endpoint} would be an endpoint of both {one} and {other}, one of which was deployed and is \
                 in use; give the config's version other endpoints"
            )));
        }
    }
    Ok(())
}

fn builds(spec: &Spec) -> impl Iterator<Item = (&ServiceName, &VersionName, &Build)> {
    spec.services.iter().flat_map(|(name, service)| {
        service.versions.iter().map(move |(version, spec)| (name, version, &spec.build))
    })
}
