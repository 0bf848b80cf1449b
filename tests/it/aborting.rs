//! An abort is acknowledged and in force at once, wherever the rollout stands and whatever else goes on.

use std::time::Duration;

use crate::harness::{Adit, Endpoint, Load, Running, now, staying_at, version, web};

/// From the command to its answer, and to the last request that the canary sees.
const IN_TIME: Duration = Duration::from_millis(100);

/// Two versions with one endpoint each, v1 released, all ready, alone on the machine.
fn two_versions(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start_alone(&format!("{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

/// Aborts under the load that runs, and holds it to its promise.
fn assert_aborted_in_time(adit: &Adit, canary: &Endpoint, load: &Running) {
    let asked = now();
    let answer = adit.api("POST", "/v1/services/web/abort", "{\"why\":\"a test\"}");
    let acknowledged = now() - asked;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(acknowledged <= IN_TIME, "acknowledged after {acknowledged:?}");
    load.wait_for_more(1_000);
    if let Some(last) = canary.last_request().filter(|last| *last > asked) {
        assert!(last - asked <= IN_TIME, "the canary was asked {:?} after the command", last - asked);
    }
    let web = adit.web();
    assert_eq!((web.phase.as_str(), version(&web, "v2").weight.parts()), ("idle", 0), "{web:?}");
}

#[test]
fn an_abort_is_in_force_in_time_at_a_step_under_full_load() {
    let (_v1, v2, adit) = two_versions(&staying_at(50.0));
    let load = Load::on(adit.address()).connections(100).start();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    load.wait_for_more(2_000);
    assert_aborted_in_time(&adit, &v2, &load);
    load.stop().assert_all_good();
}

#[test]
fn an_abort_is_in_force_in_time_while_the_canary_is_waited_for() {
    let (_v1, v2, adit) = two_versions(&staying_at(50.0));
    v2.script(|script| script.health = 503);
    adit.wait_for_web("v2 is down", |web| version(web, "v2").endpoints.iter().all(|e| e.state == "down"));
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_web("the rollout waits", |web| web.phase == "waiting");
    assert_aborted_in_time(&adit, &v2, &load);
    load.stop().assert_all_good();
}

#[test]
fn an_abort_is_in_force_in_time_in_a_pause() {
    let (_v1, v2, adit) = two_versions(&staying_at(50.0));
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["pause", "web"]).expect_code(0);
    assert_aborted_in_time(&adit, &v2, &load);
    load.stop().assert_all_good();
}

#[test]
fn an_abort_is_in_force_in_time_in_the_bake() {
    let plan = "[services.web.rollout]\nsteps = [100]\nbake = \"1h\"\nadvance = { min_requests = 20, min_time = \"0s\" }\n";
    let (_v1, v2, adit) = two_versions(plan);
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_web("it bakes", |web| web.phase == "baking");
    assert_aborted_in_time(&adit, &v2, &load);
    load.stop().assert_all_good();
}

#[test]
fn an_abort_is_in_force_in_time_with_stable_down() {
    let (mut v1, v2, adit) = two_versions(&staying_at(50.0));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    v1.stop();
    adit.wait_for_web("v1 is down", |web| version(web, "v1").endpoints.iter().all(|e| e.state == "down"));
    let load = Load::on(adit.address()).start();
    assert_aborted_in_time(&adit, &v2, &load);
    let tally = load.stop();
    assert!(tally.server_errors() > 0, "nobody is left to serve: {tally:?}");
}
