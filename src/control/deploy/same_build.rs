//! A version that users have keeps the build that was judged. Pure.

use crate::config::build;
use crate::config::spec::{EndpointAddress, VersionSpec};
use crate::control::CommandError;
use crate::domain::VersionName;
use crate::domain::rollout::Machine;

/// Refuses other endpoints, or another image, for a version that is stable or canary: the build behind them would get
/// requests that no verdict stands for. Only equal digests prove that it is the same build; what is not given (no
/// endpoints, no image) is not another.
///
/// # Errors
/// [`CommandError::Conflict`], with what to do.
pub(super) fn refuse_another_build(
    machine: &Machine,
    version: &VersionName,
    known: &VersionSpec,
    endpoints: &[EndpointAddress],
    image: Option<&str>,
) -> Result<(), CommandError> {
    let Some(role) = role(machine, version) else { return Ok(()) };
    let digest = known.build.digest();
    if digest.is_some() && digest == image.and_then(build::digest) {
        return Ok(());
    }
    if let Some(other) = image.filter(|image| known.build.image.as_deref() != Some(*image)) {
        let now = known.build.image.as_deref().unwrap_or("no image");
        return Err(CommandError::Conflict(format!(
            "{version} is {role} with {now}; `{other}` may be another build: give the new build a version name of its own"
        )));
    }
    if endpoints.is_empty() || sorted(endpoints) == sorted(&known.endpoints) {
        return Ok(());
    }
    let now: Vec<_> = known.endpoints.iter().map(ToString::to_string).collect();
    let way_out = match digest {
        Some(_) => {
            ", or the image with its digest (name@sha256:…) if containers of the same build moved".to_owned()
        }
        None => {
            format!("; {version} was deployed without a digest, so nothing can prove that it is the same")
        }
    };
    Err(CommandError::Conflict(format!(
        "{version} is {role} with {}; other endpoints under this name may be another build: give the new build a version \
         name of its own{way_out}",
        now.join(", ")
    )))
}

/// What the version is to users, if they have it.
fn role(machine: &Machine, version: &VersionName) -> Option<&'static str> {
    let canary = machine.rollout().is_some_and(|rollout| rollout.canary == *version);
    match (machine.stable() == version, canary) {
        (true, _) => Some("stable"),
        (false, true) => Some("the canary"),
        (false, false) => None,
    }
}

/// The order in which endpoints are named means nothing.
pub(super) fn sorted(endpoints: &[EndpointAddress]) -> Vec<EndpointAddress> {
    let mut sorted = endpoints.to_vec();
    sorted.sort();
    sorted
}
