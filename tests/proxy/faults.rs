//! Whose fault a failure is, and who is told of it.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::routing::Timeouts;
use adit::domain::stats::{ArmCounts, EpochCounts, ErrorReason};

use crate::endpoint::{Scripted, nobody, ok};
use crate::world::{Proxy, Web, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn arm(routed: u64, completed: u64, failed: u64) -> ArmCounts {
    ArmCounts { routed, completed, failed }
}

/// A proxy whose canary, with all the traffic, is this endpoint.
fn canary(endpoint: &Scripted) -> Proxy {
    Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0))
}

/// The same with these limits, in real time.
fn limited(endpoint: &Scripted, timeouts: Timeouts) -> Proxy {
    let mut web = Web::canary(&[nobody()], &[endpoint.address], 100.0);
    web.policy.timeouts = timeouts;
    Proxy::start_with(web, 1, Clock::real(), Duration::ZERO)
}

/// Waits for a client's body no longer than 50 ms.
fn impatient(endpoint: &Scripted) -> Proxy {
    let mut web = Web::canary(&[nobody()], &[endpoint.address], 100.0);
    web.policy.limits.body_idle = Duration::from_millis(50);
    Proxy::start_with(web, 1, Clock::real(), Duration::ZERO)
}

#[track_caller]
fn assert_canary(proxy: &Proxy, expected: ArmCounts) {
    eventually("the exchange ended", || proxy.in_flight() == 0);
    assert_eq!(proxy.evidence(), EpochCounts { canary: expected, stable: arm(0, 0, 0) });
}

#[test]
fn clients_that_leave_in_the_middle_of_an_answer_change_nothing() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\nbeginning");
        // Until the proxy hangs up.
        wire.head();
    });
    let proxy = canary(&endpoint);
    for _ in 0..50 {
        let mut client = proxy.client();
        client.send(GET);
        client.head().unwrap();
    }
    assert_canary(&proxy, arm(50, 0, 0));
    assert_eq!((proxy.endpoint_counts(1, 0), proxy.ended(1, 499)), ((0, 0), 50));
    assert!(!proxy.woken());
}

#[test]
fn clients_that_leave_before_the_answer_change_nothing() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.head();
    });
    let proxy = canary(&endpoint);
    for asked in 1..=20 {
        let mut client = proxy.client();
        client.send(GET);
        eventually("the endpoint was asked", || endpoint.heads().len() == asked);
    }
    assert_canary(&proxy, arm(20, 0, 0));
    assert_eq!((proxy.endpoint_counts(1, 0), proxy.ended(1, 499)), ((0, 0), 20));
}

#[test]
fn a_broken_chunk_is_the_clients_fault() {
    let endpoint = Scripted::start(|wire| while wire.request().is_some() {});
    let proxy = canary(&endpoint);
    for _ in 0..20 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n");
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("proxy-status")),
            (400, Some("adit; error=http_request_error"))
        );
        assert!(client.is_closed());
    }
    assert_canary(&proxy, arm(20, 0, 0));
    assert_eq!(proxy.endpoint_counts(1, 0), (0, 0));
    assert!(!proxy.woken());
}

#[test]
fn an_upload_that_breaks_off_is_the_clients_fault() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
    });
    let proxy = canary(&endpoint);
    for asked in 1..=20 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nbeginning");
        eventually("the endpoint was asked", || endpoint.heads().len() == asked);
        client.stream.shutdown(Shutdown::Both).unwrap();
    }
    assert_canary(&proxy, arm(20, 0, 0));
    assert_eq!(proxy.endpoint_counts(1, 0), (0, 0));
}

#[test]
fn a_stalled_upload_is_the_clients_fault() {
    let endpoint = Scripted::start(|wire| while wire.request().is_some() {});
    let proxy = impatient(&endpoint);
    let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nbeginning");
    assert_eq!(reply.status, 408);
    assert_canary(&proxy, arm(1, 0, 0));
    assert_eq!(proxy.endpoint_counts(1, 0), (0, 0));
}

#[test]
fn the_response_timeout_does_not_run_while_the_client_uploads() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = arrived.clone();
    let endpoint = Scripted::start(move |wire| {
        wire.request_head();
        for _ in 0..8 {
            wire.swallow(1);
            counter.fetch_add(1, Ordering::SeqCst);
        }
        wire.send(ok("done"));
    });
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let web = Web::of(&[&endpoint]);
    assert!(web.policy.timeouts.response < Duration::from_secs(8 * 20));
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n");
    for piece in 1..=8 {
        client.send("x");
        eventually("the piece arrived", || arrived.load(Ordering::SeqCst) == piece);
        hand.advance(Duration::from_secs(20));
    }
    assert_eq!(client.reply().text(), "done");
}

#[test]
fn a_500_is_evidence_but_says_nothing_about_the_host() {
    let endpoint = Scripted::answering("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let proxy = canary(&endpoint);
    assert_eq!(proxy.get("/").status, 500);
    assert_canary(&proxy, arm(1, 1, 1));
    assert_eq!(proxy.endpoint_counts(1, 0), (1, 0));
    assert!(proxy.woken(), "a canary's failure wakes control");
    let snapshot = proxy.shared.live.load();
    let cells = &snapshot.services[0].versions[1].cells;
    assert_eq!(cells.sum(|cells| cells.errors(ErrorReason::HttpServerError)), 1);
}

#[test]
fn a_503_is_evidence_and_a_failure_of_the_host() {
    let endpoint = Scripted::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    let proxy = canary(&endpoint);
    assert_eq!(proxy.get("/").status, 503);
    assert_canary(&proxy, arm(1, 1, 1));
    assert_eq!(proxy.endpoint_counts(1, 0), (1, 1));
}

#[test]
fn a_404_of_the_endpoint_is_a_good_answer() {
    let endpoint = Scripted::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let proxy = canary(&endpoint);
    assert_eq!(proxy.get("/").status, 404);
    assert_canary(&proxy, arm(1, 1, 0));
    assert!(!proxy.woken());
}

#[test]
fn a_request_saved_by_another_endpoint_still_counts_as_failed() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::canary(&[nobody()], &[nobody(), endpoint.address], 100.0);
    // The dead one is picked first: the other one is on its probation with a request under way.
    web.versions[1].endpoints[1].standing = adit::domain::routing::Standing::Probation;
    web.versions[1].endpoints[1].cells.workers[1].in_flight.add(1);
    let proxy = Proxy::start(web);
    assert_eq!(proxy.get("/").text(), "hello");
    assert_canary(&proxy, arm(1, 1, 1));
    assert_eq!((proxy.endpoint_counts(1, 0), proxy.endpoint_counts(1, 1)), ((1, 1), (1, 0)));
    assert!(proxy.woken());
}

#[test]
fn stables_failures_are_counted_alike() {
    let endpoint = Scripted::answering("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    let proxy = Proxy::start(Web::canary(&[endpoint.address], &[nobody()], 0.0));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 502);
    }
    eventually("the exchanges ended", || proxy.in_flight() == 0);
    assert_eq!(proxy.evidence(), EpochCounts { canary: arm(0, 0, 0), stable: arm(3, 3, 3) });
    assert!(!proxy.woken(), "stable's failures wait for the next tick");
}

#[test]
fn an_endpoint_that_keeps_failing_wakes_control() {
    let endpoint = Scripted::answering("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for failures in 1..=5 {
        proxy.get("/");
        eventually("the exchange ended", || proxy.endpoint_counts(0, 0) == (failures, failures));
        assert_eq!(proxy.woken(), failures == 5, "after {failures}");
    }
}

#[test]
fn an_answer_that_breaks_off_looks_broken_to_the_client_and_counts_as_failed() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ] {
        let endpoint = Scripted::start(move |wire| {
            wire.request();
            wire.send(answer);
        });
        let proxy = canary(&endpoint);
        let reply = proxy.get("/");
        assert_eq!((reply.status, reply.whole), (200, false), "{answer}");
        assert_canary(&proxy, arm(1, 1, 1));
        assert_eq!(proxy.endpoint_counts(1, 0), (1, 1), "{answer}");
    }
}

#[test]
fn an_answer_that_stands_still_is_cut() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
        wire.head();
    });
    let proxy = limited(&endpoint, Timeouts { idle: Duration::from_millis(50), ..Timeouts::default() });
    let reply = proxy.get("/");
    assert_eq!((reply.text(), reply.whole), ("hello", false));
    assert_canary(&proxy, arm(1, 1, 1));
}

#[test]
fn what_is_no_answer_is_a_502() {
    for (answer, error) in [
        ("", "connection_terminated"),
        ("nonsense\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 200", "http_response_incomplete"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "http_protocol_error"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "http_protocol_error",
        ),
        ("HTTP/1.1 700 Odd\r\ncontent-length: 0\r\n\r\n", "http_protocol_error"),
    ] {
        let endpoint = Scripted::start(move |wire| {
            wire.request();
            wire.send(answer);
        });
        let proxy = canary(&endpoint);
        let reply = proxy.get("/");
        let expected = format!("adit; error={error}");
        assert_eq!((reply.status, reply.header("proxy-status")), (502, Some(&*expected)), "{answer:?}");
        assert_canary(&proxy, arm(1, 1, 1));
        assert_eq!(proxy.endpoint_counts(1, 0), (1, 1), "{answer:?}");
    }
}

#[test]
fn no_answer_in_time_is_a_504() {
    let silent = || {
        Scripted::start(|wire| {
            wire.request();
            wire.head();
        })
    };
    for timeouts in [
        Timeouts { response: Duration::from_millis(50), ..Timeouts::default() },
        Timeouts { request: Some(Duration::from_millis(50)), ..Timeouts::default() },
    ] {
        let endpoint = silent();
        let proxy = limited(&endpoint, timeouts);
        let reply = proxy.get("/");
        let error = reply.header("proxy-status");
        assert_eq!((reply.status, error), (504, Some("adit; error=http_response_timeout")), "{timeouts:?}");
        assert_canary(&proxy, arm(1, 1, 1));
    }
}

#[test]
fn informational_answers_are_not_taken_for_the_answer() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send(format!("HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n{}", ok("hello")));
    });
    let proxy = canary(&endpoint);
    assert_eq!(proxy.get("/").text(), "hello");
}

#[test]
fn a_version_without_a_ready_endpoint_is_a_503_that_says_when_to_come_back() {
    let proxy = Proxy::start(Web::at(&[]));
    let reply = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\naccept: application/json\r\n\r\n");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.header("proxy-status"), Some("adit; error=destination_unavailable"));
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["error"], "destination_unavailable");
}

#[test]
fn an_endpoint_that_gives_up_on_a_stalled_upload_is_not_to_blame() {
    let endpoint = Scripted::start(|wire| {
        wire.request_head();
        wire.swallow(9);
    });
    let proxy = canary(&endpoint);
    for _ in 0..20 {
        let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nbeginning");
        assert_eq!(
            (reply.status, reply.header("proxy-status")),
            (502, Some("adit; error=http_request_error"))
        );
    }
    assert_canary(&proxy, arm(20, 0, 0));
    assert_eq!(proxy.endpoint_counts(1, 0), (0, 0));
    assert!(!proxy.woken());
}
