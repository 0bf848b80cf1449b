//! A new version is released, judged, and goes back by itself.

use std::time::Duration;

use adit::domain::Timestamp;
use adit::domain::rollout::Outcome;

use crate::harness::{Adit, Answer, Endpoint, Load, QUICK, staying_at, version, web};

/// Two versions with one endpoint each, v1 released, all ready.
fn two_versions(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

/// As the status shows moments.
fn moment(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().expect("RFC 3339");
    Timestamp::from_micros(u64::try_from(at.as_microsecond()).expect("after 1970"))
}

#[test]
fn at_the_first_start_the_release_is_stable_at_once() {
    let (_v1, _v2, adit) = two_versions(QUICK);
    let web = adit.web();
    assert_eq!(
        (web.stable.as_ref().map(|v| v.as_str()), web.phase.as_str()),
        (Some("v1"), "idle"),
        "{web:?}"
    );
    assert_eq!(web.rollout, None);
}

#[test]
fn a_good_version_steps_through_and_is_promoted() {
    let (v1, _v2, adit) = two_versions(QUICK);
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    let web = adit.wait_for_outcome("promoted");
    assert_eq!(
        (web.stable.as_ref().map(|v| v.as_str()), web.phase.as_str()),
        (Some("v2"), "idle"),
        "{web:?}"
    );
    load.stop().assert_all_good();
    let before = v1.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(v1.requests(), before, "users have the new version");
}

#[test]
fn a_dead_canary_is_out_within_ten_failures_and_fifty_milliseconds() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let unrescued = format!("{}[services.web.rollout.rescue]\nmethods = []\n", staying_at(5.0));
    let adit = Adit::start_alone(&format!("{}{unrescued}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    v2.script(|script| script.answer = Answer::Status(500));
    let load = Load::on(adit.address()).per_second(200).start();
    adit.release("v2");
    let web = adit.wait_for_outcome("aborted");
    let tally = load.stop();
    let at_the_end = v2.requests();
    Load::on(adit.address()).requests(400).run().assert_all_good();

    let rollout = web.rollout.as_ref().expect("a rollout");
    let verdict = rollout.verdict.as_ref().expect("an abort with a verdict");
    assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
    let failures = v2.failures();
    assert!(failures.len() <= 10, "{} failed canary requests: {verdict:?}", failures.len());
    let deciding = usize::try_from(verdict.canary_failures).expect("a few") - 1;
    let decided = failures[deciding];
    let ended = moment(rollout.ended.as_deref().expect("it ended"));
    // The status shows whole milliseconds.
    assert!(ended - decided <= Duration::from_millis(50), "weight 0 came {:?} late", ended - decided);
    let last = v2.last_request().expect("there were some");
    assert!(last - decided <= Duration::from_millis(50), "the canary was asked {:?} later", last - decided);
    assert_eq!(v2.requests(), at_the_end, "no request reaches the canary once the abort is shown");
    assert_eq!(tally.server_errors(), u64::try_from(failures.len()).expect("few"), "{tally:?}");
}

#[test]
fn a_canary_that_hangs_is_caught() {
    let (_v1, v2, adit) =
        two_versions(&format!("[services.web.timeouts]\nresponse = \"100ms\"\n{}", staying_at(50.0)));
    v2.script(|script| script.answer = Answer::Hang);
    let load = Load::on(adit.address()).per_second(200).start();
    adit.release("v2");
    let web = adit.wait_for_outcome("aborted");
    load.stop();
    assert_eq!(version(&web, "v2").weight.parts(), 0, "{web:?}");
}

#[test]
fn a_canary_that_fails_as_often_as_stable_is_not_blamed() {
    let (v1, v2, adit) = two_versions(&staying_at(50.0));
    for endpoint in [&v1, &v2] {
        endpoint.script(|script| script.fail_every = Some(10));
    }
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    load.wait_for_more(10_000);
    drop(load.stop());
    let web = adit.web();
    assert_eq!(web.phase, "stepping", "{web:?}");
}

#[test]
fn after_an_abort_is_acknowledged_no_new_request_reaches_the_canary() {
    let (_v1, v2, adit) = two_versions(&staying_at(50.0));
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    load.wait_for_more(200);
    let answer = adit.api("POST", "/v1/services/web/abort", "{\"why\":\"a test\"}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Requests that were on their way are not new: they end here.
    load.stop().assert_all_good();
    let before = v2.requests();
    Load::on(adit.address()).requests(2_000).run().assert_all_good();
    assert_eq!(v2.requests(), before);
}

#[test]
fn an_aborted_version_is_not_tried_again_by_itself() {
    let (_v1, v2, adit) = two_versions(&staying_at(50.0));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    adit.cli(&["reload"]).expect_code(0);
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!((adit.web().phase.as_str(), v2.requests()), ("idle", 0));
}

#[test]
fn an_aborted_version_is_tried_again_when_told() {
    let (_v1, _v2, adit) = two_versions(&staying_at(50.0));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    adit.cli(&["retry", "web"]).expect_code(0);
    let web = adit.wait_for_weight(50.0);
    assert_eq!(web.rollout.map(|rollout| rollout.number), Some(2));
}

#[test]
fn kill_9_in_a_step_comes_back_to_the_same_phase_and_weight() {
    let (_v1, _v2, mut adit) = two_versions(&staying_at(12.5));
    adit.release("v2");
    let before = adit.wait_for_weight(12.5);
    adit.kill_and_restart();
    let after = adit.wait_for_weight(12.5);
    let place = |web: &adit::control::report::ServiceStatus| {
        let rollout = web.rollout.as_ref().expect("a rollout");
        (web.phase.clone(), web.stable.clone(), web.canary.clone(), rollout.number, rollout.step)
    };
    assert_eq!(place(&after), place(&before));
}

#[test]
fn kill_9_loses_no_abort_that_was_shown() {
    let (_v1, v2, mut adit) = two_versions(&staying_at(50.0));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    adit.kill_and_restart();
    adit.wait_until_all_ready();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    let web = adit.web();
    assert_eq!((web.phase.as_str(), v2.requests()), ("idle", 0), "{web:?}");
}

#[test]
fn kill_9_loses_no_weight_that_an_operator_set() {
    let (_v1, _v2, mut adit) = two_versions(&staying_at(5.0));
    adit.release("v2");
    adit.wait_for_weight(5.0);
    adit.cli(&["set-weight", "web", "33.3"]).expect_code(0);
    adit.kill_and_restart();
    let web = adit.wait_for_weight(33.3);
    assert_eq!(web.phase, "paused", "{web:?}");
}

#[test]
fn a_newer_release_takes_the_canarys_place_with_the_same_stable() {
    let (v1, v2, v3) = (Endpoint::start("v1"), Endpoint::start("v2"), Endpoint::start("v3"));
    let versions: [(&str, &[&Endpoint]); 3] = [("v1", &[&v1]), ("v2", &[&v2]), ("v3", &[&v3])];
    let adit = Adit::start(&format!("{}{}", web(&versions), staying_at(50.0)));
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.release("v3");
    let web = adit.wait_for_web("v3 is the canary", |web| {
        web.canary.as_ref().is_some_and(|canary| canary.as_str() == "v3")
    });
    assert_eq!(web.stable.map(|v| v.as_str().to_owned()), Some("v1".to_owned()));
}

#[test]
fn a_canary_that_is_not_ready_gets_nothing() {
    let (_v1, v2, adit) = two_versions(&staying_at(50.0));
    v2.script(|script| script.health = 503);
    adit.wait_for_web("v2 is down", |web| version(web, "v2").endpoints.iter().all(|e| e.state == "down"));
    adit.release("v2");
    adit.wait_for_web("the rollout waits", |web| web.phase == "waiting");
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(v2.requests(), 0);
}

#[test]
fn a_rollout_that_is_paused_stays_where_it_is() {
    let (_v1, _v2, adit) = two_versions(QUICK);
    adit.release("v2");
    adit.wait_for_weight(5.0);
    adit.cli(&["pause", "web"]).expect_code(0);
    // Enough evidence to leave all steps.
    Load::on(adit.address()).requests(5_000).run().assert_all_good();
    let web = adit.web();
    let weight = version(&web, "v2").weight.percent();
    assert_eq!((web.phase.as_str(), weight), ("paused", 5.0), "{web:?}");
    adit.cli(&["resume", "web"]).expect_code(0);
    let load = Load::on(adit.address()).start();
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
}

#[test]
fn without_requests_no_step_is_left() {
    let (_v1, _v2, adit) = two_versions(
        "[services.web.rollout]\nsteps = [{ weight = 5 }, { weight = 100 }]\n\
         advance = { min_requests = 0, min_time = \"0s\", max_time = \"300ms\", on_max_time = \"advance-if-no-harm\" }\n",
    );
    adit.release("v2");
    // At max_time something has to happen; without data that is a pause, at the same weight.
    let web = adit.wait_for_web("the rollout pauses", |web| web.phase == "paused");
    assert_eq!(version(&web, "v2").weight.percent(), 5.0, "{web:?}");
}

#[test]
fn promote_full_ends_a_rollout_at_once() {
    let (_v1, _v2, adit) = two_versions(&staying_at(5.0));
    adit.release("v2");
    adit.wait_for_weight(5.0);
    adit.cli(&["promote", "web", "--full"]).expect_code(0);
    let web = adit.wait_for_outcome("promoted");
    assert_eq!(web.stable.map(|v| v.as_str().to_owned()), Some("v2".to_owned()));
}

#[test]
fn a_command_that_makes_no_sense_now_is_a_conflict() {
    let (_v1, _v2, adit) = two_versions(QUICK);
    adit.cli(&["abort", "web"]).expect_code(6);
}

#[test]
fn fixed_weights_in_between_neither_skip_the_rollout_nor_forget_an_abort() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &[&v1]), ("v2", &[&v2])]), staying_at(20.0)));
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(20.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    adit.edit(|text| text.replace("release = \"v2\"", "weights = { v1 = 100, v2 = 0 }"));
    adit.cli(&["reload"]).expect_code(0);
    adit.edit(|text| text.replace("weights = { v1 = 100, v2 = 0 }", "release = \"v2\""));
    adit.cli(&["reload"]).expect_code(0);
    let web = adit.web();
    assert_eq!(
        (web.phase.as_str(), web.stable.as_ref().map(|name| name.as_str())),
        ("idle", Some("v1")),
        "{web:?}"
    );
    adit.cli(&["retry", "web"]).expect_code(0);
    let web = adit.wait_for_weight(20.0);
    assert_eq!(web.rollout.map(|rollout| rollout.number), Some(2));
}

#[test]
fn polling_the_status_does_not_keep_the_program_from_its_work() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{QUICK}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    adit.release("v2");
    let load = Load::on(adit.address()).start();
    // This polls every few milliseconds.
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
}

#[test]
fn a_rollout_shows_no_verdict_of_the_one_before() {
    let (v1, v2, v3) = (Endpoint::start("v1"), Endpoint::start("v2"), Endpoint::start("v3"));
    let versions: [(&str, &[&Endpoint]); 3] = [("v1", &[&v1]), ("v2", &[&v2]), ("v3", &[&v3])];
    v2.script(|script| script.answer = Answer::Status(500));
    v3.script(|script| script.health = 503);
    let adit = Adit::start(&format!("{}{}", web(&versions), staying_at(50.0)));
    adit.wait_until_ready();
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    let web = adit.wait_for_outcome("aborted");
    assert!(web.rollout.is_some_and(|rollout| rollout.verdict.is_some()));
    adit.release("v3");
    let web = adit.wait_for_web("v3 is waited for", |web| web.phase == "waiting");
    let rollout = web.rollout.expect("a rollout");
    assert_eq!(rollout.verdict, None);
    // And it says what it waits for.
    let next = rollout.next.expect("words");
    assert!(next.contains("not ready") && next.contains("503"), "{next}");
    drop(load.stop());
}
