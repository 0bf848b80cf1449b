//! How things stand, told to people (status) and to machines (metrics).

mod containers;

use super::advice;
use super::control::Control;
use super::deploy::{Deployments, Intent};
use super::drain;
use super::endpoints::{EndpointState, VersionState};
use super::evidence::observed;
use super::report::{
    CertificateStatus, DeployStatus, EndpointStatus, Odds, RolloutStatus, ServiceStatus, Status,
    VersionStatus, rfc3339,
};
use super::service::{Release, ServiceState};
use crate::config::spec::{EndpointAddress, Traffic};
use crate::domain::rollout::{End, Machine, Phase, PhaseName, Rollout};
use crate::domain::stats::{MethodLabel, odds};
use crate::domain::{ServiceName, VersionName, Weight};
use crate::health::{Condition, Place};
use crate::telemetry::{EndpointSeries, RolloutSeries, Series, ServiceSeries, VersionSeries};
use crate::tls::Certificate;

/// The whole program.
pub(crate) fn status(control: &Control) -> Status {
    let services: Vec<_> =
        control.services.iter().map(|(name, state)| service(name, state, control)).collect();
    Status {
        adit: env!("CARGO_PKG_VERSION").to_owned(),
        started: rfc3339(control.started),
        generation: control.generation,
        listeners: control.around.listeners.clone(),
        certificates: certificates(control),
        ready: control.services.values().all(ServiceState::serves) && containers::are_known(control),
        problems: problems(control),
        notes: containers::notes(control),
        docker: containers::docker(control),
        services,
    }
}

/// One service; `None` when there is none of this name.
pub(crate) fn service_status(control: &Control, name: &ServiceName) -> Option<ServiceStatus> {
    control.services.get(name).map(|state| service(name, state, control))
}

/// What metrics show.
pub(crate) fn series(control: &Control) -> Series {
    let services = control
        .services
        .iter()
        .map(|(name, state)| ServiceSeries {
            name: name.clone(),
            versions: state.versions.iter().map(|(name, version)| version_series(name, version)).collect(),
            rollout: state.release.as_ref().map(|release| RolloutSeries {
                weight: release.machine.weight(),
                observed: observed_now(release).map(|percent| percent / 100.0),
                phase: release.machine.phase().as_str().to_owned(),
            }),
        })
        .collect();
    Series { services, unrouted: control.unrouted.clone(), docker: containers::docker_series(control) }
}

fn problems(control: &Control) -> Vec<String> {
    let problems = &control.problems;
    let names = problems.names.iter().map(|(name, why)| format!("name {name} can't be resolved: {why}"));
    problems
        .config
        .iter()
        .chain(&problems.store)
        .cloned()
        .chain(names)
        .chain(control.outside.problems())
        .chain(control.around.keyrings.problems())
        .chain(containers::problems(control))
        .collect()
}

fn certificates(control: &Control) -> Vec<CertificateStatus> {
    let now = control.around.clock.now();
    let all = control.around.keyrings.certificates().into_iter();
    let status = |(listener, certificate): (String, Certificate)| CertificateStatus {
        listener,
        not_after: certificate.not_after_text(),
        days_left: certificate.days_left(now),
        certificate: certificate.label,
        hosts: certificate.hosts,
        sha256: certificate.fingerprint,
    };
    all.map(status).collect()
}

fn service(name: &ServiceName, state: &ServiceState, control: &Control) -> ServiceStatus {
    let machine = state.release.as_ref().map(|release| &release.machine);
    let versions: Vec<_> = state
        .versions
        .iter()
        .map(|(name, version)| {
            let (role, weight) = role(name, state);
            VersionStatus {
                name: name.clone(),
                role: role.to_owned(),
                image: version.spec.build.image.clone(),
                digest: containers::digest(version),
                revision: version.spec.build.revision.clone(),
                created: version.spec.build.created.clone(),
                source: version.spec.build.source.clone(),
                image_id: version.spec.build.image_id.clone(),
                weight,
                requests: requests(version),
                failures: failures(version),
                rescued: version.cells.sum(|cells| cells.rescues.get()),
                endpoints: endpoints(version, control),
            }
        })
        .collect();
    ServiceStatus {
        name: name.clone(),
        stable: machine.map(|machine| machine.stable().clone()),
        canary: machine.and_then(|machine| machine.rollout()).map(|rollout| rollout.canary.clone()),
        phase: machine.map_or(PhaseName::Idle, Machine::phase).as_str().to_owned(),
        rollout: state.release.as_ref().and_then(|release| rollout(name, release, &versions)),
        deploy: control.deployments.get(name).and_then(Deployments::intent).map(deploy),
        held: control.holds.status(name),
        versions,
    }
}

fn deploy(intent: &Intent) -> DeployStatus {
    DeployStatus {
        version: intent.version.clone(),
        who: intent.who.clone(),
        why: intent.why.clone(),
        at: rfc3339(intent.at),
        over: intent.over.clone(),
    }
}

fn rollout(service: &ServiceName, release: &Release, versions: &[VersionStatus]) -> Option<RolloutStatus> {
    let next = advice::next(service, &release.machine, versions);
    if let Some(rollout) = release.machine.rollout() {
        let assessment = release.evidence.as_ref().and_then(|evidence| evidence.last());
        return Some(RolloutStatus {
            number: rollout.number,
            stable: rollout.stable.clone(),
            canary: rollout.canary.clone(),
            outcome: None,
            reason: unsaved(reason(rollout), release),
            next,
            step: rollout.step(),
            steps: rollout.plan.steps.len(),
            weight: release.machine.weight(),
            observed: observed_now(release),
            verdict: release.verdict_on(rollout.number).cloned(),
            checks: release.checks_now(),
            harm: assessment
                .map(|it| Odds { value: odds(it.harm_log_e), bound: 1.0 / rollout.plan.analysis.alpha }),
            proof: assessment.map(|it| Odds {
                value: odds(it.promote_log_e),
                bound: 1.0 / rollout.plan.analysis.promote_margin.alpha,
            }),
            started: rfc3339(rollout.started),
            ended: None,
        });
    }
    let ended = release.machine.last()?;
    Some(RolloutStatus {
        number: ended.number,
        stable: ended.stable.clone(),
        canary: ended.canary.clone(),
        outcome: Some(ended.end.phase().as_str().to_owned()),
        reason: unsaved(ended.reason.to_string(), release),
        next,
        step: ended.step,
        steps: ended.steps,
        weight: match ended.end {
            End::Promoted => Weight::FULL,
            End::Aborted | End::Superseded => Weight::ZERO,
        },
        observed: None,
        verdict: ended.verdict.clone().or_else(|| release.verdict_on(ended.number).cloned()),
        checks: Vec::new(),
        harm: None,
        proof: None,
        started: rfc3339(ended.started),
        ended: Some(rfc3339(ended.at)),
    })
}

/// What was acted on at once but not saved yet is no decision yet: it says so.
fn unsaved(reason: String, release: &Release) -> String {
    if release.saved { reason } else { format!("{reason} (not saved yet: a crash would undo it)") }
}

/// While paused, why it was; and what keeps it from getting its share.
fn reason(rollout: &Rollout) -> String {
    match &rollout.phase {
        Phase::Paused { why, .. } if rollout.canary_ready() => why.to_string(),
        Phase::Paused { why, .. } => {
            format!("{why}; {} follows when the canary has a ready endpoint", rollout.weight)
        }
        Phase::Waiting { .. } | Phase::Stepping { .. } | Phase::Baking { .. } => rollout.reason.to_string(),
    }
}

fn observed_now(release: &Release) -> Option<f64> {
    observed(&release.evidence.as_ref()?.step())
}

pub(crate) fn role(name: &VersionName, state: &ServiceState) -> (&'static str, Weight) {
    match (&state.spec.traffic, &state.release) {
        (Traffic::Weights(weights), _) => weights
            .iter()
            .find(|(version, _)| version == name)
            .map_or(("standby", Weight::ZERO), |(_, weight)| ("weighted", *weight)),
        (Traffic::Release(_), None) => ("standby", Weight::ZERO),
        (Traffic::Release(_), Some(release)) => {
            let machine = &release.machine;
            let canary = machine.rollout().is_some_and(|rollout| rollout.canary == *name);
            if canary {
                ("canary", machine.weight())
            } else if machine.stable() == name {
                ("stable", machine.weight().rest())
            } else {
                ("standby", Weight::ZERO)
            }
        }
    }
}

fn endpoints(version: &VersionState, control: &Control) -> Vec<EndpointStatus> {
    let unresolved = version.spec.endpoints.iter().filter_map(|endpoint| match endpoint {
        EndpointAddress::Dns { name, .. } if control.names.get(name).is_none_or(Vec::is_empty) => {
            Some(EndpointStatus {
                endpoint: endpoint.to_string(),
                address: None,
                container: None,
                state: "unresolved".to_owned(),
                reason: control
                    .problems
                    .names
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| "being looked up".to_owned()),
                last_check: None,
                last_check_at: None,
                streak: 0,
                in_flight: 0,
            })
        }
        EndpointAddress::Dns { .. } | EndpointAddress::Ip(_) => None,
    });
    version.endpoints.iter().map(endpoint).chain(unresolved).collect()
}

pub(crate) fn endpoint(state: &EndpointState) -> EndpointStatus {
    if let Some(by) = &state.draining {
        let word = if state.cells.is_drained() { "drained" } else { "draining" };
        return EndpointStatus {
            state: word.to_owned(),
            reason: drain::reason(by),
            ..endpoint_in_use(state)
        };
    }
    endpoint_in_use(state)
}

fn endpoint_in_use(state: &EndpointState) -> EndpointStatus {
    let check = &state.check;
    let last = check.last.as_ref();
    let (word, reason) = containers::withheld(state).unwrap_or_else(|| condition(state));
    EndpointStatus {
        endpoint: state.declared.to_string(),
        address: Some(state.address.to_string()),
        container: containers::behind(state),
        state: word.to_owned(),
        reason,
        last_check: last.map(|last| last.result.to_string()),
        last_check_at: last.map(|last| rfc3339(last.at)),
        streak: check.streak,
        in_flight: state.cells.busy(),
    }
}

/// What our own checks and its answers say of it.
fn condition(state: &EndpointState) -> (&'static str, String) {
    match state.check.condition {
        Condition::New => ("new", "waits for its first passed check".to_owned()),
        Condition::Down => ("down", "fails its checks".to_owned()),
        Condition::Up => match state.outlier.place() {
            Place::Ejected { .. } => ("ejected", state.outlier.to_string()),
            Place::Probation { .. } => ("probation", state.outlier.to_string()),
            Place::In { .. } if state.leaving => {
                ("ready", "no longer wanted; serves until a new endpoint is ready".to_owned())
            }
            Place::In { .. } => ("ready", "passes its checks".to_owned()),
        },
    }
}

/// Requests that the version failed.
fn failures(version: &VersionState) -> u64 {
    version.cells.sum(|cells| cells.failed.get())
}

/// Requests that ended.
fn requests(version: &VersionState) -> u64 {
    version.cells.sum(|cells| {
        cells
            .codes()
            .map(|code| MethodLabel::ALL.iter().map(|method| cells.requests(code, *method)).sum::<u64>())
            .sum()
    })
}

fn version_series(name: &VersionName, version: &VersionState) -> VersionSeries {
    VersionSeries {
        name: name.clone(),
        image: version.spec.build.image.clone(),
        digest: containers::digest(version),
        revision: version.spec.build.revision.clone(),
        created: version.spec.build.created.clone(),
        cells: version.cells.clone(),
        endpoints: version
            .endpoints
            .iter()
            .map(|endpoint| EndpointSeries { name: endpoint.address.to_string(), up: endpoint.usable() })
            .collect(),
    }
}
