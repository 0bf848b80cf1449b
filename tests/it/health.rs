//! Who gets traffic: checks, ejection, and whose fault a failure is.

use crate::harness::{Adit, Answer, Endpoint, Load, staying_at, version, web};

/// One version with two endpoints, both ready.
fn two_endpoints(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (a, b) = (Endpoint::start("v1"), Endpoint::start("v1"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&a, &b])])));
    adit.wait_until_all_ready();
    (a, b, adit)
}

/// The state of the endpoint, as shown.
fn state_of(adit: &Adit, endpoint: &Endpoint) -> String {
    let at = endpoint.address().to_string();
    let found = adit.version("v1").endpoints.into_iter().find(|known| known.endpoint == at);
    found.expect("the endpoint is in the status").state
}

fn wait_for_state(adit: &Adit, endpoint: &Endpoint, state: &str) {
    let at = endpoint.address().to_string();
    adit.wait_for_web(&format!("{at} is {state}"), |web| {
        version(web, "v1").endpoints.iter().any(|known| known.endpoint == at && known.state == state)
    });
}

#[test]
fn a_new_endpoint_gets_nothing_before_its_check_succeeds() {
    let (a, b) = (Endpoint::start("v1"), Endpoint::start("v1"));
    b.script(|script| script.health = 503);
    let adit = Adit::start(&web(&[("v1", &[&a, &b])]));
    adit.wait_until_ready();
    b.wait_for("three checks", |b| b.health_checks() >= 3);
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(b.requests(), 0);
    b.script(|script| script.health = 200);
    wait_for_state(&adit, &b, "ready");
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert!(b.requests() > 0, "ready, and still without traffic");
}

#[test]
fn an_endpoint_whose_checks_fail_gets_nothing() {
    let (a, _b, adit) = two_endpoints("");
    a.script(|script| script.health = 500);
    wait_for_state(&adit, &a, "down");
    let before = a.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(a.requests(), before);
}

#[test]
fn the_last_check_of_each_endpoint_is_shown() {
    let (a, _b, adit) = two_endpoints("");
    a.script(|script| script.health = 500);
    wait_for_state(&adit, &a, "down");
    let at = a.address().to_string();
    let endpoints = adit.version("v1").endpoints;
    let shown = endpoints.iter().find(|known| known.endpoint == at).expect("it is shown");
    assert!(shown.last_check.as_ref().is_some_and(|check| check.contains("500")), "{shown:?}");
    assert!(shown.last_check_at.is_some() && shown.streak <= -3, "{shown:?}");
}

#[test]
fn health_survives_a_reload() {
    let (a, b, adit) = two_endpoints("");
    a.script(|script| script.health = 500);
    wait_for_state(&adit, &a, "down");
    adit.edit(|text| {
        text.replace(
            "[services.web.health]",
            "[services.web.timeouts]\nconnect = \"900ms\"\n[services.web.health]",
        )
    });
    adit.cli(&["reload"]).expect_code(0);
    assert_eq!((state_of(&adit, &a), state_of(&adit, &b)), ("down".to_owned(), "ready".to_owned()));
}

#[test]
fn killing_one_of_two_endpoints_under_load_costs_no_client_a_request() {
    let (mut a, b, adit) = two_endpoints("");
    for endpoint in [&a, &b] {
        endpoint.script(|script| script.latency = std::time::Duration::from_millis(5));
    }
    let load = Load::on(adit.address()).connections(16).start();
    load.wait_for_more(1_000);
    a.wait_for("requests under way", |a| a.in_flight() >= 2);
    let in_flight = a.in_flight();
    a.stop();
    load.wait_for_more(1_000);
    wait_for_state(&adit, &a, "down");
    load.wait_for_more(1_000);
    let tally = load.stop();
    println!("{in_flight} requests were in flight at the endpoint when it was killed");
    tally.assert_all_good();
}

#[test]
fn an_endpoint_that_comes_back_is_used_again() {
    let (mut a, _b, adit) = two_endpoints("");
    a.stop();
    wait_for_state(&adit, &a, "down");
    a.resume();
    wait_for_state(&adit, &a, "ready");
    let before = a.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert!(a.requests() > before);
}

#[test]
fn an_endpoint_whose_answers_are_bad_is_ejected() {
    let (a, _b, adit) = two_endpoints("");
    a.script(|script| script.answer = Answer::Close);
    let load = Load::on(adit.address()).method("POST").start();
    wait_for_state(&adit, &a, "ejected");
    // Those that were on their way end here.
    load.stop();
    let before = a.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(a.requests(), before, "requests to an ejected endpoint");
}

#[test]
fn the_last_endpoint_is_never_ejected() {
    let a = Endpoint::start("v1");
    let adit = Adit::start(&web(&[("v1", &[&a])]));
    adit.wait_until_ready();
    a.script(|script| script.answer = Answer::Close);
    Load::on(adit.address()).method("POST").requests(200).run();
    a.script(|script| script.answer = Answer::Status(200));
    Load::on(adit.address()).requests(200).run().assert_all_good();
    assert_eq!(state_of(&adit, &a), "ready");
}

#[test]
fn one_endpoint_is_up_while_the_other_is_not_there_at_all() {
    let a = Endpoint::start("v1");
    let mut gone = Endpoint::start("v1");
    gone.stop();
    let adit = Adit::start(&web(&[("v1", &[&a, &gone])]));
    adit.wait_until_ready();
    Load::on(adit.address()).requests(200).run().assert_all_good();
    assert_eq!(state_of(&adit, &gone), "new", "it never passed a check");
}

#[test]
fn client_faults_by_the_thousand_change_no_verdict_and_eject_nothing() {
    const FAULTS: u64 = 1_000;
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let config = format!(
        "{}[services.web.limits]\nbody_idle = \"100ms\"\n{}",
        web(&[("v1", &[&v1]), ("v2", &[&v2])]),
        staying_at(50.0)
    );
    let adit = Adit::start(&config);
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    let to = adit.address();
    let clients: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || (0..FAULTS / 8).for_each(|_| commit_faults(to)))).collect();
    clients.into_iter().for_each(|client| client.join().expect("a faulty client never panics"));
    // The faults are over once a clean request of each kind is counted behind them.
    Load::on(to).requests(200).run().assert_all_good();
    let web = adit.wait_for_web("nothing is in flight", |web| {
        let mut endpoints = web.versions.iter().flat_map(|version| &version.endpoints);
        endpoints.all(|endpoint| endpoint.in_flight == 0)
    });
    assert_eq!(web.phase, "stepping", "{web:?}");
    for version in &web.versions {
        assert_eq!(version.failures, 0, "{web:?}");
        assert!(version.endpoints.iter().all(|endpoint| endpoint.state == "ready"), "{web:?}");
    }
}

/// A client that goes away, one that breaks the chunk grammar, one that stalls.
fn commit_faults(to: std::net::SocketAddr) {
    use crate::harness::Client;
    let connect = || Client::connect(to).expect("the listener accepts");
    let head = "POST / HTTP/1.1\r\nhost: web.example\r\n";
    let gone = format!("{head}content-length: 100\r\n\r\nnot all of it");
    connect().send_raw(gone.as_bytes()).expect("sent");
    for fault in [
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnot a size\r\n",
        "content-length: 100\r\n\r\nstalls",
    ] {
        let mut client = connect();
        client.send_raw(format!("{head}{fault}").as_bytes()).expect("sent");
        // Answered with an error or just closed: both will do.
        drop(client.until_closed());
    }
}
