//! Beginning and end: ports in use, draining, silent clients, panics.

use std::sync::Arc;
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::Timestamp;
use adit::domain::stats::PerWorker;
use adit::proxy::{Listener, Workers};

use crate::endpoint::{Scripted, ok};
use crate::world::{Proxy, Web, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const DRAIN: Duration = Duration::from_secs(8);

/// A proxy whose time stands still until the test moves it.
fn held(web: Web) -> (Proxy, Arc<Manual>) {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    (Proxy::start_with(web, 1, clock, DRAIN), hand)
}

/// Moves time on by 100 ms at a time until something is so; `beat` gives the proxy the time to see each moment. How
/// far it had to go, in seconds.
#[track_caller]
fn pass_time(hand: &Manual, what: &str, mut beat: impl FnMut(), is_so: impl Fn() -> bool) -> f64 {
    for passed in 0..2_000_u32 {
        if is_so() {
            return f64::from(passed) / 10.0;
        }
        hand.advance(Duration::from_millis(100));
        beat();
    }
    panic!("still not so after 200 s: {what}");
}

/// A client whose request comes back only after the proxy did all it had to do before.
fn bystander(proxy: &Proxy) -> impl FnMut() {
    let mut client = proxy.client();
    move || {
        client.send(GET);
        assert_eq!(client.reply().text(), "hello");
    }
}

/// Answers when told to.
fn gated() -> (Scripted, std::sync::mpsc::SyncSender<()>) {
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let endpoint = Scripted::start(move |wire| {
        while wire.request().is_some() {
            if gate.lock().unwrap().recv().is_err() {
                return;
            }
            wire.send(ok("late"));
        }
    });
    (endpoint, go)
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let error =
        Workers::bind(vec![Listener { address: proxy.address, proxy_protocol: false }], 2).unwrap_err();
    assert_eq!(error.address, proxy.address);
    let told = error.to_string();
    assert!(told.starts_with(&format!("can't listen on {}", proxy.address)), "{told}");
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn draining_closes_idle_connections_and_lets_requests_end() {
    let (endpoint, go) = gated();
    let mut proxy = Proxy::start(Web::of(&[&endpoint]));
    let (mut idle, mut silent, mut busy) = (proxy.client(), proxy.client(), proxy.client());
    go.send(()).unwrap();
    idle.send(GET);
    assert_eq!(idle.reply().text(), "late");
    busy.send(GET);
    eventually("the endpoint was asked", || endpoint.heads().len() == 2);
    let workers = proxy.workers.take().unwrap();
    eventually("all are connected", || workers.vitals().connections() == 3);
    workers.drain();
    assert!(idle.is_closed());
    assert!(silent.is_closed());
    go.send(()).unwrap();
    let reply = busy.reply();
    assert_eq!((reply.text(), reply.header("connection")), ("late", Some("close")));
    assert!(busy.is_closed());
    workers.join();
    assert!(std::net::TcpStream::connect(proxy.address).is_err(), "the port is still open");
}

#[test]
fn draining_ends_what_does_not_end_by_itself() {
    let (endpoint, _go) = gated();
    let (mut proxy, hand) = held(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    let workers = proxy.workers.take().unwrap();
    let vitals = workers.vitals();
    workers.drain();
    // Nobody is served any more, so nobody can say that the moment was seen: wait a little.
    let beat = || std::thread::park_timeout(Duration::from_millis(2));
    let passed = pass_time(&hand, "the worker ended", beat, || vitals.connections() == 0);
    assert!(passed >= 7.9, "after {passed} s");
    assert!(client.is_closed());
    workers.join();
    let ended = proxy.ended(0, 499);
    assert_eq!((ended, proxy.endpoint_counts(0, 0)), (1, (0, 0)), "nobody's fault");
}

#[test]
fn stopping_ends_everything_at_once() {
    let (endpoint, _go) = gated();
    let mut proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    let workers = proxy.workers.take().unwrap();
    workers.drain();
    workers.stop();
    workers.join();
    assert!(client.is_closed());
}

#[test]
fn a_request_that_was_sent_before_the_drain_is_served() {
    let endpoint = Scripted::saying("hello");
    let mut proxy = Proxy::start(Web::of(&[&endpoint]));
    let workers = proxy.workers.take().unwrap();
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    workers.drain();
    for mut client in clients {
        assert_eq!(client.reply().text(), "hello");
    }
    workers.join();
}

#[test]
fn a_client_that_says_nothing_is_let_go_after_five_seconds() {
    let endpoint = Scripted::saying("hello");
    let (proxy, hand) = held(Web::of(&[&endpoint]));
    let mut beat = bystander(&proxy);
    beat();
    for beginning in ["", "P", "PRI * HTT", "GET / HTTP/1.1\r\nho"] {
        let mut client = proxy.client();
        let vitals = proxy.workers.as_ref().unwrap().vitals();
        client.send(beginning);
        eventually("connected", || vitals.connections() == 2);
        let passed = pass_time(&hand, "let go", &mut beat, || vitals.connections() == 1);
        let limit = if beginning.is_empty() { 5.0..6.0 } else { 10.0..11.5 };
        assert!(limit.contains(&passed), "{beginning:?}: after {passed} s");
        assert!(client.is_closed());
    }
}

#[test]
fn an_idle_client_is_let_go_after_75_seconds() {
    let endpoint = Scripted::saying("hello");
    let (proxy, hand) = held(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    assert_eq!(client.reply().text(), "hello");
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    let mut beat = bystander(&proxy);
    beat();
    let passed = pass_time(&hand, "let go", beat, || vitals.connections() == 1);
    assert!((67.5..84.0).contains(&passed), "after {passed} s");
}

#[test]
fn a_panic_ends_its_connection_and_nothing_else() {
    let endpoint = Scripted::saying("hello");
    let web = Web::of(&[&endpoint]);
    let mut broken = web.again();
    // Counters for no worker at all: touching them panics.
    broken.versions[0].cells = Arc::new(PerWorker::new(0));
    let healthy = web.again();
    let proxy = Proxy::start(web);
    let mut bystander = proxy.client();
    bystander.send(GET);
    assert_eq!(bystander.reply().text(), "hello");
    proxy.publish(broken);
    let mut client = proxy.client();
    client.send(GET);
    assert!(client.is_closed());
    eventually("counted", || proxy.workers.as_ref().unwrap().vitals().panics() == 1);
    proxy.publish(healthy);
    bystander.send(GET);
    assert_eq!(bystander.reply().text(), "hello");
    assert_eq!(proxy.get("/").text(), "hello");
}
