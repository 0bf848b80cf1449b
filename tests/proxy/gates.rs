//! A service that answers only so many requests at once: others wait in order, or are told to come back.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;

use crate::endpoint::{Scripted, nobody, ok};
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually};

/// Answers one request for each `()` that is sent, and says what was asked for.
fn gated() -> (Scripted, SyncSender<()>) {
    let (go, gate) = sync_channel::<()>(100);
    let gate = Arc::new(Mutex::new(gate));
    let endpoint = Scripted::start(move |wire| {
        while let Some((head, _)) = wire.request() {
            if gate.lock().unwrap().recv().is_err() {
                return;
            }
            wire.send(ok(head.split(' ').nth(1).unwrap()));
        }
    });
    (endpoint, go)
}

fn limited(endpoint: &Scripted, in_flight: u32, queue: u32) -> Web {
    let mut web = Web::canary(&[nobody()], &[endpoint.address], 100.0);
    web.policy.limits.max_in_flight = Some(in_flight);
    web.policy.limits.queue = queue;
    web
}

fn asking(proxy: &Proxy, path: &str) -> Wire {
    let mut client = proxy.client();
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    client
}

#[test]
fn no_more_are_in_flight_than_may_be_over_all_workers() {
    let (endpoint, go) = gated();
    let (clock, _hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(limited(&endpoint, 3, 100), 2, clock, Duration::ZERO);
    let mut clients: Vec<_> = (0..20).map(|_| asking(&proxy, "/")).collect();
    eventually("as many as may be are asked", || endpoint.heads().len() == 3);
    for answered in 1..=20_usize {
        assert!(proxy.in_flight() <= 3, "{} in flight", proxy.in_flight());
        go.send(()).unwrap();
        let expected = (answered + 3).min(20);
        eventually("the next one's turn", || endpoint.heads().len() == expected);
    }
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn who_waits_is_served_in_the_order_of_coming_and_who_leaves_gives_up_its_place() {
    let (endpoint, go) = gated();
    let proxy = Proxy::start(limited(&endpoint, 1, 3));
    let mut first = asking(&proxy, "/first");
    eventually("one is asked", || endpoint.heads().len() == 1);
    // Each one waits before the next comes: what is full refuses, so refusals tell how many wait.
    let waiting = ["/a", "/b", "/c"].map(|path| {
        let client = asking(&proxy, path);
        // Same worker, so this one has been seen once a later request was answered.
        assert_eq!(proxy.ask("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").status, 400);
        client
    });
    for _ in 0..3 {
        assert_eq!(proxy.get("/d").status, 503, "the queue is full");
    }
    let [mut a, b, mut c] = waiting;
    drop(b);
    eventually("who left is gone", || {
        let vitals = proxy.workers.as_ref().unwrap().vitals();
        vitals.connections() == 3
    });
    let mut e = asking(&proxy, "/e");
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").status, 400);
    for (client, path) in [(&mut first, "/first"), (&mut a, "/a"), (&mut c, "/c"), (&mut e, "/e")] {
        go.send(()).unwrap();
        assert_eq!(client.reply().text(), path);
    }
    let asked: Vec<_> =
        endpoint.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(asked, ["/first", "/a", "/c", "/e"]);
}

#[test]
fn nobody_waits_for_longer_than_the_queue_says_and_no_version_is_blamed() {
    let (endpoint, go) = gated();
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(limited(&endpoint, 1, 10), 1, clock, Duration::ZERO);
    let mut first = asking(&proxy, "/first");
    eventually("one is asked", || endpoint.heads().len() == 1);
    let mut second = asking(&proxy, "/second");
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").status, 400);
    hand.advance(Duration::from_millis(1001));
    let reply = second.reply();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.header("proxy-status"), Some("adit; error=connection_limit_reached"));
    go.send(()).unwrap();
    assert_eq!(first.reply().status, 200);
    let canary = proxy.evidence().canary;
    assert_eq!((canary.routed, canary.completed, canary.failed), (1, 1, 0));
    assert_eq!(proxy.endpoint_counts(1, 0), (1, 0));
}

#[test]
fn a_reload_changes_how_many_may_be_in_flight_and_forgets_none_that_are() {
    let (endpoint, go) = gated();
    let web = limited(&endpoint, 1, 0);
    let mut wider = web.again();
    let narrow = web.again();
    wider.policy.limits.max_in_flight = Some(2);
    let proxy = Proxy::start(web);
    let mut first = asking(&proxy, "/first");
    eventually("one is asked", || endpoint.heads().len() == 1);
    assert_eq!(proxy.get("/x").status, 503);
    proxy.publish(wider);
    let mut second = asking(&proxy, "/second");
    eventually("two are asked", || endpoint.heads().len() == 2);
    assert_eq!(proxy.get("/x").status, 503);
    proxy.publish(narrow);
    assert_eq!(proxy.get("/x").status, 503);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!((first.reply().status, second.reply().status), (200, 200));
    eventually("both have ended", || proxy.in_flight() == 0);
    let mut third = asking(&proxy, "/third");
    eventually("three were asked", || endpoint.heads().len() == 3);
    assert_eq!(proxy.get("/x").status, 503);
    go.send(()).unwrap();
    assert_eq!(third.reply().status, 200);
}
