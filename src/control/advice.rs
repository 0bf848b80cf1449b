//! What a rollout waits for, and what operators can do about it, in words.

use super::report::VersionStatus;
use crate::domain::rollout::{Gate, Machine, Phase, Place, Promotion, Reason, Rollout, Strategy};
use crate::domain::{ServiceName, VersionName};

/// So many endpoints are told of by name.
const TOLD: usize = 3;

/// What comes next; `None` when it goes on by itself, or nothing is to be done.
pub(super) fn next(service: &ServiceName, machine: &Machine, versions: &[VersionStatus]) -> Option<String> {
    match (machine.rollout(), machine.aborted()) {
        (Some(rollout), _) => {
            let waits = waits_for(rollout, versions);
            let parts: Vec<_> = under_way(service, rollout).into_iter().chain(waits).collect();
            (!parts.is_empty()).then(|| parts.join("; "))
        }
        (None, Some(version)) => Some(not_again(service, version)),
        (None, None) => None,
    }
}

fn not_again(service: &ServiceName, version: &VersionName) -> String {
    format!("{version} is wanted, but not started again by itself; `adit retry {service}` does that")
}

/// The endpoints that a canary without a ready one has, and what is wrong with them.
fn waits_for(rollout: &Rollout, versions: &[VersionStatus]) -> Option<String> {
    let canary = versions.iter().find(|version| version.name == rollout.canary)?;
    let missing: Vec<_> = canary.endpoints.iter().filter(|endpoint| !endpoint.is_ready()).collect();
    if rollout.canary_ready() || missing.is_empty() {
        return None;
    }
    let told = missing.iter().take(TOLD).map(|endpoint| {
        let why =
            endpoint.last_check.as_ref().filter(|_| endpoint.state == "down" || endpoint.state == "new");
        format!("{} ({})", endpoint.endpoint, why.unwrap_or(&endpoint.reason))
    });
    let more = missing.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!("not ready: {}{more}", told.collect::<Vec<_>>().join(", ")))
}

fn under_way(service: &ServiceName, rollout: &Rollout) -> Option<String> {
    if let Phase::Paused { why, .. } = &rollout.phase {
        return Some(paused(service, rollout, why));
    }
    if let Some(Gate { at, open: false }) = &rollout.gate {
        return Some(format!("its {at} hooks are asked; `adit promote {service}` does not wait for them"));
    }
    let ready = rollout.canary_ready();
    if rollout.waits_for_all() && !ready {
        let (strategy, canary) = (rollout.plan.strategy, &rollout.canary);
        return Some(format!("{strategy} waits until every endpoint of {canary} is ready"));
    }
    if rollout.plan.analysis.dry_run && rollout.phase.place() != Place::Start {
        return Some(format!(
            "dry run: nothing moves by itself; `adit promote {service}` or `adit abort {service}`"
        ));
    }
    if rollout.previews() && rollout.plan.promotion == Promotion::Manual {
        return Some(format!("the preview ends with `adit promote {service}` or `adit abort {service}`"));
    }
    rollout.previews().then(|| format!("preview: nobody gets {} unless they ask for it", rollout.canary))
}

fn paused(service: &ServiceName, rollout: &Rollout, why: &Reason) -> String {
    let weight = rollout.weight;
    let promoted = match (rollout.phase.place(), rollout.plan.strategy) {
        (Place::Bake, _) => "makes it stable",
        (Place::Start, Strategy::Canary) => "takes the first step",
        (Place::Start, Strategy::BlueGreen) => "begins the preview",
        (_, Strategy::BlueGreen) | (_, Strategy::AllAtOnce) => "gives it all",
        (Place::Step(_) | Place::Weight, Strategy::Canary) => "takes the next step",
    };
    match why {
        Reason::VerdictFailed => format!(
            "frozen at {weight}: `adit abort {service}` goes back, `adit resume {service}` goes on with evidence that \
             starts anew, `adit promote {service}` {promoted}"
        ),
        Reason::HookRefused { .. } => format!(
            "`adit resume {service}` asks the hooks again, `adit promote {service}` {promoted} without them, \
             `adit abort {service}` goes back"
        ),
        _ => format!(
            "`adit resume {service}` goes on, `adit promote {service}` {promoted}, `adit abort {service}` goes back"
        ),
    }
}
