//! Hooks: who is asked before a rollout goes on, and who is told how it went.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Adit, Answer, Endpoint, Load, QUICK, now, staying_at, version, web};

/// A hook that `ci` is.
fn hook(at: &str, ci: &Endpoint, more: &str) -> String {
    let address = ci.address();
    format!("[[services.web.rollout.hooks]]\nat = \"{at}\"\nurl = \"http://{address}/{at}\"\n{more}\n")
}

/// Two versions with one endpoint each, v1 released, all ready, and this for the rollout.
fn two_versions(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

/// What the last call said.
fn last_body(ci: &Endpoint) -> Value {
    let seen = ci.last_seen().expect("a call");
    serde_json::from_slice(&seen.body).expect("JSON")
}

fn key(ci: &Endpoint) -> String {
    ci.last_seen().and_then(|seen| seen.head.field("idempotency-key").map(str::to_owned)).expect("a key")
}

#[test]
fn hooks_that_say_yes_let_a_rollout_through() {
    let ci = Endpoint::start("ci");
    let hooks: String = ["start", "step", "promote", "done"].map(|at| hook(at, &ci, "")).concat();
    let (_v1, _v2, adit) = two_versions(&format!("{QUICK}{hooks}"));
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
    // Three steps: one start, two steps, one promotion, and the news of the end.
    ci.wait_for("all hooks are called", |ci| ci.requests() == 5);
    let said = last_body(&ci);
    assert_eq!((&said["event"], &said["outcome"]), (&"done".into(), &"promoted".into()), "{said}");
    assert_eq!((&said["service"], &said["rollout"]), (&"web".into(), &1.into()), "{said}");
}

#[test]
fn nothing_is_sent_to_the_canary_before_the_start_hook_says_yes() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Hang);
    let (_v1, v2, adit) = two_versions(&format!("{}{}", staying_at(50.0), hook("start", &ci, "")));
    adit.release("v2");
    ci.wait_for("it is asked", |ci| ci.requests() == 1);
    Load::on(adit.address()).requests(300).run().assert_all_good();
    assert_eq!(v2.requests(), 0);
    assert_eq!(last_body(&ci)["next_weight"], 50.0);
    ci.script(|script| script.answer = Answer::Status(200));
    adit.wait_for_weight(50.0);
}

#[test]
fn a_refusal_pauses_the_rollout_and_says_why_and_a_resume_asks_again() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Status(403));
    let (_v1, _v2, adit) = two_versions(&format!("{QUICK}{}", hook("step", &ci, "")));
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    let web = adit.wait_for_web("it pauses", |web| web.phase == "paused");
    let reason = web.rollout.as_ref().expect("a rollout").reason.clone();
    assert!(reason.contains("/step answered 403: ci answers /step"), "{reason}");
    assert_eq!(version(&web, "v2").weight.percent(), 5.0);
    ci.script(|script| script.answer = Answer::Status(200));
    adit.cli(&["resume", "web"]).expect_code(0);
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
}

#[test]
fn a_refusal_aborts_the_rollout_where_the_config_says_so() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Status(400));
    let hooks = hook("start", &ci, "on_refusal = \"abort\"");
    let (_v1, v2, adit) = two_versions(&format!("{QUICK}{hooks}"));
    adit.release("v2");
    adit.wait_for_outcome("aborted");
    assert_eq!(v2.requests(), 0);
}

#[test]
fn a_refusal_is_passed_over_where_the_config_says_so() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Status(400));
    let hooks = hook("start", &ci, "on_refusal = \"continue\"");
    let (_v1, _v2, adit) = two_versions(&format!("{}{hooks}", staying_at(50.0)));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    assert_eq!(ci.requests(), 1);
}

#[test]
fn a_hook_that_is_down_is_called_again_with_the_same_key() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Status(503));
    let (_v1, _v2, adit) =
        two_versions(&format!("{}{}", staying_at(50.0), hook("start", &ci, "on_refusal = \"abort\"")));
    adit.release("v2");
    ci.wait_for("it is called", |ci| ci.requests() == 1);
    let first = key(&ci);
    ci.script(|script| script.answer = Answer::Status(204));
    adit.wait_for_weight(50.0);
    assert_eq!((ci.requests(), key(&ci)), (2, first));
}

#[test]
fn an_abort_is_acknowledged_and_in_force_at_once_while_a_hook_hangs() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Hang);
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let plan = format!("{QUICK}{}", hook("step", &ci, "timeout = \"1h\""));
    let adit = Adit::start_alone(&format!("{}{plan}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    let load = Load::on(adit.address()).per_second(400).start();
    adit.release("v2");
    ci.wait_for("it is asked", |ci| ci.requests() == 1);
    let before = now();
    let answer = adit.api("POST", "/v1/services/web/abort", "{\"why\":\"a test\"}");
    let took = now() - before;
    assert_eq!(answer.status, 200, "{}", answer.text());
    load.stop().assert_all_good();
    assert!(took <= Duration::from_millis(100), "acknowledged after {took:?}");
    let at_the_end = v2.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(v2.requests(), at_the_end, "no request reaches the canary once the abort is acknowledged");
    // The late answer is nobody's any more.
    ci.script(|script| script.answer = Answer::Status(200));
    ci.wait_for("the call is over", |ci| ci.in_flight() == 0);
    let web = adit.web();
    assert_eq!(web.phase, "idle", "{web:?}");
}

#[test]
fn an_abort_is_told_after_kill_9_too() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Status(503));
    let hooks = hook("abort", &ci, "attempts = 100");
    let (_v1, _v2, mut adit) = two_versions(&format!("{}{hooks}", staying_at(50.0)));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    ci.wait_for("it is told, in vain", |ci| ci.requests() > 0);
    let first = key(&ci);
    adit.kill_and_restart();
    let before = ci.requests();
    ci.script(|script| script.answer = Answer::Status(200));
    ci.wait_for("it is told again", |ci| ci.requests() > before);
    let said = last_body(&ci);
    assert_eq!((&said["event"], &said["outcome"]), (&"abort".into(), &"aborted".into()), "{said}");
    assert_eq!((said["weight"].as_f64(), key(&ci)), (Some(0.0), first), "{said}");
}

#[test]
fn a_hook_that_could_not_be_told_is_a_problem_in_the_status() {
    let ci = Endpoint::start("ci");
    ci.script(|script| script.answer = Answer::Status(410));
    let (_v1, _v2, adit) = two_versions(&format!("{}{}", staying_at(50.0), hook("done", &ci, "")));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    let status = adit.wait_for("the problem shows", |status| !status.problems.is_empty());
    let problem = &status.problems[0];
    assert!(problem.starts_with("not told: the done hook of web, rollout 1: http://"), "{problem}");
    assert!(problem.ends_with("/done answered 410: ci answers /done"), "{problem}");
}
