//! One endpoint is drained, so that it can be stopped.

use crate::harness::{Adit, Answer, Endpoint, Load, web};

/// Two endpoints of one version.
fn pair() -> (Endpoint, Endpoint, Adit) {
    let (a, b) = (Endpoint::start("v1"), Endpoint::start("v1"));
    let adit = Adit::start(&web(&[("v1", &[&a, &b])]));
    adit.wait_until_all_ready();
    (a, b, adit)
}

fn state(adit: &Adit, endpoint: &Endpoint) -> String {
    let address = endpoint.address().to_string();
    let version = adit.version("v1");
    let found = version.endpoints.iter().find(|it| it.address.as_ref() == Some(&address));
    found.map(|it| it.state.clone()).unwrap_or_else(|| panic!("no {address} in {version:?}"))
}

#[test]
fn an_endpoint_that_was_waited_for_can_be_stopped_under_load_without_a_failure() {
    let (mut a, _b, adit) = pair();
    let address = a.address().to_string();
    let load = Load::on(adit.address()).start();
    load.wait_for_more(500);
    let said = adit.cli(&["drain", &address, "--wait"]).expect_code(0).stdout;
    assert!(said.contains("can be stopped"), "{said}");
    assert_eq!((a.in_flight(), state(&adit, &a).as_str()), (0, "drained"));
    let served = a.requests();
    a.stop();
    load.wait_for_more(500);
    load.stop().assert_all_good();
    assert_eq!(a.requests(), served, "it got nothing new");
}

#[test]
fn the_wait_ends_only_when_nothing_is_in_flight() {
    let (a, b, adit) = pair();
    for endpoint in [&a, &b] {
        endpoint.script(|script| script.answer = Answer::Hang);
    }
    let mut clients: Vec<_> = (0..8).map(|_| adit.client()).collect();
    for client in &mut clients {
        client.send_request("GET", "/", &[], b"").expect("sent");
    }
    a.wait_for("it has requests", |_| a.in_flight() + b.in_flight() == 8 && a.in_flight() > 0);
    let address = a.address().to_string();
    let late = adit.cli(&["drain", &address, "--wait", "--timeout", "300ms"]).expect_code(5);
    assert!(late.stderr.contains("in flight"), "{}", late.stderr);
    assert_eq!(state(&adit, &a), "draining");
    for endpoint in [&a, &b] {
        endpoint.script(|script| script.answer = Answer::Status(200));
    }
    adit.cli(&["drain", &address, "--wait"]).expect_code(0);
    for client in &mut clients {
        assert_eq!(client.response("GET").expect("an answer").status, 200);
    }
}

#[test]
fn a_drain_outlives_kill_9_and_ends_when_it_is_cancelled() {
    let (a, _b, mut adit) = pair();
    let address = a.address().to_string();
    adit.cli(&["drain", &address, "--why", "a new disk"]).expect_code(0);
    adit.kill_and_restart();
    adit.wait_until_ready();
    assert_eq!(state(&adit, &a), "drained");
    Load::on(adit.address()).requests(100).run().assert_all_good();
    assert_eq!(a.requests(), 0);
    adit.cli(&["drain", &address, "--cancel"]).expect_code(0);
    adit.wait_until_all_ready();
    Load::on(adit.address()).requests(100).run().assert_all_good();
    assert!(a.requests() > 0);
    adit.cli(&["drain", &address, "--cancel"]).expect_code(6);
}

#[test]
fn the_last_ready_endpoint_of_a_version_that_users_get_is_drained_by_force_only() {
    let (a, b, adit) = pair();
    let (first, last) = (a.address().to_string(), b.address().to_string());
    adit.cli(&["drain", &first]).expect_code(0);
    let refused = adit.cli(&["drain", &last]).expect_code(6).stderr;
    assert!(refused.contains("last ready endpoint") && refused.contains("--force"), "{refused}");
    assert_eq!(state(&adit, &b), "ready");
    adit.cli(&["drain", &last, "--force"]).expect_code(0);
    assert_eq!(adit.client().get("/").expect("an answer").status, 503);
}

#[test]
fn an_unknown_endpoint_is_refused_with_the_known_ones() {
    let (a, _b, adit) = pair();
    let refused = adit.cli(&["drain", "127.0.0.1:1"]).expect_code(1).stderr;
    assert!(refused.contains("127.0.0.1:1") && refused.contains(&a.address().to_string()), "{refused}");
}

#[test]
fn an_endpoint_that_left_the_config_comes_back_undrained() {
    let (a, _b, adit) = pair();
    let address = a.address().to_string();
    adit.cli(&["drain", &address]).expect_code(0);
    let quoted = format!("\"{address}\", ");
    adit.edit(|text| text.replace(&quoted, ""));
    adit.wait_for_web("it has left", |web| web.versions[0].endpoints.len() == 1);
    adit.edit(|text| text.replace("endpoints = [", &format!("endpoints = [{quoted}")));
    adit.wait_for_web("both are ready", |web| {
        let endpoints = &web.versions[0].endpoints;
        endpoints.len() == 2 && endpoints.iter().all(|endpoint| endpoint.state == "ready")
    });
}
