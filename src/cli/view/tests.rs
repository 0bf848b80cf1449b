use super::*;
use crate::cli::grid::Colour;
use crate::control::report::{ContainerCounts, ContainerStatus, DockerStatus};
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
        notes: Vec::new(),
        docker: None,
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

fn docker() -> DockerStatus {
    DockerStatus {
        connected: true,
        version: Some("28.2.2".into()),
        containers: ContainerCounts { seen: 5, served: 3, withheld: 1, left_out: 1 },
        ..DockerStatus::default()
    }
}

#[test]
fn the_engine_and_what_is_to_be_said_of_its_containers_come_before_the_services() {
    let mut status = status(Vec::new());
    status.docker = Some(docker());
    status.problems = vec!["container web-3: label adit.prot: there is no such label".into()];
    status.notes = vec!["service web: the config's hosts count".into()];
    let expected = "\
adit 0.1.0 · 0.0.0.0:8080 · generation 12 · since 2024-05-01 08:00:00 UTC
  docker   engine 28.2.2 · 5 containers: 3 served, 1 not running or not healthy, 1 left out
  problem  container web-3: label adit.prot: there is no such label
  note     service web: the config's hosts count

no services; start a container with the label adit.service, or add one to the config
";
    let shown = render(&status, PLAIN);
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn an_engine_that_can_not_be_asked_says_since_when() {
    let since = Some("2024-05-01T10:00:05.250Z".to_owned());
    let lost = DockerStatus { connected: false, version: None, since, ..docker() };
    let none = ContainerCounts { seen: 1, served: 1, ..ContainerCounts::default() };
    let said = engine::line(&DockerStatus { containers: none, ..lost });
    assert_eq!(said, "not connected since 2024-05-01 10:00:05 UTC · 1 container: 1 served");
    let never = DockerStatus::default();
    assert_eq!(engine::line(&never), "not connected yet · 0 containers: 0 served");
}

#[test]
fn a_hundred_mistakes_are_ten_and_a_number() {
    let problems: Vec<_> = (0..100).map(|number| format!("container web-{number}: what")).collect();
    let shown = list("problem", Tint::Bad, &problems, PLAIN);
    assert_eq!(shown.lines().count(), 11, "{shown}");
    assert!(shown.ends_with("… and 90 more: adit status --json\n"), "{shown}");
}

/// An endpoint that is a container of this name.
fn container(name: &str, state: &str, reason: &str) -> EndpointStatus {
    let container = ContainerStatus { name: name.into(), ..ContainerStatus::default() };
    EndpointStatus { container: Some(container), ..endpoint(9001, state, reason) }
}

#[test]
fn an_endpoint_that_is_a_container_goes_by_its_name() {
    let mut service = aborted();
    service.versions[0].endpoints = vec![
        container("shop-web-1", "ready", "passes its checks"),
        container("shop-web-2", "unhealthy", "its health check fails"),
    ];
    let shown = render_service(&service, PLAIN);
    let table: Vec<_> = shown.lines().skip_while(|line| !line.contains("ENDPOINT")).collect();
    let expected = [
        "  ENDPOINT    VERSION  STATE      IN FLIGHT  LAST CHECK                          REASON",
        "  shop-web-1  v1       ready              2  200 in 1.2 ms at 10:00:05 UTC       passes its checks",
        "  shop-web-2  v1       unhealthy          2  connection refused at 10:00:05 UTC  its health check fails",
    ];
    assert_eq!(table, expected, "\n{shown}");
}

#[test]
fn names_of_containers_make_no_line_wider_than_the_terminal() {
    let mut service = stepping();
    let long = "a-project-with-a-long-name-web-canary-with-a-suffix-12";
    service.versions[0].endpoints = vec![container(long, "restarting", "restarting")];
    let mut status = status(vec![service]);
    status.docker = Some(docker());
    status.notes = vec!["container web-3: label adit.hosts: ".to_owned() + &"words and ".repeat(30)];
    let shown = render(&status, Look { width: Some(100), ..PLAIN });
    for line in shown.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
    assert!(shown.contains("suffix-12"), "{shown}");
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
