//! How it ends.

use crate::harness::{Adit, Answer, Client, Endpoint, web};

/// An endpoint that holds every request until told otherwise, and the program in front of it with this drain.
fn holding(drain: &str) -> (Endpoint, Adit) {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("drain = \"{drain}\"\n{}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    endpoint.script(|script| script.answer = Answer::Hang);
    (endpoint, adit)
}

/// A client with a request under way at the endpoint.
fn waiting(endpoint: &Endpoint, adit: &Adit) -> Client {
    let before = endpoint.requests();
    let mut client = adit.client();
    client.send_request("GET", "/held", &[], b"").expect("sent");
    endpoint.wait_for("the request is under way", |endpoint| endpoint.requests() > before);
    client
}

#[test]
fn sigterm_lets_requests_in_flight_end() {
    let (endpoint, mut adit) = holding("60s");
    let to = adit.address();
    let mut client = waiting(&endpoint, &adit);
    adit.signal("TERM");
    crate::harness::until("new connections are refused", || Client::connect(to).err(), || "they are taken");
    endpoint.script(|script| script.answer = Answer::Status(200));
    let response = client.response("GET").expect("the answer");
    assert_eq!((response.status, response.head.field("connection")), (200, Some("close")));
    assert_eq!(adit.wait().code(), Some(0), "{}", adit.stderr());
}

#[test]
fn sigterm_closes_idle_connections_at_once() {
    let (endpoint, adit) = holding("60s");
    endpoint.script(|script| script.answer = Answer::Status(200));
    let mut idle = adit.client();
    idle.get("/").expect("answer");
    endpoint.script(|script| script.answer = Answer::Hang);
    let _busy = waiting(&endpoint, &adit);
    adit.signal("TERM");
    // The drain still has a minute to go: nothing but the drain itself closes this one.
    let rest = idle.until_closed().expect("a clean end");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn the_drain_has_a_hard_end() {
    let (endpoint, mut adit) = holding("100ms");
    let mut client = waiting(&endpoint, &adit);
    adit.signal("TERM");
    adit.wait();
    let answer = client.response("GET");
    assert!(answer.is_err(), "the endpoint never answered: {answer:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (endpoint, mut adit) = holding("1h");
    let to = adit.address();
    let _client = waiting(&endpoint, &adit);
    adit.signal("TERM");
    crate::harness::until("the drain has begun", || Client::connect(to).err(), || "connections are taken");
    adit.signal("TERM");
    assert_ne!(adit.wait().code(), Some(0), "requests were cut off: that is no good end");
}

#[test]
fn without_requests_it_ends_well_at_once() {
    let (_endpoint, mut adit) = holding("1h");
    adit.signal("INT");
    assert_eq!(adit.wait().code(), Some(0), "{}", adit.stderr());
}
