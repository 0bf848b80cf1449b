//! Other ways to move users than step by step, and what else than going back a failure can mean.

use adit::control::report::ServiceStatus;

use crate::harness::{Adit, Answer, Endpoint, Load, QUICK, staying_at, version, web};

const PREVIEW: &str = "\
[services.web.override]
from = [\"127.0.0.0/8\"]
[services.web.rollout]
strategy = \"blue-green\"
promote = \"manual\"
bake = \"1h\"
";

fn two_versions(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

fn says(web: &ServiceStatus, reason: &str, next: &str) -> bool {
    web.rollout.as_ref().is_some_and(|rollout| {
        rollout.reason.contains(reason) && rollout.next.as_ref().is_some_and(|text| text.contains(next))
    })
}

fn weight_of(web: &ServiceStatus, name: &str) -> f64 {
    version(web, name).weight.percent()
}

#[test]
fn a_preview_is_for_those_who_ask_for_it_and_the_switch_is_for_all() {
    let (_v1, v2, adit) = two_versions(PREVIEW);
    adit.release("v2");
    adit.wait_for_web("the preview", |web| web.phase == "stepping" && says(web, "", "adit promote web"));
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(v2.requests(), 0, "users have the old version");
    let asked = adit.client().request("GET", "/", &[("x-adit-version", "v2")], b"").expect("an answer");
    assert_eq!((asked.status, asked.version()), (200, "v2"));
    adit.cli(&["promote", "web"]).expect_code(0);
    let tally = Load::on(adit.address()).requests(500).run();
    tally.assert_all_good();
    assert_eq!((tally.of("v2"), adit.web().phase.as_str()), (500, "baking"), "one switch, then the bake");
}

#[test]
fn a_failure_in_the_bake_goes_back_by_itself() {
    let (_v1, v2, adit) = two_versions(PREVIEW);
    adit.release("v2");
    adit.wait_for_web("the preview", |web| web.phase == "stepping");
    adit.cli(&["promote", "web"]).expect_code(0);
    v2.script(|script| script.answer = Answer::Status(500));
    let load = Load::on(adit.address()).per_second(200).start();
    let web = adit.wait_for_outcome("aborted");
    drop(load.stop());
    assert_eq!(web.stable.as_ref().map(|name| name.as_str()), Some("v1"), "{web:?}");
    let before = v2.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(v2.requests(), before, "the old version was warm");
}

#[test]
fn blue_green_needs_nobody_and_no_traffic() {
    let (_v1, _v2, adit) = two_versions(
        "[services.web.rollout]\nstrategy = \"blue-green\"\npreview = \"100ms\"\nbake = \"200ms\"\n",
    );
    adit.release("v2");
    let web = adit.wait_for_outcome("promoted");
    assert_eq!(web.stable.map(|name| name.as_str().to_owned()), Some("v2".to_owned()));
}

#[test]
fn kill_9_in_the_preview_comes_back_to_the_preview() {
    let (_v1, v2, mut adit) = two_versions(PREVIEW);
    adit.release("v2");
    adit.wait_for_web("the preview", |web| web.phase == "stepping");
    adit.kill_and_restart();
    adit.wait_until_all_ready();
    Load::on(adit.address()).requests(300).run().assert_all_good();
    let web = adit.wait_for_web("the preview", |web| web.phase == "stepping" && says(web, "", "promote"));
    assert_eq!((weight_of(&web, "v2"), v2.requests()), (0.0, 0));
}

#[test]
fn all_at_once_waits_for_every_endpoint() {
    let (v1, first, second) = (Endpoint::start("v1"), Endpoint::start("v2"), Endpoint::start("v2"));
    second.script(|script| script.health = 503);
    let versions: [(&str, &[&Endpoint]); 2] = [("v1", &[&v1]), ("v2", &[&first, &second])];
    let more = "[services.web.rollout]\nstrategy = \"all-at-once\"\n";
    let adit = Adit::start(&format!("{}{more}", web(&versions)));
    adit.wait_for_web("one of two is ready", |web| {
        web.versions.iter().all(|version| version.endpoints.iter().any(|endpoint| endpoint.state == "ready"))
    });
    adit.release("v2");
    adit.wait_for_web("it waits", |web| {
        web.phase == "waiting" && says(web, "", "all-at-once waits until every endpoint of v2 is ready")
    });
    Load::on(adit.address()).requests(300).run().assert_all_good();
    assert_eq!(first.requests(), 0);
    adit.cli(&["promote", "web", "--full"]).expect_code(6).expect_words(&["not every endpoint of v2"]);
    second.script(|script| script.health = 200);
    adit.wait_for_outcome("promoted");
    let tally = Load::on(adit.address()).requests(300).run();
    assert_eq!(tally.of("v2"), 300, "{tally:?}");
}

#[test]
fn a_frozen_rollout_stays_where_it_is_until_an_operator_says_otherwise() {
    let freezes = staying_at(50.0).replace("\nadvance", "\non_failure = \"freeze\"\nadvance");
    let (_v1, v2, adit) = two_versions(&freezes);
    v2.script(|script| script.answer = Answer::Status(500));
    adit.release("v2");
    let load = Load::on(adit.address()).per_second(200).start();
    let web = adit.wait_for_web("it freezes", |web| web.phase == "paused");
    assert!(says(&web, "canary is worse", "frozen at 50 %"), "{web:?}");
    load.wait_for_more(100);
    assert_eq!(weight_of(&adit.web(), "v2"), 50.0, "nothing more follows");
    drop(load.stop());
    v2.script(|script| script.answer = Answer::Status(200));
    adit.cli(&["resume", "web"]).expect_code(0);
    Load::on(adit.address()).requests(1_000).run().assert_all_good();
    assert_eq!(adit.web().phase, "stepping", "the old failures count no more");
    adit.cli(&["abort", "web"]).expect_code(0);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_moves_nobody() {
    let (_v1, v2, adit) = two_versions(&format!("{QUICK}dry_run = true\n"));
    adit.release("v2");
    let load = Load::on(adit.address()).start();
    let dry = "dry run: nothing moves by itself";
    let web = adit.wait_for_web("proven", |web| says(web, "dry run: canary is no worse", dry));
    assert_eq!(weight_of(&web, "v2"), 5.0);
    v2.script(|script| script.answer = Answer::Status(500));
    let web = adit.wait_for_web("failed", |web| says(web, "dry run: canary is worse", dry));
    assert_eq!((web.phase.as_str(), weight_of(&web, "v2")), ("stepping", 5.0));
    adit.cli(&["promote", "web"]).expect_code(0);
    drop(load.stop());
    assert_eq!(weight_of(&adit.web(), "v2"), 50.0, "operators drive");
}
