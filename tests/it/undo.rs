//! Back after a promotion.

use crate::harness::{Adit, Endpoint, Load, staying_at, version, web};

/// v1 was stable, v2 is now; both have one endpoint.
fn promoted() -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &[&v1]), ("v2", &[&v2])]), staying_at(50.0)));
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["promote", "web", "--full"]).expect_code(0);
    (v1, v2, adit)
}

/// v2 is stable; an undo has begun a rollout of v1, which waits: v1 is down.
fn undoing() -> (Endpoint, Endpoint, Adit) {
    let (v1, v2, adit) = promoted();
    v1.script(|script| script.health = 503);
    adit.wait_for_web("v1 is down", |web| version(web, "v1").endpoints.iter().all(|e| e.state == "down"));
    adit.cli(&["undo", "web"]).expect_code(0);
    assert_eq!(adit.web().phase, "waiting", "nothing is sent to what is down");
    (v1, v2, adit)
}

#[test]
fn after_an_undo_is_acknowledged_every_new_request_goes_to_the_old_version() {
    let (_v1, v2, adit) = promoted();
    let load = Load::on(adit.address()).start();
    load.wait_for_more(200);
    adit.cli(&["undo", "web", "--why", "prices are wrong"]).expect_code(0);
    // Requests that were on their way are not new: they end here.
    load.stop().assert_all_good();
    let before = v2.requests();
    Load::on(adit.address()).requests(1_000).run().assert_all_good();
    assert_eq!(v2.requests(), before);
    let web = adit.web();
    let rollout = web.rollout.as_ref().expect("a rollout of its own");
    assert_eq!((rollout.number, rollout.outcome.as_deref()), (2, Some("promoted")), "{web:?}");
    assert!(rollout.next.as_ref().is_some_and(|next| next.contains("adit retry web")), "{web:?}");
}

#[test]
fn what_was_undone_is_not_started_again_by_a_restart_or_a_reload() {
    let (_v1, v2, mut adit) = promoted();
    let answer = adit.api("POST", "/v1/services/web/undo", "{\"to\":\"v1\",\"why\":\"a test\"}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let before = v2.requests();
    adit.kill_and_restart();
    adit.wait_until_all_ready();
    adit.cli(&["reload"]).expect_code(0);
    Load::on(adit.address()).requests(500).run().assert_all_good();
    let web = adit.web();
    assert_eq!((web.phase.as_str(), v2.requests()), ("idle", before), "the file still names v2: {web:?}");
    adit.cli(&["retry", "web"]).expect_code(0);
    adit.wait_for_weight(50.0);
}

#[test]
fn a_version_that_is_not_warm_comes_back_by_a_rollout() {
    let (v1, _v2, adit) = undoing();
    v1.script(|script| script.health = 200);
    let web = adit.wait_for_weight(50.0);
    let names = (web.stable.as_ref().map(|v| v.as_str()), web.canary.as_ref().map(|v| v.as_str()));
    assert_eq!(names, (Some("v2"), Some("v1")), "{web:?}");
}

/// No rollout is under way, the undo's was aborted, and v2 is stable still.
fn assert_over(adit: &Adit) {
    let web = adit.web();
    let last = web.rollout.as_ref().map(|rollout| (rollout.number, rollout.outcome.as_deref()));
    let stable = web.stable.as_ref().map(|stable| stable.as_str());
    assert_eq!(
        (web.phase.as_str(), stable, last),
        ("idle", Some("v2"), Some((2, Some("aborted")))),
        "{web:?}"
    );
}

#[test]
fn a_deploy_of_stable_that_replaces_ends_the_rollout_of_an_undo() {
    let (_v1, _v2, adit) = undoing();
    adit.cli(&["deploy", "web", "--version", "v2"]).expect_code(6).expect_words(&["rollout 2 of v1"]);
    let ended = adit.cli(&["deploy", "web", "--version", "v2", "--replace", "--wait"]).expect_code(0);
    assert!(ended.stdout.contains("v2 is stable"), "{}", ended.stdout);
    assert_over(&adit);
}

#[test]
fn the_rollout_of_an_undo_does_not_outlive_a_change_to_fixed_weights() {
    let (_v1, _v2, adit) = undoing();
    let (release, weights) = ("release = \"v2\"", "weights = { v1 = 0, v2 = 100 }");
    adit.edit(|text| text.replace(release, weights));
    adit.cli(&["reload"]).expect_code(0);
    adit.edit(|text| text.replace(weights, release));
    adit.cli(&["reload"]).expect_code(0);
    assert_over(&adit);
}

#[test]
fn an_undo_that_makes_no_sense_says_what_to_do_and_changes_nothing() {
    let (_v1, _v2, adit) = promoted();
    let before = adit.web().rollout;
    adit.cli(&["undo", "web", "--to", "v9"]).expect_code(1).expect_words(&["no version v9", "v1, v2"]);
    adit.cli(&["undo", "web", "--to", "v2"]).expect_code(6).expect_words(&["v2 is stable already"]);
    let answer = adit.api("POST", "/v1/services/web/undo", "{\"to\":\"v9\"}");
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((answer.status, &problem["code"]), (404, &"unknown_version".into()), "{problem}");
    assert_eq!(adit.web().rollout, before);
    adit.cli(&["undo", "web"]).expect_code(0);
    adit.cli(&["undo", "web"]).expect_code(6).expect_words(&["adit undo --to V"]);
    adit.cli(&["retry", "web"]).expect_code(0);
    adit.cli(&["undo", "web"]).expect_code(6).expect_words(&["adit abort"]);
}
