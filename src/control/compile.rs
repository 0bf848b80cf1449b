//! Spec, decisions and health to one snapshot.

use std::sync::Arc;

use super::service::ServiceState;
use crate::config::spec::{ServiceSpec, Traffic};
use crate::domain::routing::{Arm, Matcher, Role, Salt, Service, Split, Version};
use crate::domain::{ServiceName, VersionName, Weight};

/// All routes of all services; a service's index is its place in `services`.
pub(crate) fn matcher<'a>(services: impl Iterator<Item = &'a ServiceSpec>) -> Matcher {
    let routes = services
        .enumerate()
        .flat_map(|(index, service)| service.routes.iter().map(move |route| (route, index)));
    Matcher::new(routes)
}

/// A service as the data plane shall see it.
pub(crate) fn service(state: &ServiceState) -> Service {
    let versions: Vec<_> = state
        .versions
        .iter()
        .map(|(name, version)| Version {
            name: name.clone(),
            endpoints: version.candidates(),
            cells: version.cells.clone(),
        })
        .collect();
    let split = split(state, &versions);
    let rollout = state.release.as_ref().and_then(|release| release.machine.rollout()).map(|it| it.number);
    Service {
        name: state.spec.name.clone(),
        policy: state.policy.clone(),
        versions,
        split,
        rollout,
        hold: state.hold.clone(),
        limiter: state.limiter.clone(),
    }
}

fn split(state: &ServiceState, versions: &[Version]) -> Split {
    let index = |name: &VersionName| versions.iter().position(|version| version.name == *name);
    match &state.spec.traffic {
        Traffic::Weights(weights) => {
            let arms = ready_shares(state, weights)
                .into_iter()
                .filter_map(|(name, weight)| Some(Arm { version: index(name)?, weight, role: Role::Stable }));
            Split::new(arms.collect(), weights_salt(&state.spec.name), None)
        }
        Traffic::Release(_) => {
            let Some(release) = &state.release else { return Split::new(Vec::new(), Salt::default(), None) };
            let arm = |name: &VersionName, weight: Weight, role| {
                index(name).map(|version| Arm { version, weight, role })
            };
            let weight = release.weight_in_force();
            let canary = release.machine.rollout().and_then(|it| arm(&it.canary, weight, Role::Canary));
            let rest = if canary.is_some() { weight.rest() } else { Weight::FULL };
            let stable = arm(release.machine.stable(), rest, Role::Stable);
            let (first, second) = release.machine.rollout().map_or((0, 0), |it| it.salt);
            let epoch = release.evidence.as_ref().and_then(|evidence| evidence.current());
            Split::new(canary.into_iter().chain(stable).collect(), Salt(first, second), epoch)
        }
    }
}

/// Health comes first: the share of a version without a ready endpoint goes to the others in proportion; it stays among
/// them with nothing. When none has one, all keep theirs.
fn ready_shares<'a>(
    state: &ServiceState,
    weights: &'a [(VersionName, Weight)],
) -> Vec<(&'a VersionName, Weight)> {
    let ready = |name: &VersionName| state.ready(name);
    let whole: f64 = weights.iter().filter(|(name, _)| ready(name)).map(|(_, weight)| weight.percent()).sum();
    if whole <= 0.0 {
        return weights.iter().map(|(name, weight)| (name, *weight)).collect();
    }
    let share = |(name, weight): &'a (VersionName, Weight)| {
        let percent = if ready(name) { (weight.percent() * 100.0 / whole).min(100.0) } else { 0.0 };
        Some((name, Weight::from_percent(percent).ok()?))
    };
    weights.iter().filter_map(share).collect()
}

/// What divides clients in this rollout: the same on every replica and after every restart; another for every rollout,
/// so that it is not always the same clients who meet the canary first.
pub(crate) fn salt(service: &ServiceName, rollout: u64) -> (u64, u64) {
    let half = |key: u64| Salt(key, rollout).hash(service.as_str().as_bytes());
    (half(0), half(1))
}

/// Fixed weights divide clients in the same way for ever.
fn weights_salt(service: &ServiceName) -> Salt {
    let (first, second) = salt(service, 0);
    Salt(first, second)
}

/// The same `Arc` as before when nothing changed in it.
pub(crate) fn refreshed(state: &mut ServiceState) -> Arc<Service> {
    if state.dirty || state.compiled.is_none() {
        state.compiled = Some(Arc::new(service(state)));
        state.dirty = false;
    }
    state.compiled.clone().unwrap_or_else(|| Arc::new(service(state)))
}
