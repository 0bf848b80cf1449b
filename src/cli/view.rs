//! How status looks to people. Pure: what is said and how wide goes in, text comes out.

mod engine;

use std::time::Duration;

use super::certificates;
use super::grid::{Align, Cell, Grid, Look, Tint, labelled};
use super::words::{count, moment, odds, time_of_day};
use crate::config::show_duration;
use crate::control::report::{
    DeployStatus, EndpointStatus, HeldStatus, Odds, RolloutStatus, ServiceStatus, Status, VersionStatus,
};
use crate::domain::rollout::{Outcome, Standing, Verdict};

/// The whole program.
pub(super) fn render(status: &Status, look: Look) -> String {
    let mut head = vec![format!("adit {}", status.adit)];
    if !status.listeners.is_empty() {
        head.push(status.listeners.join(", "));
    }
    head.push(format!("generation {}", status.generation));
    head.push(format!("since {}", moment(&status.started)));
    let mut out = format!("{}\n", Cell::plain(head.join(" · ")).painted(look));
    if !status.ready {
        out.push_str(&labelled("waiting", Tint::Warning, "not every service has a ready endpoint", look));
    }
    if let Some(docker) = &status.docker {
        let tint = if docker.connected { Tint::Faint } else { Tint::Bad };
        out.push_str(&labelled("docker", tint, &engine::line(docker), look));
    }
    out.push_str(&list("problem", Tint::Bad, &status.problems, look));
    out.push_str(&list("note", Tint::Faint, &status.notes, look));
    if let Some(certificates) = certificates::table(&status.certificates) {
        out.push('\n');
        out.push_str(&certificates.render(look));
    }
    for service in &status.services {
        out.push('\n');
        out.push_str(&render_service(service, look));
    }
    if status.services.is_empty() {
        let how = match &status.docker {
            Some(_) => "start a container with the label adit.service, or add one to the config",
            None => "add one to the config, then: adit reload",
        };
        out.push_str(&format!("\nno services; {how}\n"));
    }
    out
}

/// Some of what there is to say: a hundred containers with the same mistake say no more than ten.
fn list(label: &str, tint: Tint, all: &[String], look: Look) -> String {
    const SHOWN: usize = 10;
    let mut out: String = all.iter().take(SHOWN).map(|text| labelled(label, tint, text, look)).collect();
    if all.len() > SHOWN {
        let more = format!("… and {} more: adit status --json", all.len() - SHOWN);
        out.push_str(&labelled("", Tint::Plain, &more, look));
    }
    out
}

/// One service.
pub(super) fn render_service(service: &ServiceStatus, look: Look) -> String {
    let mut out = format!("{}\n", headline(service, look));
    if let Some(held) = &service.held {
        out.push_str(&labelled("held", Tint::Warning, &hold(held), look));
    }
    out.push_str(&versions(service).render(look));
    if let Some(deploy) = &service.deploy {
        out.push('\n');
        out.push_str(&labelled("deploy", Tint::Faint, &deployment(deploy), look));
    }
    if let Some(rollout) = &service.rollout {
        out.push('\n');
        out.push_str(&render_rollout(rollout, look));
    }
    if service.versions.iter().any(|version| !version.endpoints.is_empty()) {
        out.push('\n');
        out.push_str(&endpoints(service).render(look));
    }
    out
}

/// One line: what became of a command.
pub(super) fn summary(service: &ServiceStatus) -> String {
    let mut line = format!("{}: {}", service.name, phase(service));
    if let Some(held) = &service.held {
        line.push_str(&format!("; held, {}", hold(held)));
    }
    match &service.rollout {
        Some(rollout) if rollout.outcome.is_none() => {
            line.push_str(&format!("; {} gets {}; {}", rollout.canary, rollout.weight, rollout.reason));
        }
        Some(rollout) => line.push_str(&format!("; rollout {}; {}", conclusion(rollout), rollout.reason)),
        None => {}
    }
    if let Some(next) = service.rollout.as_ref().and_then(|rollout| rollout.next.as_ref()) {
        line.push_str(&format!("; {next}"));
    }
    format!("{}\n", Cell::plain(line.trim_end_matches("; ")).text())
}

/// Why another version is wanted than the config says.
fn deployment(deploy: &DeployStatus) -> String {
    let DeployStatus { version, who, why, at, over } = deploy;
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{version} by {who} at {}{why} (goes before the config's `release = \"{over}\"`)", moment(at))
}

fn headline(service: &ServiceStatus, look: Look) -> String {
    let name = Cell::new(service.name.as_str(), Tint::Strong);
    let tint = match service.phase.as_str() {
        "paused" => Tint::Warning,
        "idle" => Tint::Plain,
        _ => Tint::Good,
    };
    format!("{} · {}", name.painted(look), Cell::new(phase(service), tint).painted(look))
}

/// How requests wait.
fn hold(held: &HeldStatus) -> String {
    let HeldStatus { since, who, why, max_wait_seconds, max_waiting, waiting } = held;
    let wait = Duration::try_from_secs_f64(*max_wait_seconds).unwrap_or_default();
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let terms = format!("up to {max_waiting} wait up to {}", show_duration(wait));
    format!("{waiting} requests wait; {terms}; since {} by {who}{why}", moment(since))
}

pub(super) fn phase(service: &ServiceStatus) -> String {
    match &service.rollout {
        Some(rollout) if rollout.outcome.is_none() && rollout.step > 0 => {
            format!("{}, step {} of {}", service.phase, rollout.step, rollout.steps)
        }
        _ => service.phase.clone(),
    }
}

fn versions(service: &ServiceStatus) -> Grid {
    let mut grid = Grid::new(&[
        ("VERSION", Align::Left),
        ("ROLE", Align::Left),
        ("WEIGHT", Align::Right),
        ("OBSERVED", Align::Right),
        ("REQUESTS", Align::Right),
        ("FAILURES", Align::Right),
        ("READY", Align::Left),
        ("COMMIT", Align::Left),
        ("BUILT", Align::Left),
        ("IMAGE", Align::Left),
    ]);
    for version in &service.versions {
        let ready = version.endpoints.iter().filter(|endpoint| endpoint.is_ready()).count();
        let all = version.endpoints.len();
        grid.push([
            Cell::plain(version.name.as_str()),
            Cell::new(&version.role, if version.role == "canary" { Tint::Strong } else { Tint::Plain }),
            Cell::plain(version.weight.to_string()),
            Cell::plain(observed(service, version).unwrap_or_default()),
            Cell::plain(count(version.requests)),
            Cell::new(failures(version), if version.failures > 0 { Tint::Warning } else { Tint::Plain }),
            Cell::new(format!("{ready} of {all}"), if ready < all { Tint::Warning } else { Tint::Plain }),
            Cell::plain(commit(version.revision.as_deref().unwrap_or_default())),
            Cell::plain(version.created.as_deref().map(moment).unwrap_or_default()),
            Cell::plain(version.image.as_deref().unwrap_or_default()),
        ]);
    }
    grid
}

/// A commit's hash as short as people know it; any other name as it is.
fn commit(revision: &str) -> &str {
    const SHORT: usize = 12;
    let is_hash = revision.len() >= 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &revision[..SHORT] } else { revision }
}

/// What the rollout under way really gave to a version: counted for the canary, the rest for stable.
fn observed(service: &ServiceStatus, version: &VersionStatus) -> Option<String> {
    let rollout = service.rollout.as_ref().filter(|rollout| rollout.outcome.is_none())?;
    let percent = rollout.observed?;
    match &version.name {
        name if *name == rollout.canary => Some(format!("{percent:.1} %")),
        name if *name == rollout.stable => Some(format!("{:.1} %", 100.0 - percent)),
        _ => None,
    }
}

fn render_rollout(rollout: &RolloutStatus, look: Look) -> String {
    let under_way = rollout.outcome.is_none();
    let tint = match rollout.outcome.as_deref() {
        Some("aborted") => Tint::Bad,
        Some("promoted") => Tint::Good,
        Some(_) | None => Tint::Faint,
    };
    let mut out = labelled("rollout", tint, &conclusion(rollout), look);
    if !rollout.reason.is_empty() {
        out.push_str(&labelled("reason", Tint::Faint, &rollout.reason, look));
    }
    if let Some(next) = &rollout.next {
        out.push_str(&labelled("next", Tint::Warning, next, look));
    }
    if let Some(verdict) = &rollout.verdict {
        let tint = match verdict.outcome {
            Outcome::Successful => Tint::Good,
            Outcome::Failed => Tint::Bad,
            Outcome::Inconclusive => Tint::Faint,
            Outcome::Error => Tint::Warning,
        };
        let says = match verdict.outcome {
            // Before the first requests there is nothing wrong: nobody shall be alarmed.
            Outcome::Error if verdict.canary_requests == 0 => format!("none yet: {}", verdict.rule),
            outcome => format!("{outcome:?}: {}", verdict.rule),
        };
        out.push_str(&labelled("verdict", tint, &says, look));
        out.push_str(&labelled("", Tint::Plain, &evidence(rollout, verdict), look));
        out.push_str(&labelled("", Tint::Plain, &counts(verdict), look));
        if let Some(slow) = verdict.slow() {
            out.push_str(&labelled("", Tint::Plain, &format!("slow answers: {slow}"), look));
        }
        if !verdict.detail.kinds.is_empty() {
            out.push_str(&labelled("", Tint::Plain, &verdict.failures(), look));
        }
    } else if under_way && (rollout.harm.is_some() || rollout.proof.is_some()) {
        out.push_str(&labelled("evidence", Tint::Faint, &both_odds(rollout), look));
    }
    for check in &rollout.checks {
        let (word, tint) = match check.standing {
            Standing::Unknown => ("unknown", Tint::Warning),
            Standing::Good => ("good", Tint::Good),
            Standing::Suspicious => ("suspicious", Tint::Warning),
            Standing::Failed => ("failed", Tint::Bad),
        };
        out.push_str(&labelled("check", tint, &format!("{}: {word} ({})", check.name, check.text), look));
    }
    out
}

/// Which rollout, and what became of it.
fn conclusion(rollout: &RolloutStatus) -> String {
    let RolloutStatus { number, stable, canary, .. } = rollout;
    match (&rollout.outcome, &rollout.ended) {
        (None, _) => format!("{number}: {stable} to {canary}, since {}", moment(&rollout.started)),
        (Some(outcome), None) => format!("{number}: {stable} to {canary}, {outcome}"),
        (Some(outcome), Some(ended)) => {
            format!("{number}: {stable} to {canary}, {outcome} at {}", moment(ended))
        }
    }
}

fn evidence(rollout: &RolloutStatus, verdict: &Verdict) -> String {
    match both_odds(rollout) {
        _ if verdict.is_of_check() => format!("measured {} (bound {})", verdict.value, verdict.bound),
        none if none.is_empty() => {
            format!("evidence {} (decides at {})", odds(verdict.value), odds(verdict.bound))
        }
        both => both,
    }
}

fn both_odds(rollout: &RolloutStatus) -> String {
    let show = |name: &str, does: &str, Odds { value, bound }: Odds| {
        format!("{name} {} ({does} at {})", odds(value), odds(bound))
    };
    let harm = rollout.harm.map(|harm| show("evidence of harm", "aborts", harm));
    let proof = rollout.proof.map(|proof| show("proof of no harm", "advances", proof));
    harm.into_iter().chain(proof).collect::<Vec<_>>().join(" · ")
}

pub(super) fn counts(verdict: &Verdict) -> String {
    let of = |failures, requests| format!("{} of {}", count(failures), count(requests));
    format!(
        "failed: canary {}, stable {}",
        of(verdict.canary_failures, verdict.canary_requests),
        of(verdict.stable_failures, verdict.stable_requests)
    )
}

fn endpoints(service: &ServiceStatus) -> Grid {
    let mut grid = Grid::new(&[
        ("ENDPOINT", Align::Left),
        ("VERSION", Align::Left),
        ("STATE", Align::Left),
        ("IN FLIGHT", Align::Right),
        ("LAST CHECK", Align::Left),
        ("REASON", Align::Left),
    ]);
    for version in &service.versions {
        for endpoint in &version.endpoints {
            let tint = match endpoint.state.as_str() {
                "ready" => Tint::Good,
                "down" | "ejected" | "unresolved" | "unhealthy" | "exited" => Tint::Bad,
                _ => Tint::Warning,
            };
            grid.push([
                Cell::plain(whereabouts(endpoint)),
                Cell::plain(version.name.as_str()),
                Cell::new(&endpoint.state, tint),
                Cell::plain(endpoint.in_flight.to_string()),
                Cell::plain(last_check(endpoint)),
                Cell::plain(&endpoint.reason),
            ]);
        }
    }
    grid
}

/// A container is known by its name; where it is, is said by `adit images`.
fn whereabouts(endpoint: &EndpointStatus) -> String {
    if let Some(container) = &endpoint.container {
        return container.name.clone();
    }
    match &endpoint.address {
        Some(address) if *address != endpoint.endpoint => format!("{} ({address})", endpoint.endpoint),
        Some(_) | None => endpoint.endpoint.clone(),
    }
}

fn last_check(endpoint: &EndpointStatus) -> String {
    let result = endpoint.last_check.as_deref().unwrap_or("none yet");
    match &endpoint.last_check_at {
        Some(at) => format!("{result} at {}", time_of_day(at)),
        None => result.to_owned(),
    }
}

fn failures(version: &VersionStatus) -> String {
    if version.failures == 0 {
        return "0".to_owned();
    }
    #[allow(clippy::cast_precision_loss, reason = "a percentage for people")]
    let percent = version.failures as f64 * 100.0 / version.requests.max(1) as f64;
    let percent = if percent < 0.01 { "< 0.01 %".to_owned() } else { format!("{percent:.2} %") };
    let rescued = match version.rescued {
        0 => String::new(),
        rescued => format!(", {} rescued", count(rescued)),
    };
    format!("{} ({percent}){rescued}", count(version.failures))
}

#[cfg(test)]
mod tests;
