//! A service that is held: its requests wait, bounded in number and time.

use std::sync::Arc;
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::routing::{Hold, HoldTerms};

use crate::endpoint::Scripted;
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn held(web: &Web, terms: HoldTerms) -> (Web, Arc<Hold>) {
    let hold = Arc::new(Hold::new(terms));
    let mut held = web.again();
    held.hold = Some(hold.clone());
    (held, hold)
}

fn asking(proxy: &Proxy, clients: usize) -> Vec<Wire> {
    (0..clients)
        .map(|_| {
            let mut client = proxy.client();
            client.send(GET);
            client
        })
        .collect()
}

#[test]
fn a_hundred_that_wait_all_go_on_in_the_snapshot_of_the_release() {
    let (v1, v2) = (Scripted::saying("v1"), Scripted::saying("v2"));
    let (web, hold) = held(&Web::of(&[&v1]), HoldTerms::default());
    let (clock, _hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(web, 2, clock, Duration::from_secs(8));
    let mut clients = asking(&proxy, 100);
    eventually("all wait", || hold.waiting() == 100);
    assert!(v1.heads().is_empty());
    proxy.publish(Web::of(&[&v2]));
    for client in &mut clients {
        assert_eq!(client.reply().text(), "v2");
    }
    eventually("nobody waits", || hold.waiting() == 0);
}

#[test]
fn another_snapshot_lets_nobody_go() {
    let v1 = Scripted::saying("v1");
    let (web, hold) = held(&Web::of(&[&v1]), HoldTerms::default());
    let again = web.again();
    let proxy = Proxy::start(web);
    let mut clients = asking(&proxy, 1);
    eventually("it waits", || hold.waiting() == 1);
    proxy.publish(again);
    // Asked after the new snapshot, and waits like the first.
    clients.extend(asking(&proxy, 1));
    eventually("both wait", || hold.waiting() == 2);
    assert!(v1.heads().is_empty());
}

#[test]
fn whoever_is_one_too_many_is_told_to_come_back() {
    let v1 = Scripted::saying("v1");
    let (web, hold) = held(&Web::of(&[&v1]), HoldTerms { max_waiting: 2, ..HoldTerms::default() });
    let proxy = Proxy::start(web);
    let clients = asking(&proxy, 2);
    eventually("two wait", || hold.waiting() == 2);
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    drop(clients);
    eventually("who leaves frees the place", || hold.waiting() == 0);
}

#[test]
fn nobody_waits_for_longer_than_the_hold_says() {
    let v1 = Scripted::saying("v1");
    let (web, hold) = held(&Web::of(&[&v1]), HoldTerms::default());
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(web, 1, clock, Duration::from_secs(8));
    let mut clients = asking(&proxy, 1);
    eventually("it waits", || hold.waiting() == 1);
    hand.advance(Duration::from_secs(31));
    let reply = clients[0].reply();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
}

#[test]
fn a_shutdown_answers_those_who_wait_at_once() {
    let v1 = Scripted::saying("v1");
    let (web, hold) = held(&Web::of(&[&v1]), HoldTerms::default());
    let mut proxy = Proxy::start(web);
    let mut clients = asking(&proxy, 1);
    eventually("it waits", || hold.waiting() == 1);
    let workers = proxy.workers.take().unwrap();
    workers.drain();
    assert_eq!(clients[0].reply().status, 503);
    workers.join();
}
