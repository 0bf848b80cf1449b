//! When a request is sent again within its version: after what, where, how often, how soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::Timestamp;
use adit::domain::routing::{Budget, Rescue, Retry, RetryOn, Statuses};
use adit::domain::stats::{ArmCounts, ErrorReason};

use crate::endpoint::{Scripted, nobody, ok};
use crate::world::{Proxy, Web, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";

/// On what a test wants retries.
fn on(statuses: &[u16]) -> RetryOn {
    RetryOn { connect: true, reset: false, statuses: Statuses::of(statuses.iter().copied()) }
}

fn reset() -> RetryOn {
    RetryOn { reset: true, ..on(&[]) }
}

/// All the traffic goes to the canary, which has these endpoints. Pauses take real time: 25 ms at the most.
fn proxy(endpoints: &[&Scripted], retry: Retry) -> Proxy {
    Proxy::start_with(web(endpoints, retry), 1, Clock::real(), Duration::ZERO)
}

fn web(endpoints: &[&Scripted], retry: Retry) -> Web {
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let mut web = Web::canary(&[nobody()], &addresses, 100.0);
    web.policy.retry = retry;
    web
}

/// Answers the first `bad` requests of all its connections badly, and then well.
fn recovering(bad: usize, answer: &'static str) -> Scripted {
    let asked = AtomicUsize::new(0);
    Scripted::start(move |wire| {
        while wire.request().is_some() {
            let good = asked.fetch_add(1, Ordering::SeqCst) >= bad;
            if !good && answer.is_empty() {
                return;
            }
            wire.send(if good { ok("good") } else { answer.to_owned() });
        }
    })
}

/// Takes requests and never answers.
fn silent() -> Scripted {
    Scripted::start(|wire| while wire.request().is_some() {})
}

fn retries(proxy: &Proxy) -> u64 {
    proxy.shared.live.load().services[0].versions[1].cells.sum(|cells| cells.retries.get())
}

#[track_caller]
fn assert_evidence(proxy: &Proxy, completed: u64, failed: u64) {
    eventually("the exchange ended", || proxy.in_flight() == 0);
    let canary = proxy.evidence().canary;
    assert_eq!(canary, ArmCounts { routed: canary.routed, completed, failed });
}

fn put(size: usize) -> String {
    let body: String = (0..size).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
    format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n{body}")
}

#[test]
fn a_bad_status_is_shown_unless_the_service_wants_it_retried() {
    let endpoint = Scripted::answering(BUSY);
    let proxy = proxy(&[&endpoint], Retry::default());
    assert_eq!((proxy.get("/").status, endpoint.heads().len()), (503, 1));
}

#[test]
fn a_status_of_the_list_is_retried_on_another_endpoint() {
    let (bad, good) = (Scripted::answering(BUSY), Scripted::saying("good"));
    let proxy = proxy(&[&bad, &good], Retry { on: on(&[503]), ..Retry::default() });
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    let asked = u64::try_from(bad.heads().len()).unwrap();
    assert!(asked > 0, "twenty requests met only one of two endpoints");
    assert_eq!((good.heads().len(), retries(&proxy)), (20, asked));
    assert_eq!(proxy.ended(1, 200), 20, "what was retried is one request");
}

#[test]
fn a_status_that_is_not_of_the_list_is_shown() {
    let endpoint = Scripted::answering(BUSY);
    let proxy = proxy(&[&endpoint], Retry { on: on(&[502, 504]), ..Retry::default() });
    assert_eq!((proxy.get("/").status, endpoint.heads().len()), (503, 1));
}

#[test]
fn a_version_with_one_endpoint_is_asked_again_there() {
    let endpoint = recovering(2, BUSY);
    let proxy = proxy(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    assert_eq!((proxy.get("/").text(), endpoint.heads().len()), ("good", 3));
    assert_eq!(retries(&proxy), 2);
}

#[test]
fn a_request_that_needed_a_retry_counts_as_failed_once_and_the_endpoint_that_failed_it_too() {
    let endpoint = recovering(2, BUSY);
    let proxy = proxy(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    assert_eq!(proxy.get("/").status, 200);
    assert_evidence(&proxy, 1, 1);
    assert_eq!(proxy.endpoint_counts(1, 0), (3, 2));
    assert!(proxy.woken(), "a canary's failure wakes control");
    let snapshot = proxy.shared.live.load();
    let cells = &snapshot.services[0].versions[1].cells;
    assert_eq!(cells.sum(|cells| cells.errors(ErrorReason::HttpServerError)), 2);
}

#[test]
fn attempts_are_what_all_endpoints_see_of_one_request() {
    let endpoint = Scripted::answering(BUSY);
    for attempts in [1, 2, 5] {
        let before = endpoint.heads().len();
        let proxy = proxy(&[&endpoint], Retry { attempts, on: on(&[503]), ..Retry::default() });
        assert_eq!(proxy.get("/").status, 503);
        assert_eq!(endpoint.heads().len() - before, usize::try_from(attempts).unwrap());
        assert_evidence(&proxy, 1, 1);
    }
}

#[test]
fn when_no_attempt_is_better_the_first_answer_is_given() {
    let answers = ["HTTP/1.1 503 A\r\ncontent-length: 5\r\n\r\nfirst", BUSY, "this is not HTTP\r\n\r\n"];
    let asked = AtomicUsize::new(0);
    let endpoint = Scripted::start(move |wire| {
        while wire.request().is_some() {
            wire.send(answers[asked.fetch_add(1, Ordering::SeqCst)]);
        }
    });
    let proxy = proxy(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.text(), endpoint.heads().len()), (503, "first", 3));
}

#[test]
fn any_answer_is_better_than_none() {
    let endpoint = recovering(1, "");
    let bad = Scripted::start({
        let first = AtomicUsize::new(0);
        move |wire| {
            while wire.request().is_some() && first.fetch_add(1, Ordering::SeqCst) > 0 {
                wire.send(BUSY);
            }
        }
    });
    for (endpoint, status) in [(&endpoint, 200), (&bad, 503)] {
        let proxy =
            proxy(&[endpoint], Retry { on: RetryOn { reset: true, ..on(&[503]) }, ..Retry::default() });
        assert_eq!(proxy.get("/").status, status);
    }
}

#[test]
fn a_reset_is_retried_only_if_the_service_wants_it() {
    for (on, status) in [(on(&[]), 502), (reset(), 200)] {
        let endpoint = recovering(1, "");
        let proxy = proxy(&[&endpoint], Retry { on, ..Retry::default() });
        assert_eq!(proxy.get("/").status, status);
        assert_evidence(&proxy, 1, 1);
    }
}

#[test]
fn half_a_head_is_a_reset() {
    let asked = AtomicUsize::new(0);
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        wire.send(if first { "HTTP/1.1 200 O".to_owned() } else { ok("whole") });
    });
    let proxy = proxy(&[&endpoint], Retry { on: reset(), ..Retry::default() });
    assert_eq!(proxy.get("/").text(), "whole");
}

#[test]
fn once_the_head_was_passed_on_nothing_is_retried() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning");
    });
    let proxy = proxy(&[&endpoint], Retry { on: reset(), ..Retry::default() });
    let reply = proxy.get("/");
    assert_eq!((reply.whole, endpoint.heads().len()), (false, 1));
}

#[test]
fn what_is_not_safe_to_do_twice_is_retried_only_if_no_endpoint_saw_it() {
    let (bad, good) = (recovering(1, BUSY), Scripted::saying("good"));
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    let seen = proxy(&[&bad], Retry { on: on(&[503]), ..Retry::default() });
    assert_eq!((seen.ask(post).status, bad.heads().len()), (503, 1));

    let mut unseen = web(&[&good], Retry::default());
    unseen.versions[1] = crate::world::version("v2", &[nobody(), nobody(), good.address]);
    let unseen = Proxy::start(unseen);
    for _ in 0..10 {
        assert_eq!(unseen.ask(post).text(), "good");
    }
    assert_eq!(good.heads().len(), 10);
}

#[test]
fn methods_say_what_may_be_sent_again() {
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    for (methods, request, status) in [
        (vec![http::Method::POST], post, 200),
        (vec![http::Method::POST], GET, 503),
        (vec![http::Method::GET], GET, 200),
    ] {
        let endpoint = recovering(1, BUSY);
        let proxy = proxy(&[&endpoint], Retry { methods, on: on(&[503]), ..Retry::default() });
        assert_eq!(proxy.ask(request).status, status, "{request}");
    }
}

#[test]
fn without_connect_a_connection_that_fails_is_not_made_elsewhere() {
    let good = Scripted::saying("good");
    let mut web = web(&[&good], Retry { on: RetryOn { connect: false, ..on(&[]) }, ..Retry::default() });
    web.versions[1] = crate::world::version("v2", &[nobody(), good.address]);
    let proxy = Proxy::start(web);
    let statuses: Vec<_> = (0..40).map(|_| proxy.get("/").status).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_body_is_sent_again_byte_by_byte_up_to_64_kib_and_not_beyond() {
    for (size, status) in [(1, 200), (64 * 1024, 200), (64 * 1024 + 1, 503)] {
        let asked = AtomicUsize::new(0);
        let endpoint = Scripted::start(move |wire| {
            while let Some((_, body)) = wire.request() {
                let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
                wire.send(if first { BUSY.to_owned() } else { ok(std::str::from_utf8(&body).unwrap()) });
            }
        });
        let proxy = proxy(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
        let request = put(size);
        let reply = proxy.ask(&request);
        assert_eq!(reply.status, status, "{size}");
        assert!(status != 200 || request.ends_with(reply.text()), "the body of {size} arrived otherwise");
    }
}

#[test]
fn an_answer_that_comes_before_the_body_does_not_keep_it_from_being_sent_again() {
    let asked = AtomicUsize::new(0);
    let endpoint = Scripted::start(move |wire| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            wire.request_head();
            wire.send(BUSY);
            // Until the proxy lets go of it.
            wire.head();
        } else {
            let (_, body) = wire.request().unwrap();
            wire.send(ok(std::str::from_utf8(&body).unwrap()));
        }
    });
    let proxy = proxy(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab");
    eventually("the second attempt began", || endpoint.heads().len() == 2 || endpoint.connections() == 2);
    client.send("cd");
    assert_eq!(client.reply().text(), "abcd");
}

#[test]
fn an_attempt_that_takes_longer_than_per_try_is_made_elsewhere() {
    let (silent, good) = (silent(), Scripted::saying("good"));
    let per_try = Some(Duration::from_millis(200));
    let proxy = proxy(&[&silent, &good], Retry { per_try, ..Retry::default() });
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    let slow = u64::try_from(silent.heads().len()).unwrap();
    assert!(slow > 0, "twenty requests met only one of two endpoints");
    assert_evidence(&proxy, 20, slow);
    assert_eq!(proxy.endpoint_counts(1, 0), (slow, slow));
}

/// A proxy whose clock stands still, and the hand that moves it.
fn held(endpoints: &[&Scripted], retry: Retry) -> (Proxy, Arc<Manual>) {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    (Proxy::start_with(web(endpoints, retry), 1, clock, Duration::ZERO), hand)
}

#[test]
fn the_last_attempt_has_all_the_time_there_is() {
    let wanted = Arc::new(AtomicUsize::new(0));
    let is_wanted = wanted.clone();
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        if wire.number == 1 {
            eventually("the answer is wanted", || is_wanted.load(Ordering::SeqCst) == 1);
            wire.send(ok("late"));
        }
        wire.head();
    });
    let per_try = Some(Duration::from_secs(2));
    let (proxy, hand) = held(&[&endpoint], Retry { attempts: 2, per_try, ..Retry::default() });
    let mut client = proxy.client();
    client.send(GET);
    eventually("the first attempt", || endpoint.heads().len() == 1);
    eventually("the second attempt", || {
        hand.advance(Duration::from_millis(100));
        endpoint.heads().len() == 2
    });
    // Far beyond `per_try`, below `timeouts.response`.
    hand.advance(Duration::from_secs(20));
    wanted.store(1, Ordering::SeqCst);
    assert_eq!((client.reply().text(), endpoint.heads().len()), ("late", 2));
}

#[test]
fn what_can_not_be_sent_again_is_waited_for() {
    let answers = Arc::new(AtomicUsize::new(0));
    let wanted = answers.clone();
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        eventually("the answer is wanted", || wanted.load(Ordering::SeqCst) == 1);
        wire.send(ok("late"));
    });
    let per_try = Some(Duration::from_secs(2));
    for request in ["POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi".to_owned(), put(70_000)] {
        answers.store(0, Ordering::SeqCst);
        let before = endpoint.heads().len();
        let (proxy, hand) = held(&[&endpoint], Retry { per_try, ..Retry::default() });
        let mut client = proxy.client();
        client.send(&request);
        eventually("it was asked", || endpoint.heads().len() > before);
        hand.advance(Duration::from_secs(3));
        answers.store(1, Ordering::SeqCst);
        assert_eq!(client.reply().text(), "late");
    }
}

#[test]
fn the_pause_before_a_retry_is_within_its_bound() {
    let endpoint = recovering(2, BUSY);
    let (proxy, hand) = held(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    let mut client = proxy.client();
    client.send(GET);
    // The failure is evidence from the moment that the pause began.
    eventually("the first pause", || proxy.evidence().canary.failed == 1);
    hand.advance(Retry::FIRST_PAUSE);
    eventually("the second attempt", || endpoint.heads().len() == 2);
    eventually("the third attempt", || {
        hand.advance(Duration::from_micros(100));
        endpoint.heads().len() == 3
    });
    assert_eq!(client.reply().text(), "good");
}

#[test]
fn a_retry_that_would_come_after_the_time_of_the_whole_request_is_not_waited_for() {
    let endpoint = Scripted::answering(BUSY);
    let mut web = web(&[&endpoint], Retry { attempts: 10, on: on(&[503]), ..Retry::default() });
    web.policy.timeouts.request = Some(Duration::from_micros(1));
    let (clock, _hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    // The clock stands still: whoever waits waits for ever.
    let reply = proxy.get("/");
    assert_eq!((reply.status, endpoint.heads().len()), (503, 1));
}

#[test]
fn a_client_that_left_is_not_asked_for_again() {
    let endpoint = Scripted::answering(BUSY);
    let (proxy, hand) = held(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    let mut client = proxy.client();
    client.send(GET);
    eventually("the pause began", || proxy.evidence().canary.failed == 1);
    drop(client);
    eventually("the proxy saw it leave", || proxy.in_flight() == 0);
    hand.advance(Duration::from_secs(1));
    assert_eq!(proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").status, 503);
    assert_eq!(endpoint.heads().iter().filter(|head| head.starts_with("GET")).count(), 1);
    assert_eq!(proxy.ended(1, 499), 1);
}

/// How many of so many requests fail. The clock goes on a little while they wait: pauses end, but the window of the budget
/// (ten seconds) does not.
fn failures(proxy: &Proxy, hand: &Manual, requests: usize) -> usize {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| (0..requests / 10).filter(|_| proxy.get("/").status >= 500).count()))
            .collect();
        while !clients.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            hand.advance(Duration::from_micros(500));
            std::thread::park_timeout(Duration::from_millis(1));
        }
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
fn all_endpoints_failing_see_no_more_than_the_budget_allows() {
    const ASKED: usize = 600;
    for answer in [BUSY, ""] {
        let endpoints = [answer; 3].map(|answer| recovering(usize::MAX, answer));
        let retry = Retry {
            on: RetryOn { reset: true, ..on(&[503]) },
            attempts: 10,
            budget: 0.2,
            ..Retry::default()
        };
        let (proxy, hand) = held(&[&endpoints[0], &endpoints[1], &endpoints[2]], retry);
        assert_eq!(failures(&proxy, &hand, ASKED), ASKED, "{answer:?}: every client saw the failure");
        let seen: usize = endpoints.iter().map(|endpoint| endpoint.heads().len()).sum();
        let floor = usize::try_from(Budget::FLOOR * Budget::SECONDS).unwrap();
        let most = ASKED + ASKED / 5 + floor;
        assert!(seen <= most && seen > ASKED, "{answer:?}: {seen} of {most}");
        assert_eq!(retries(&proxy), u64::try_from(seen - ASKED).unwrap(), "{answer:?}");
    }
}

#[test]
fn the_repeat_after_a_connection_died_is_counted_in_the_budget_too() {
    let endpoints = [(); 3].map(|()| recovering(usize::MAX, ""));
    let retry = Retry { budget: 0.0, ..Retry::default() };
    // The clock stands still: all of it is in one window of ten seconds.
    let (proxy, _hand) = held(&[&endpoints[0], &endpoints[1], &endpoints[2]], retry);
    for _ in 0..150 {
        assert_eq!(proxy.get("/").status, 502);
    }
    let seen: usize = endpoints.iter().map(|endpoint| endpoint.heads().len()).sum();
    assert_eq!(seen, 150 + 100);
}

#[test]
fn a_budget_is_that_of_its_version_and_outlives_snapshots() {
    let endpoint = Scripted::answering(BUSY);
    let web = web(&[&endpoint], Retry { budget: 0.0, on: on(&[503]), attempts: 2, ..Retry::default() });
    let again = web.again();
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    assert_eq!(failures(&proxy, &hand, 70), 70);
    proxy.publish(again);
    assert_eq!(failures(&proxy, &hand, 70), 70);
    assert_eq!(endpoint.heads().len(), 140 + 100);
}

#[test]
fn a_canary_that_is_taken_back_during_the_pause_is_not_asked_again() {
    let endpoint = Scripted::answering(BUSY);
    let web = web(&[&endpoint], Retry { on: on(&[503]), ..Retry::default() });
    let mut aborted = web.again();
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    let mut client = proxy.client();
    client.send(GET);
    let evidence = proxy.shared.live.load().services[0].split.epoch.clone().unwrap();
    eventually("the pause began", || evidence.counts().canary.failed == 1);
    aborted.set_weight(0.0);
    proxy.publish(aborted);
    hand.advance(Retry::LONGEST_PAUSE);
    assert_eq!((client.reply().text(), endpoint.heads().len()), ("busy", 1));
}

#[test]
fn a_canary_is_retried_first_and_then_rescued() {
    let (stable, bad) = (Scripted::saying("stable"), Scripted::answering(BUSY));
    let mut web = Web::canary(&[stable.address], &[bad.address], 100.0);
    web.policy.rescue = Rescue::default();
    web.policy.retry = Retry { attempts: 2, on: on(&[503]), ..Retry::default() };
    let proxy = Proxy::start_with(web, 1, Clock::real(), Duration::ZERO);
    assert_eq!(proxy.get("/").text(), "stable");
    assert_eq!((bad.heads().len(), stable.heads().len(), retries(&proxy)), (2, 1, 1));
    assert_evidence(&proxy, 1, 1);
}

#[test]
fn what_a_retry_saved_needs_no_rescue() {
    let (stable, canary) = (Scripted::saying("stable"), recovering(1, BUSY));
    let mut web = Web::canary(&[stable.address], &[canary.address], 100.0);
    web.policy.rescue = Rescue::default();
    web.policy.retry = Retry { on: on(&[503]), ..Retry::default() };
    let proxy = Proxy::start_with(web, 1, Clock::real(), Duration::ZERO);
    assert_eq!((proxy.get("/").text(), stable.heads().len()), ("good", 0));
    assert_evidence(&proxy, 1, 1);
}
