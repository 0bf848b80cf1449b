//! A version is released by command, from a script.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use adit::control::report::ServiceStatus;

use crate::harness::{Adit, Answer, Endpoint, Load, QUICK, refused, staying_at, until, version, web};

/// The config names v1 alone; v2 is an endpoint that it does not know.
struct World {
    _v1: Endpoint,
    v2: Endpoint,
    adit: Adit,
}

fn world(more: &str) -> World {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&v1])])));
    adit.wait_until_all_ready();
    World { _v1: v1, v2, adit }
}

impl World {
    /// `adit deploy web --version v2` with v2's endpoint.
    fn deploy(&self, more: &[&str]) -> Vec<String> {
        deploy("v2", &self.v2, more)
    }
}

fn deploy(version: &str, endpoint: &Endpoint, more: &[&str]) -> Vec<String> {
    let address = endpoint.address().to_string();
    let args = ["deploy", "web", "--version", version, "--endpoint", &address];
    args.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
}

fn refs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn stable(web: &ServiceStatus) -> &str {
    web.stable.as_ref().map_or("none", |stable| stable.as_str())
}

fn number(web: &ServiceStatus) -> u64 {
    web.rollout.as_ref().map_or(0, |rollout| rollout.number)
}

/// Starts a verb that goes on while the test does.
fn start(adit: &Adit, args: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(args).env("ADIT_ADMIN", format!("unix:{}", adit.socket().display()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command.spawn().expect("the program starts")
}

/// Its exit code, its output and its errors.
fn end(mut child: Child) -> (Option<i32>, String, String) {
    until("the verb ends", || child.try_wait().expect("a child can be waited for"), || "it goes on");
    let output = child.wait_with_output().expect("it ended");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_version_is_promoted_and_the_wait_ends_well() {
    let world = world(QUICK);
    let load = Load::on(world.adit.address()).start();
    let ended = world.adit.cli(&refs(&world.deploy(&["--wait"]))).expect_code(0);
    load.stop().assert_all_good();
    // Steps may be shorter than the time between two looks: not each of them has to be seen.
    for words in ["web: v2 has ", "web: v2 is stable; rollout 1 of v2 promoted"] {
        assert!(ended.stdout.contains(words), "`{words}` is missing in:\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\x1b'), "{}", ended.stdout);
    assert_eq!(stable(&world.adit.web()), "v2");
    let before = world.v2.requests();
    Load::on(world.adit.address()).requests(200).run().assert_all_good();
    assert_eq!(world.v2.requests(), before + 200);
}

#[test]
fn a_bad_version_is_aborted_and_the_wait_says_why() {
    let world = world(&staying_at(50.0));
    world.v2.script(|script| script.answer = Answer::Status(500));
    let load = Load::on(world.adit.address()).start();
    world.adit.cli(&refs(&world.deploy(&["--wait", "--json"]))).expect_code(4).expect_words(&[
        "rollout 1 of v2 was aborted",
        "worse than stable",
        "adit explain web 1",
    ]);
    drop(load.stop());
    assert_eq!(stable(&world.adit.web()), "v1");
}

#[test]
fn a_wait_that_is_over_before_the_rollout_leaves_the_rollout_alone() {
    let world = world(&staying_at(50.0));
    world
        .adit
        .cli(&refs(&world.deploy(&["--wait", "--timeout", "300ms"])))
        .expect_code(5)
        .expect_words(&["rollout 1 of v2 is not over after 300ms", "it goes on"]);
    let web = world.adit.wait_for_weight(50.0);
    assert_eq!(number(&web), 1);
}

#[test]
fn an_interrupted_wait_leaves_the_rollout_alone() {
    let world = world(&staying_at(50.0));
    let mut waiting = start(&world.adit, &world.deploy(&["--wait"]));
    // Once it shows progress it listens for signals.
    let mut first = String::new();
    let stdout = waiting.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut first).expect("a line");
    let sent = Command::new("kill").args(["-INT", &waiting.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill failed");
    let (code, _, stderr) = end(waiting);
    assert_eq!(code, Some(1), "{first}{stderr}");
    assert!(stderr.contains("it goes on"), "{stderr}");
    assert_eq!(number(&world.adit.wait_for_weight(50.0)), 1);
}

#[test]
fn of_two_deploys_at_once_exactly_one_wins() {
    let v1 = Endpoint::start("v1");
    let contenders = [Endpoint::start("a"), Endpoint::start("b")];
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &[&v1])]), staying_at(50.0)));
    adit.wait_until_all_ready();
    for attempt in 0..20 {
        let names = ["a", "b"].map(|name| format!("{name}{attempt}"));
        let children = [0, 1].map(|at| start(&adit, &deploy(&names[at], &contenders[at], &[])));
        let [one, two] = children.map(end);
        let mut codes = [one.0, two.0];
        codes.sort();
        assert_eq!(codes, [Some(0), Some(6)], "attempt {attempt}: {one:?} {two:?}");
        let (winner, loser) = if one.0 == Some(0) { (&names[0], &two) } else { (&names[1], &one) };
        assert!(loser.2.contains(&format!("of {winner} is under way (deployed by")), "{}", loser.2);
        let web = adit.web();
        assert_eq!(web.canary.map(|canary| canary.to_string()).as_ref(), Some(winner));
        adit.cli(&["abort", "web"]).expect_code(0);
    }
}

#[test]
fn a_deploy_that_replaces_supersedes_the_rollout_under_way() {
    let world = world(&staying_at(50.0));
    let v3 = Endpoint::start("v3");
    let first = start(&world.adit, &world.deploy(&["--wait"]));
    world.adit.wait_for_weight(50.0);
    world.adit.cli(&refs(&deploy("v3", &v3, &["--replace"]))).expect_code(0);
    let (code, _, stderr) = end(first);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("rollout 1 of v2") && stderr.contains("v3"), "{stderr}");
    let web = world.adit.wait_for_weight(50.0);
    assert_eq!((number(&web), web.canary.map(|it| it.to_string())), (2, Some("v3".to_owned())));
}

#[test]
fn kill_9_in_the_middle_of_a_deployed_rollout_comes_back_to_it_and_goes_on() {
    let mut world = world(QUICK);
    let waiting = start(&world.adit, &world.deploy(&["--wait"]));
    world.adit.wait_for_weight(5.0);
    world.adit.kill_and_restart();
    let web = world.adit.wait_for_weight(5.0);
    assert_eq!((stable(&web), number(&web)), ("v1", 1));
    let load = Load::on(world.adit.address()).start();
    world.adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
    let (code, stdout, stderr) = end(waiting);
    assert_eq!(code, Some(0), "the wait goes on, too:\n{stdout}\n{stderr}");
    world.adit.kill_and_restart();
    world.adit.wait_until_ready();
    Load::on(world.adit.address()).requests(100).run().assert_all_good();
    assert_eq!(stable(&world.adit.web()), "v2");
}

#[test]
fn kill_9_right_after_a_deploy_loses_nothing_that_was_acknowledged() {
    let mut world = world(&staying_at(50.0));
    world.adit.cli(&refs(&world.deploy(&["--why", "the sale"]))).expect_code(0);
    world.adit.kill_and_restart();
    let web = world.adit.wait_for_weight(50.0);
    assert_eq!((number(&web), web.canary.as_ref().map(|it| it.as_str())), (1, Some("v2")));
    let deploy = web.deploy.expect("the order is kept");
    assert_eq!(
        (deploy.version.as_str(), deploy.why.as_deref(), deploy.over.as_str()),
        ("v2", Some("the sale"), "v1")
    );
}

#[test]
fn a_reload_of_the_same_config_keeps_what_was_deployed() {
    let world = world(&staying_at(50.0));
    world.adit.cli(&refs(&world.deploy(&[]))).expect_code(0);
    world.adit.wait_for_weight(50.0);
    world.adit.cli(&["reload"]).expect_code(0);
    world.adit.edit(|text| format!("# nothing of interest\n{text}"));
    world.adit.cli(&["reload"]).expect_code(0);
    let web = world.adit.wait_for_weight(50.0);
    assert_eq!((number(&web), web.canary.map(|it| it.to_string())), (1, Some("v2".to_owned())));
}

#[test]
fn a_release_that_the_config_names_later_wins_and_takes_nothing_away() {
    let (v1, v2, v3) = (Endpoint::start("v1"), Endpoint::start("v2"), Endpoint::start("v3"));
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &[&v1]), ("v3", &[&v3])]), staying_at(50.0)));
    adit.wait_until_all_ready();
    adit.cli(&refs(&deploy("v2", &v2, &[]))).expect_code(0);
    adit.wait_for_weight(50.0);
    adit.cli(&["promote", "web", "--full"]).expect_code(0);
    adit.release("v3");
    adit.cli(&["reload"]).expect_code(0);
    let web = adit.wait_for_weight(50.0);
    assert_eq!((stable(&web), web.canary.as_ref().map(|it| it.as_str())), ("v2", Some("v3")));
    assert_eq!(web.deploy, None, "the order has ended");
    Load::on(adit.address()).requests(200).run().assert_all_good();
}

#[test]
fn a_version_name_with_another_digest_or_commit_is_refused() {
    let world = world(&staying_at(50.0));
    let first = ["--image", "r/web@sha256:aa", "--revision", "abc123"];
    world.adit.cli(&refs(&world.deploy(&first))).expect_code(0);
    world.adit.cli(&refs(&world.deploy(&["--image", "r/web@sha256:bb"]))).expect_code(6).expect_words(&[
        "r/web@sha256:bb",
        "r/web@sha256:aa",
        "v2",
    ]);
    let web = world.adit.web();
    assert_eq!(version(&web, "v2").digest.as_deref(), Some("sha256:aa"), "{web:?}");
    world.adit.edit(|text| {
        format!(
            "{text}\n[services.web.versions.v2]\nendpoints = [\"127.0.0.1:1\"]\nimage = \"r/web@sha256:cc\"\n"
        )
    });
    world.adit.cli(&["reload"]).expect_code(6).expect_words(&["sha256:cc", "sha256:aa"]);
    assert_eq!(number(&world.adit.wait_for_weight(50.0)), 1);
}

#[test]
fn the_same_deploy_again_starts_nothing_anew() {
    let world = world(QUICK);
    for _ in 0..2 {
        world.adit.cli(&refs(&world.deploy(&[]))).expect_code(0);
        assert_eq!(number(&world.adit.web()), 1);
    }
    let load = Load::on(world.adit.address()).start();
    for _ in 0..2 {
        world.adit.cli(&refs(&world.deploy(&["--wait"]))).expect_code(0);
        assert_eq!((stable(&world.adit.web()), number(&world.adit.web())), ("v2", 1));
    }
    load.stop().assert_all_good();
}

#[test]
fn an_aborted_version_that_is_deployed_again_is_tried_again() {
    let world = world(&staying_at(50.0));
    world.adit.cli(&refs(&world.deploy(&[]))).expect_code(0);
    world.adit.wait_for_weight(50.0);
    world.adit.cli(&["abort", "web"]).expect_code(0);
    world.adit.cli(&["reload"]).expect_code(0);
    assert_eq!(world.adit.web().phase, "idle", "not by itself");
    world.adit.cli(&refs(&world.deploy(&[]))).expect_code(0);
    assert_eq!(number(&world.adit.wait_for_weight(50.0)), 2);
}

#[test]
fn other_endpoints_for_the_same_digest_are_taken_over_within_the_rollout() {
    let world = world(&staying_at(50.0));
    let same = ["--image", "r/web@sha256:aa"];
    world.adit.cli(&refs(&world.deploy(&same))).expect_code(0);
    world.adit.wait_for_weight(50.0);
    let recreated = Endpoint::start("v2");
    world.adit.cli(&refs(&deploy("v2", &recreated, &same))).expect_code(0);
    let address = recreated.address().to_string();
    world.adit.wait_for_web("the new endpoint serves alone", |web| {
        let endpoints = &version(web, "v2").endpoints;
        endpoints.len() == 1 && endpoints[0].endpoint == address && endpoints[0].state == "ready"
    });
    Load::on(world.adit.address()).requests(200).run().assert_all_good();
    let web = world.adit.wait_for_weight(50.0);
    assert_eq!(number(&web), 1);
    assert!(recreated.requests() > 0, "{web:?}");
}

#[test]
fn other_endpoints_for_a_version_that_users_have_are_refused_and_get_no_request() {
    let world = world(&staying_at(50.0));
    let unknown = Endpoint::start("v2");
    world.adit.cli(&refs(&world.deploy(&[]))).expect_code(0);
    world.adit.wait_for_weight(50.0);
    for role in ["v2 is the canary with", "v2 is stable with"] {
        let address = world.v2.address().to_string();
        world.adit.cli(&refs(&deploy("v2", &unknown, &[]))).expect_code(6).expect_words(&[
            role,
            &address,
            "a version name of its own",
        ]);
        Load::on(world.adit.address()).requests(200).run().assert_all_good();
        if role.contains("canary") {
            world.adit.cli(&["promote", "web", "--full"]).expect_code(0);
        }
    }
    assert_eq!((stable(&world.adit.web()), unknown.requests()), ("v2", 0));
}

#[test]
fn of_two_deploys_of_one_name_with_different_endpoints_exactly_one_wins() {
    let world = world(&staying_at(50.0));
    let other = Endpoint::start("v2");
    let children = [&world.v2, &other].map(|endpoint| start(&world.adit, &deploy("v2", endpoint, &[])));
    let [one, two] = children.map(end);
    let mut codes = [one.0, two.0];
    codes.sort();
    assert_eq!(codes, [Some(0), Some(6)], "{one:?} {two:?}");
    let winner = if one.0 == Some(0) { &world.v2 } else { &other };
    let endpoints = version(&world.adit.web(), "v2").endpoints.clone();
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    assert_eq!(endpoints[0].endpoint, winner.address().to_string());
}

#[test]
fn status_and_metrics_say_which_image_runs_where_from_which_commit_and_when_built() {
    let world = world(&staying_at(50.0));
    let build = [
        "--image",
        "registry.example/web@sha256:0123",
        "--revision",
        "4f2a91c0",
        "--created",
        "2026-11-01T13:00:00+01:00",
        "--why",
        "the sale",
    ];
    world.adit.cli(&refs(&world.deploy(&build))).expect_code(0);
    let web = world.adit.wait_for_weight(50.0);
    let v2 = version(&web, "v2");
    assert_eq!(v2.digest.as_deref(), Some("sha256:0123"), "{v2:?}");
    assert_eq!(
        (v2.revision.as_deref(), v2.created.as_deref()),
        (Some("4f2a91c0"), Some("2026-11-01T12:00:00Z"))
    );
    let shown = world.adit.cli(&["status", "web"]).expect_code(0).stdout;
    let address = world.v2.address().to_string();
    for words in [
        "registry.example/web@sha256:0123",
        "4f2a91c0",
        "2026-11-01 12:00:00 UTC",
        &address,
        "the sale",
        "`release = \"v1\"`",
    ] {
        assert!(shown.contains(words), "`{words}` is missing in:\n{shown}");
    }
    let series = "adit_version_info{service=\"web\",version=\"v2\",image=\"registry.example/web@sha256:0123\",\
                  digest=\"sha256:0123\",revision=\"4f2a91c0\",created=\"2026-11-01T12:00:00Z\"} 1";
    until(
        "the series is there",
        || world.adit.api("GET", "/metrics", "").text().contains(series).then_some(()),
        || world.adit.api("GET", "/metrics", "").text(),
    );
}

#[test]
fn the_config_says_from_which_commit_a_version_is_too() {
    let endpoint = Endpoint::start("v1");
    let build = "revision = \"4f2a91c0\"\ncreated = \"2026-11-01T12:00:00Z\"\n";
    let adit = Adit::start(&format!("{}{build}", web(&[("v1", &[&endpoint])])));
    assert_eq!(adit.version("v1").revision.as_deref(), Some("4f2a91c0"));
    refused(&format!("{}revision = \"\"\n", web(&[("v1", &[&endpoint])])))
        .expect_code(3)
        .expect_words(&["services.web.versions.v1.revision"]);
}

#[test]
fn a_deploy_that_makes_no_sense_changes_nothing() {
    let world = world(&staying_at(50.0));
    let before = world.adit.web();
    let listener = world.adit.address().to_string();
    for (body, status, words) in [
        ("".to_owned(), 400, "`version` is missing"),
        ("{".to_owned(), 400, "can't be read"),
        (r#"{"version":"v2"}"#.to_owned(), 400, "`endpoints` is missing"),
        (r#"{"version":"v2","endpoints":["nowhere"]}"#.to_owned(), 400, "endpoints[0]"),
        (r#"{"version":"v2","endpoints":["a:1","a:1"]}"#.to_owned(), 400, "twice"),
        (format!(r#"{{"version":"v2","endpoints":["{listener}"]}}"#), 400, "listener"),
        (r#"{"version":"/","endpoints":["a:1"]}"#.to_owned(), 400, "not a name"),
        (r#"{"version":"v2","endpoints":["a:1"],"created":"now"}"#.to_owned(), 400, "`created`"),
        (r#"{"version":"v2","endpoints":["a:1"],"image":""}"#.to_owned(), 400, "`image`"),
        (r#"{"version":"v2","endpoints":["a:1"],"colour":"red"}"#.to_owned(), 400, "colour"),
        (r#"{"version":"v1","endpoints":["a:1"]}"#.to_owned(), 409, "services.web.versions.v1"),
    ] {
        let answer = world.adit.api("POST", "/v1/services/web/deploy", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(words), "`{words}` is missing in: {}", answer.text());
    }
    world
        .adit
        .cli(&["deploy", "wep", "--version", "v2", "--endpoint", "a:1"])
        .expect_code(1)
        .expect_words(&["web"]);
    world.adit.cli(&["deploy", "web", "--version", "v2", "--endpoint", "a"]).expect_code(2);
    world.adit.cli(&["deploy", "web", "--endpoint", "a:1"]).expect_code(2);
    let after = world.adit.web();
    assert_eq!((after.deploy, after.rollout, after.versions.len()), (None, None, before.versions.len()));
}

#[test]
fn nothing_is_deployed_beside_fixed_weights() {
    let endpoint = Endpoint::start("v1");
    let config = web(&[("v1", &[&endpoint])]).replace("release = \"v1\"", "weights = { v1 = 100 }");
    let adit = Adit::start(&config);
    adit.cli(&refs(&deploy("v2", &endpoint, &[]))).expect_code(6).expect_words(&["fixed weights"]);
}

#[test]
fn nobody_at_the_admin_address_is_said_before_any_waiting() {
    let world = world(QUICK);
    let mut args = world.deploy(&["--wait"]);
    args.extend(["--admin".to_owned(), "unix:/nobody/there.sock".to_owned()]);
    let (code, _, stderr) = end(start(&world.adit, &args));
    assert_eq!(code, Some(7), "{stderr}");
}
