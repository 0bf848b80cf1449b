//! What a canary failed and stable answers; what one version has not got and the other has.

use std::net::SocketAddr;
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::routing::{OnMissing, PathPrefix, Rescue, Statuses, Timeouts};
use adit::domain::stats::{ArmCounts, ErrorReason};

use crate::endpoint::{Scripted, nobody, ok};
use crate::world::{Proxy, Web, eventually};

const BAD: &str = "HTTP/1.1 500 Broken\r\ncontent-length: 3\r\n\r\nbad";

/// All the traffic goes to the canary, and rescue is as it is by default.
fn web(stable: SocketAddr, canary: SocketAddr) -> Web {
    let mut web = Web::canary(&[stable], &[canary], 100.0);
    web.policy.rescue = Rescue::default();
    web
}

fn rescues(proxy: &Proxy) -> u64 {
    proxy.shared.live.load().services[0].versions[1].cells.sum(|cells| cells.rescues.get())
}

fn errors(proxy: &Proxy, version: usize, reason: ErrorReason) -> u64 {
    proxy.shared.live.load().services[0].versions[version].cells.sum(|cells| cells.errors(reason))
}

fn failed(proxy: &Proxy) -> (u64, u64) {
    eventually("the exchange ended", || proxy.in_flight() == 0);
    let evidence = proxy.evidence();
    assert_eq!(evidence.stable, ArmCounts::default(), "stable's help is no evidence");
    (evidence.canary.completed, evidence.canary.failed)
}

#[test]
fn every_way_in_which_a_canary_fails_before_its_answer_is_rescued() {
    let resets = Scripted::start(|wire| drop(wire.request()));
    let garbage = Scripted::answering("\x16\x03\x01 this is not HTTP\r\n\r\n");
    let half = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 O");
    });
    let bad = Scripted::answering(BAD);
    for (what, canary) in [
        ("refuses", nobody()),
        ("resets", resets.address),
        ("is not HTTP", garbage.address),
        ("half a head", half.address),
        ("says 500", bad.address),
    ] {
        let stable = Scripted::saying("v1");
        let proxy = Proxy::start(web(stable.address, canary));
        let reply = proxy.get("/");
        assert_eq!((reply.status, reply.text()), (200, "v1"), "{what}");
        assert_eq!(failed(&proxy), (1, 1), "{what}");
        assert_eq!((rescues(&proxy), proxy.ended(1, 200), proxy.ended(0, 200)), (1, 1, 0), "{what}");
        assert_eq!(proxy.endpoint_counts(0, 0), (1, 0), "{what}: stable's endpoint answered");
        assert_eq!(stable.heads().len(), 1, "{what}");
        assert!(proxy.woken(), "{what}: control learns of it at once");
    }
}

#[test]
fn a_canary_that_hangs_is_rescued_when_its_time_is_up() {
    let (stable, hangs) = (Scripted::saying("v1"), Scripted::start(|wire| while wire.request().is_some() {}));
    let mut web = web(stable.address, hangs.address);
    web.policy.timeouts.response = Duration::from_millis(50);
    let proxy = Proxy::start_with(web, 1, Clock::real(), Duration::ZERO);
    assert_eq!(proxy.get("/").text(), "v1");
    assert_eq!(failed(&proxy), (1, 1));
    assert_eq!(errors(&proxy, 1, ErrorReason::HttpResponseTimeout), 1);
}

#[test]
fn the_limit_of_the_whole_request_holds_over_both() {
    let (stable, hangs) = (Scripted::saying("v1"), Scripted::start(|wire| while wire.request().is_some() {}));
    let mut web = web(stable.address, hangs.address);
    web.policy.timeouts = Timeouts { request: Some(Duration::from_millis(50)), ..Timeouts::default() };
    let proxy = Proxy::start_with(web, 1, Clock::real(), Duration::ZERO);
    assert_eq!((proxy.get("/").status, stable.heads().len()), (504, 0));
    assert_eq!(failed(&proxy), (1, 1));
}

#[test]
fn only_the_statuses_of_the_set_are_failures() {
    let stable = Scripted::saying("v1");
    for (answer, set, status) in [
        ("HTTP/1.1 501 No\r\ncontent-length: 0\r\n\r\n", Statuses::default(), 501),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Statuses::default(), 404),
        ("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", Statuses::default(), 200),
        ("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Statuses::of([502, 503]), 500),
        ("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", Statuses::of([502, 503]), 200),
    ] {
        let canary = Scripted::answering(answer);
        let mut web = web(stable.address, canary.address);
        web.policy.rescue.on = set;
        assert_eq!(Proxy::start(web).get("/").status, status, "{answer}");
    }
}

#[test]
fn a_post_is_not_rescued_unless_its_operator_says_that_it_may_be() {
    let stable = Scripted::saying("v1");
    for (methods, status) in [(vec![http::Method::GET], 500), (vec![http::Method::POST], 200)] {
        let bad = Scripted::answering(BAD);
        let mut web = web(stable.address, bad.address);
        web.policy.rescue.methods = methods;
        let proxy = Proxy::start(web);
        let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(reply.status, status);
        assert_eq!(failed(&proxy), (1, 1));
    }
}

/// Reads the whole body before it answers.
fn echo(bad: bool) -> Scripted {
    Scripted::start(move |wire| {
        while let Some((_, body)) = wire.request() {
            let text: String = body.iter().map(|byte| char::from(*byte)).collect();
            if bad { wire.send(BAD) } else { wire.send(ok(&text)) }
        }
    })
}

fn put(proxy: &Proxy, size: usize) -> crate::wire::Reply {
    let body: String = (0..size).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
    let reply = proxy.ask(&format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n{body}"));
    if reply.status == 200 {
        assert!(reply.text() == body, "the body arrived otherwise");
    }
    reply
}

#[test]
fn a_body_of_max_body_is_sent_again_byte_by_byte_and_a_larger_one_is_not() {
    let (stable, canary) = (echo(false), echo(true));
    let mut web = web(stable.address, canary.address);
    web.policy.rescue.methods = vec![http::Method::PUT];
    let proxy = Proxy::start(web);
    assert_eq!(put(&proxy, 64 * 1024).status, 200);
    assert_eq!(put(&proxy, 64 * 1024 + 1).status, 500);
    assert_eq!(failed(&proxy), (2, 2));
    assert_eq!(rescues(&proxy), 1);
}

#[test]
fn an_answer_that_breaks_midway_is_not_rescued_but_counts() {
    let stable = Scripted::saying("v1");
    let breaks = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning");
    });
    let proxy = Proxy::start(web(stable.address, breaks.address));
    let reply = proxy.get("/");
    assert!(!reply.whole && stable.heads().is_empty(), "{}", reply.text());
    assert_eq!((failed(&proxy), rescues(&proxy)), ((1, 1), 0));
}

#[test]
fn when_stable_has_nothing_better_the_client_gets_the_canarys_own_answer() {
    let (bad, worse) = (
        Scripted::answering(BAD),
        Scripted::answering("HTTP/1.1 503 Worse\r\ncontent-length: 5\r\n\r\nworse"),
    );
    for stable in [nobody(), worse.address] {
        let proxy = Proxy::start(web(stable, bad.address));
        let reply = proxy.get("/");
        assert_eq!((reply.status, reply.text()), (500, "bad"));
        assert_eq!((failed(&proxy), rescues(&proxy)), ((1, 1), 0));
        assert_eq!(errors(&proxy, 1, ErrorReason::HttpServerError), 1);
        assert_eq!((proxy.ended(1, 500), proxy.endpoint_counts(0, 0).1), (1, 1));
    }
    let proxy = Proxy::start(web(worse.address, nobody()));
    assert_eq!(proxy.get("/").text(), "worse", "the canary had none");
    assert_eq!((failed(&proxy), rescues(&proxy)), ((1, 1), 0));
}

#[test]
fn beyond_the_budget_clients_see_the_failure() {
    let (stable, bad) = (Scripted::saying("v1"), Scripted::answering(BAD));
    let mut web = web(stable.address, bad.address);
    web.policy.rescue.budget = 0.0;
    // The clock stands still: all of it is in one window of ten seconds.
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    let statuses: Vec<_> = (0..150)
        .map(|_| {
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            client.reply().status
        })
        .collect();
    assert!(statuses[..100].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses[100..].iter().all(|status| *status == 500), "{statuses:?}");
    assert_eq!((failed(&proxy), rescues(&proxy)), ((150, 150), 100));
    assert_eq!(proxy.ended(1, 200) + proxy.ended(1, 500), 150, "each is counted once");
}

#[test]
fn a_request_to_a_version_chosen_by_hand_is_answered_by_it() {
    let (stable, bad) = (Scripted::saying("v1"), Scripted::answering(BAD));
    let mut web = web(stable.address, bad.address);
    web.policy.preview_host = Some("preview.a".into());
    web.set_weight(0.0);
    let proxy = Proxy::start(web);
    let reply = proxy.ask("GET / HTTP/1.1\r\nhost: Preview.A:80\r\n\r\n");
    assert_eq!(reply.status, 500);
    assert_eq!(failed(&proxy), (0, 0));
    assert_eq!(proxy.get("/").text(), "v1");
}

#[test]
fn stables_own_failures_are_shown() {
    let (bad, canary) = (Scripted::answering(BAD), Scripted::saying("v2"));
    let mut web = web(bad.address, canary.address);
    web.set_weight(0.0);
    assert_eq!(Proxy::start(web).get("/").status, 500);
}

#[test]
fn a_missing_asset_is_looked_for_on_the_other_version_once_and_is_no_evidence() {
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";
    // At the smallest weight every request of this test is stable's, but for one in ten thousand runs.
    for weight in [0.0001, 100.0] {
        let (has, has_not) = (Scripted::saying("asset"), Scripted::answering(missing));
        let (stable, canary) = if weight > 50.0 { (&has, &has_not) } else { (&has_not, &has) };
        let mut web = web(stable.address, canary.address);
        web.policy.on_missing = OnMissing { paths: vec![PathPrefix::parse("/assets/").unwrap()] };
        web.set_weight(weight);
        let proxy = Proxy::start(web);
        assert_eq!(proxy.get("/assets/a.js").text(), "asset", "{weight}");
        eventually("ended", || proxy.in_flight() == 0);
        let evidence = proxy.evidence();
        assert_eq!((evidence.canary.completed, evidence.stable.completed), (0, 0), "{weight}");
        assert_eq!((proxy.get("/other").status, has.heads().len()), (404, 1), "{weight}");
        let post = proxy.ask("POST /assets/a HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((post.status, has.heads().len(), rescues(&proxy)), (404, 1, 0), "{weight}");
    }
}

#[test]
fn a_canary_without_users_is_not_asked_for_a_missing_asset() {
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";
    let (stable, canary) = (Scripted::answering(missing), Scripted::saying("asset"));
    let mut web = web(stable.address, canary.address);
    web.policy.on_missing = OnMissing { paths: vec![PathPrefix::parse("/assets/").unwrap()] };
    web.set_weight(0.0);
    let proxy = Proxy::start(web);
    assert_eq!((proxy.get("/assets/a.js").status, canary.heads().len()), (404, 0));
}

#[test]
fn when_neither_version_has_it_the_first_404_is_given() {
    let first = Scripted::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nfirst");
    let second = Scripted::answering("HTTP/1.1 500 Bad\r\ncontent-length: 6\r\n\r\nsecond");
    let mut web = web(second.address, first.address);
    web.policy.on_missing = OnMissing { paths: vec![PathPrefix::parse("/").unwrap()] };
    let proxy = Proxy::start(web);
    let reply = proxy.get("/a");
    assert_eq!((reply.status, reply.text(), second.heads().len()), (404, "first", 1));
}
