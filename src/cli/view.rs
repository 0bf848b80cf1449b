//! How status looks to people. Pure: what is said and how wide goes in, text comes out.

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
    for problem in &status.problems {
        out.push_str(&labelled("problem", Tint::Bad, problem, look));
    }
    if let Some(certificates) = certificates::table(&status.certificates) {
        out.push('\n');
        out.push_str(&certificates.render(look));
    }
    for service in &status.services {
        out.push('\n');
        out.push_str(&render_service(service, look));
    }
    if status.services.is_empty() {
        out.push_str("\nno services; add one to the config, then: adit reload\n");
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
                "down" | "ejected" | "unresolved" => Tint::Bad,
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

fn whereabouts(endpoint: &EndpointStatus) -> String {
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
mod tests {
    use super::super::grid::Colour;
    use super::*;
    use crate::domain::Weight;
    use crate::domain::rollout::Measured;

    const PLAIN: Look = Look { width: None, colour: Colour::None, terminal: false };

    fn endpoint(port: u16, state: &str, reason: &str) -> EndpointStatus {
        EndpointStatus {
            endpoint: format!("127.0.0.1:{port}"),
            address: Some(format!("127.0.0.1:{port}")),
            container: None,
            state: state.into(),
            reason: reason.into(),
            last_check: Some(if state == "ready" { "200 in 1.2 ms" } else { "connection refused" }.into()),
            last_check_at: Some("2024-05-01T10:00:05.250Z".into()),
            streak: 3,
            in_flight: 2,
        }
    }

    fn version(name: &str, role: &str, weight: f64, endpoints: Vec<EndpointStatus>) -> VersionStatus {
        VersionStatus {
            name: name.into(),
            role: role.into(),
            image: None,
            digest: None,
            revision: None,
            created: None,
            source: None,
            image_id: None,
            weight: Weight::from_percent(weight).unwrap(),
            requests: 12_345,
            failures: 0,
            rescued: 0,
            endpoints,
        }
    }

    fn rollout() -> RolloutStatus {
        RolloutStatus {
            number: 4,
            stable: "v1".into(),
            canary: "v2".into(),
            outcome: None,
            reason: "step 2 left: no worse than stable".into(),
            next: None,
            step: 3,
            steps: 5,
            weight: Weight::from_percent(25.0).unwrap(),
            observed: Some(24.83),
            verdict: Some(Verdict {
                outcome: Outcome::Inconclusive,
                rule: "errors: canary at most 1.1 × stable + 0.02 %".into(),
                value: 0.4,
                bound: 100.0,
                canary_requests: 4_100,
                canary_failures: 2,
                stable_requests: 12_345,
                stable_failures: 3,
                detail: Default::default(),
            }),
            harm: Some(Odds { value: 0.4, bound: 100.0 }),
            proof: Some(Odds { value: 12.2, bound: 20.0 }),
            checks: Vec::new(),
            started: "2024-05-01T09:58:00.000Z".into(),
            ended: None,
        }
    }

    fn stepping() -> ServiceStatus {
        let mut canary = version("v2", "canary", 25.0, vec![endpoint(9002, "ready", "")]);
        (canary.requests, canary.failures) = (4_100, 2);
        let stable = vec![endpoint(9001, "ready", ""), endpoint(9011, "down", "3 checks in a row failed")];
        ServiceStatus {
            name: "web".into(),
            stable: Some("v1".into()),
            canary: Some("v2".into()),
            phase: "stepping".into(),
            held: None,
            rollout: Some(rollout()),
            deploy: None,
            versions: vec![version("v1", "stable", 75.0, stable), canary],
        }
    }

    fn aborted() -> ServiceStatus {
        let ended = RolloutStatus {
            outcome: Some("aborted".into()),
            reason: "jane@desk: prices are wrong".into(),
            next: Some("`adit retry web` tries v2 again".into()),
            weight: Weight::ZERO,
            verdict: None,
            harm: None,
            proof: None,
            ended: Some("2024-05-01T10:02:00.000Z".into()),
            ..rollout()
        };
        ServiceStatus {
            canary: None,
            phase: "idle".into(),
            held: None,
            rollout: Some(ended),
            versions: vec![version("v1", "stable", 100.0, vec![endpoint(9001, "ready", "")])],
            ..stepping()
        }
    }

    fn status(services: Vec<ServiceStatus>) -> Status {
        Status {
            certificates: Vec::new(),
            adit: "0.1.0".into(),
            started: "2024-05-01T08:00:00.000Z".into(),
            generation: 12,
            listeners: vec!["0.0.0.0:8080".into()],
            ready: true,
            problems: Vec::new(),
            services,
        }
    }

    #[test]
    fn a_rollout_under_way_shows_all_that_the_verdict_rests_on() {
        let expected = "\
adit 0.1.0 · 0.0.0.0:8080 · generation 12 · since 2024-05-01 08:00:00 UTC

web · stepping, step 3 of 5
  VERSION  ROLE    WEIGHT  OBSERVED  REQUESTS    FAILURES  READY
  v1       stable    75 %    75.2 %    12,345           0  1 of 2
  v2       canary    25 %    24.8 %     4,100  2 (0.05 %)  1 of 1

  rollout  4: v1 to v2, since 2024-05-01 09:58:00 UTC
  reason   step 2 left: no worse than stable
  verdict  Inconclusive: errors: canary at most 1.1 × stable + 0.02 %
           evidence of harm 0.4 : 1 (aborts at 100 : 1) · proof of no harm 12 : 1 (advances at 20 : 1)
           failed: canary 2 of 4,100, stable 3 of 12,345

  ENDPOINT        VERSION  STATE  IN FLIGHT  LAST CHECK                          REASON
  127.0.0.1:9001  v1       ready          2  200 in 1.2 ms at 10:00:05 UTC
  127.0.0.1:9011  v1       down           2  connection refused at 10:00:05 UTC  3 checks in a row failed
  127.0.0.1:9002  v2       ready          2  200 in 1.2 ms at 10:00:05 UTC
";
        let shown = render(&status(vec![stepping()]), PLAIN);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn an_ended_rollout_says_how_it_ended_and_why() {
        let expected = "\
web · idle
  VERSION  ROLE    WEIGHT  REQUESTS  FAILURES  READY
  v1       stable   100 %    12,345         0  1 of 1

  rollout  4: v1 to v2, aborted at 2024-05-01 10:02:00 UTC
  reason   jane@desk: prices are wrong
  next     `adit retry web` tries v2 again

  ENDPOINT        VERSION  STATE  IN FLIGHT  LAST CHECK
  127.0.0.1:9001  v1       ready          2  200 in 1.2 ms at 10:00:05 UTC
";
        let shown = render_service(&aborted(), PLAIN);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn builds_are_shown_where_they_are_known_and_so_is_who_deployed() {
        let mut service = aborted();
        service.versions[0].revision = Some("4f2a91c0d3b75e68".repeat(3));
        service.versions[0].created = Some("2024-04-30T18:00:00Z".into());
        service.versions[0].image = Some("r.example/web@sha256:ab".into());
        service.deploy = Some(DeployStatus {
            version: "v2".into(),
            who: "ci@runner".into(),
            why: Some("the sale".into()),
            at: "2024-05-01T09:58:00.000Z".into(),
            over: "v1".into(),
        });
        let shown = render_service(&service, PLAIN);
        let lines: Vec<_> = shown.lines().skip(1).take(4).collect();
        let expected = [
            "  VERSION  ROLE    WEIGHT  REQUESTS  FAILURES  READY   COMMIT        BUILT                    IMAGE",
            "  v1       stable   100 %    12,345         0  1 of 1  4f2a91c0d3b7  2024-04-30 18:00:00 UTC  \
             r.example/web@sha256:ab",
            "",
            "  deploy   v2 by ci@runner at 2024-05-01 09:58:00 UTC: the sale (goes before the config's `release = \"v1\"`)",
        ];
        assert_eq!(lines, expected, "\n{shown}");
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let mut status = status(Vec::new());
        status.ready = false;
        status.problems = vec!["the config was refused:\nadit.toml:3:1: unknown key `relase`".into()];
        let expected = "\
adit 0.1.0 · 0.0.0.0:8080 · generation 12 · since 2024-05-01 08:00:00 UTC
  waiting  not every service has a ready endpoint
  problem  the config was refused:
           adit.toml:3:1: unknown key `relase`

no services; add one to the config, then: adit reload
";
        let shown = render(&status, PLAIN);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_verdict_without_both_odds_shows_its_own() {
        let mut service = stepping();
        let rollout = service.rollout.as_mut().unwrap();
        (rollout.harm, rollout.proof) = (None, None);
        let shown = render_service(&service, PLAIN);
        assert!(shown.contains("evidence 0.4 : 1 (decides at 100 : 1)"), "{shown}");
    }

    #[test]
    fn a_command_is_answered_with_one_line() {
        assert_eq!(
            summary(&stepping()),
            "web: stepping, step 3 of 5; v2 gets 25 %; step 2 left: no worse than stable\n"
        );
        assert_eq!(
            summary(&aborted()),
            "web: idle; rollout 4: v1 to v2, aborted at 2024-05-01 10:02:00 UTC; jane@desk: prices are wrong; `adit retry web` tries v2 again\n"
        );
        let never = ServiceStatus { rollout: None, ..aborted() };
        assert_eq!(summary(&never), "web: idle\n");
    }

    #[test]
    fn states_have_colours_where_colours_are_wanted() {
        let shown = render_service(&stepping(), Look { colour: Colour::Ansi, ..PLAIN });
        for painted in ["\x1b[1mweb\x1b[0m", "\x1b[32mready\x1b[0m", "\x1b[31mdown\x1b[0m"] {
            assert!(shown.contains(painted), "{shown}");
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_of_100_columns() {
        let shown = render(&status(vec![stepping()]), Look { width: Some(100), ..PLAIN });
        for line in shown.lines() {
            assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn odds_are_as_fine_as_a_person_wants_them() {
        for (value, expected) in [
            (0.0, "below 0.1 : 1"),
            (0.4, "0.4 : 1"),
            (1.0, "1 : 1"),
            (9.96, "10 : 1"),
            (12.4, "12 : 1"),
            (640.0, "640 : 1"),
            (123_456.7, "123,457 : 1"),
            (1e12, "over 10^12 : 1"),
            (f64::INFINITY, "over 10^12 : 1"),
            (f64::NAN, "below 0.1 : 1"),
        ] {
            assert_eq!(odds(value), expected, "{value}");
        }
    }

    #[test]
    fn an_endpoint_that_was_looked_up_shows_its_name_and_address() {
        let endpoint = EndpointStatus { endpoint: "web.internal:80".into(), ..endpoint(9001, "ready", "") };
        assert_eq!(whereabouts(&endpoint), "web.internal:80 (127.0.0.1:9001)");
    }

    #[test]
    fn checks_are_shown_and_their_verdicts_are_no_odds() {
        let check = Measured {
            name: "budget".into(),
            standing: Standing::Failed,
            value: Some(0.3),
            text: "0.3, at most 0.1".into(),
        };
        let mut rollout = RolloutStatus { checks: vec![check], ..rollout() };
        let rule = "check budget: sum(x) at most 0.1".to_owned();
        rollout.verdict = rollout.verdict.map(|verdict| Verdict { rule, value: 0.3, bound: 0.1, ..verdict });
        let text = render_rollout(&rollout, PLAIN);
        assert!(text.contains("budget: failed (0.3, at most 0.1)"), "{text}");
        assert!(text.contains("measured 0.3 (bound 0.1)"), "{text}");
    }
}
