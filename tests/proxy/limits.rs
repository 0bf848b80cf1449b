//! What clients may take: sizes, numbers, time. Whoever takes more is told so, and nobody else is blamed.

use std::sync::Arc;
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::Timestamp;
use adit::domain::stats::{ErrorReason, MethodLabel};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::endpoint::{Scripted, nobody, ok};
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/// A proxy whose time stands still until the test moves it.
fn held(web: Web) -> (Proxy, Arc<Manual>) {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    (Proxy::start_with(web, 1, clock, Duration::ZERO), hand)
}

/// Moves time on by 100 ms at a time until something is so, with a request of `bystander` each time: afterwards the proxy
/// has done all it had to do. How far it had to go, in seconds.
#[track_caller]
fn pass_time(hand: &Manual, bystander: &mut Wire, what: &str, is_so: impl Fn() -> bool) -> f64 {
    for passed in 0..1_000_u32 {
        if is_so() {
            return f64::from(passed) / 10.0;
        }
        hand.advance(Duration::from_millis(100));
        bystander.send(GET);
        assert_eq!(bystander.reply().status, 200);
    }
    panic!("still not so after 100 s: {what}");
}

fn unrouted(proxy: &Proxy, code: u16) -> u64 {
    let snapshot = proxy.shared.live.load();
    snapshot.unrouted.sum(|cells| MethodLabel::ALL.iter().map(|method| cells.requests(code, *method)).sum())
}

/// The status of a request over HTTP/2.
fn over_http2(proxy: &Proxy, request: Request<Empty<Bytes>>) -> StatusCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        // What the proxy says it takes is not what this client goes by.
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap().status()
    })
}

#[test]
fn a_head_that_is_too_large_is_refused_alike_by_both_protocols() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let fields = |count: usize, value: &str| -> Vec<(String, String)> {
        (0..count).map(|number| (format!("x-{number}"), value.to_owned())).collect()
    };
    let crumbs: Vec<_> = (0..120).map(|number| ("cookie".to_owned(), format!("c{number}=1"))).collect();
    let long = format!("/{}", "a".repeat(17_000));
    for (what, target, fields, expected) in [
        ("an ordinary one", "/", fields(20, "v"), 200),
        ("many fields", "/", fields(110, "v"), 431),
        ("crumbs of a cookie", "/", crumbs, 431),
        ("a large field", "/", fields(1, &"v".repeat(32_800)), 431),
        ("fields whose overhead counts", "/", fields(90, &"v".repeat(335)), 431),
        ("fields that just fit", "/", fields(90, &"v".repeat(320)), 200),
        ("a long target", long.as_str(), Vec::new(), 414),
    ] {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let reply = proxy.ask(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n{lines}\r\n"));
        assert_eq!(reply.status, expected, "{what}, HTTP/1.1");
        let mut request = Request::get(format!("http://a{target}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let status = over_http2(&proxy, request.body(Empty::new()).unwrap());
        assert_eq!(status, expected, "{what}, HTTP/2");
    }
    assert_eq!(endpoint.heads().len(), 4);
}

#[test]
fn what_can_not_be_read_is_counted() {
    let proxy = Proxy::start(Web::at(&[nobody()]));
    let many: String = (0..110).map(|number| format!("x-{number}: v\r\n")).collect();
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(17_000)), 414),
    ] {
        let mut client = proxy.client();
        client.send(head);
        assert_eq!(client.reply().status, status);
        assert!(client.is_closed(), "after {status}");
        eventually("counted", || unrouted(&proxy, status) == 1);
    }
    let snapshot = proxy.shared.live.load();
    assert_eq!(snapshot.unrouted.sum(|cells| cells.errors(ErrorReason::HttpRequestError)), 3);
}

fn small_bodies(endpoint: &Scripted) -> Web {
    let mut web = Web::canary(&[nobody()], &[endpoint.address], 100.0);
    web.policy.limits.max_body = Some(10);
    web
}

#[test]
fn a_body_that_says_it_is_too_large_reaches_no_endpoint() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(small_bodies(&endpoint));
    let post = |length: usize| {
        proxy.ask(&format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ))
    };
    assert_eq!(post(10).status, 200);
    assert_eq!(post(11).status, 413);
    assert_eq!(endpoint.heads().len(), 1);
    assert_eq!((proxy.evidence().canary.routed, proxy.evidence().canary.failed), (1, 0));
}

#[test]
fn a_body_that_grows_too_large_is_cut_off_and_the_client_is_blamed() {
    let (told, ended) = std::sync::mpsc::sync_channel(1);
    let endpoint = Scripted::start(move |wire| {
        wire.request_head();
        // Until the connection ends: never the end of the body.
        let mut seen = Vec::new();
        let _cut = std::io::Read::read_to_end(&mut wire.stream, &mut seen);
        told.send(seen).unwrap();
    });
    let proxy = Proxy::start(small_bodies(&endpoint));
    let mut client = proxy.client();
    client.send(CHUNKED);
    client.send("6\r\nfirst.\r\n");
    eventually("the endpoint was asked", || !endpoint.heads().is_empty());
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.reply_to("POST").status, 413);
    let seen = ended.recv().unwrap();
    assert!(!seen.windows(5).any(|five| five == b"0\r\n\r\n"), "the endpoint saw a whole body");
    assert_eq!((proxy.endpoint_counts(1, 0).1, proxy.evidence().canary.failed), (0, 0));
}

#[test]
fn trailers_are_bounded() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        while wire.head().is_some() {}
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let trailer = format!("x-large: {}\r\n", "v".repeat(8_200));
    let reply = proxy.ask(&format!("{CHUNKED}1\r\nx\r\n0\r\n{trailer}\r\n"));
    assert_eq!(reply.status, 431, "HTTP/1.1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-large"),
            http::HeaderValue::try_from("v".repeat(8_200)).unwrap(),
        )]);
        let frames = [Frame::data(Bytes::from_static(b"x")), Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        sender.send_request(Request::post("http://a/").body(body).unwrap()).await.unwrap().status()
    });
    assert_eq!(status, 431, "HTTP/2");
    assert_eq!(proxy.endpoint_counts(0, 0).1, 0);
}

#[test]
fn a_body_that_stalls_is_given_up_after_thirty_seconds_whatever_the_protocol() {
    let endpoint = Scripted::start(|wire| {
        while let Some(head) = wire.request_head() {
            if head.starts_with("GET") {
                wire.send(ok("hello"));
            }
        }
    });
    let (proxy, hand) = held(Web::of(&[&endpoint]));
    let mut bystander = proxy.client();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nbeginning");
    eventually("asked", || !endpoint.heads().is_empty());
    let passed = pass_time(&hand, &mut bystander, "408", || proxy.ended(0, 408) == 1);
    assert!((30.0..31.0).contains(&passed), "after {passed} s");
    assert_eq!(client.reply_to("POST").status, 408);
    // The same over HTTP/2: HEADERS of a POST by prior knowledge, and then nothing.
    let mut client = proxy.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    client.send([0, 0, 6, 1, 4, 0, 0, 0, 1, 0x83, 0x86, 0x84, 0x41, 0x01, b'a']);
    eventually("asked again", || {
        endpoint.heads().iter().filter(|head| head.starts_with("POST")).count() == 2
    });
    let passed = pass_time(&hand, &mut bystander, "408 again", || proxy.ended(0, 408) == 2);
    assert!((30.0..31.0).contains(&passed), "after {passed} s");
    assert_eq!(proxy.endpoint_counts(0, 0).1, 0, "whose client stalls is not blamed");
}

#[test]
fn a_silent_http2_client_is_let_go_when_it_has_been_idle_for_too_long() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.limits.idle = Duration::from_secs(20);
    let (proxy, hand) = held(web);
    let mut bystander = proxy.client();
    bystander.send(GET);
    assert_eq!(bystander.reply().status, 200);
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    let mut client = proxy.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    eventually("connected", || vitals.connections() == 2);
    let passed = pass_time(&hand, &mut bystander, "let go", || vitals.connections() == 1);
    assert!((18.0..25.0).contains(&passed), "after {passed} s");
    client.swallow(usize::MAX);
}

#[test]
fn a_client_that_sends_too_little_is_given_up_and_one_that_pauses_is_not() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.policy.limits.min_rate = Some(100);
    let (proxy, hand) = held(web);
    let mut bystander = proxy.client();
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n";
    let (mut slow, mut pausing) = (proxy.client(), proxy.client());
    slow.send(post);
    pausing.send(post);
    pausing.send("x".repeat(2500));
    eventually("both are under way", || proxy.in_flight() == 2);
    let passed = pass_time(&hand, &mut bystander, "408", || proxy.ended(0, 408) == 1);
    assert!((9.0..12.0).contains(&passed), "after {passed} s");
    assert_eq!(slow.reply_to("POST").status, 408);
    pausing.send("x".repeat(2500));
    assert_eq!(pausing.reply_to("POST").status, 200, "it had sent more than it had to");
}

#[test]
fn the_last_request_of_a_connection_says_so() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.limits.requests = 3;
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(GET);
        assert_eq!(client.reply().header("connection"), None);
    }
    client.send(GET);
    let last = client.reply();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn an_old_connection_is_told_with_an_answer() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.limits.age = Duration::from_secs(10);
    web.limits.idle = Duration::from_secs(60);
    let (proxy, hand) = held(web);
    let (mut client, mut bystander) = (proxy.client(), proxy.client());
    client.send(GET);
    assert_eq!(client.reply().header("connection"), None);
    // The bystander's connection is as old, and is asked all the time: it ends first.
    let mut passed = 0;
    while !bystander_was_told(&mut bystander) {
        hand.advance(Duration::from_millis(100));
        passed += 1;
        assert!(passed < 200, "never told");
    }
    assert!((90..125).contains(&passed), "after {passed} tenths of a second");
    hand.advance(Duration::from_secs(3));
    let mut newcomer = proxy.client();
    for _ in 0..20 {
        hand.advance(Duration::from_millis(100));
        newcomer.send(GET);
        assert_eq!(newcomer.reply().status, 200);
    }
    client.send(GET);
    let last = client.reply();
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close")),
        "it was left alone until it asked"
    );
}

fn bystander_was_told(bystander: &mut Wire) -> bool {
    bystander.send(GET);
    bystander.reply().header("connection") == Some("close")
}

#[test]
fn a_connection_that_dozed_off_is_served_as_before() {
    let endpoint = Scripted::saying("hello");
    let (proxy, hand) = held(Web::of(&[&endpoint]));
    let (mut client, mut bystander) = (proxy.client(), proxy.client());
    let half = "GET /half HTTP/1.1\r\n";
    for request in [GET, GET, half] {
        client.send(GET);
        assert_eq!(client.reply().text(), "hello");
        for _ in 0..30 {
            hand.advance(Duration::from_millis(100));
            bystander.send(GET);
            assert_eq!(bystander.reply().status, 200);
        }
        client.send(request);
        if request == half {
            client.send("host: a\r\n\r\n");
        }
        assert_eq!(client.reply().text(), "hello");
    }
    drop(client);
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    eventually("gone", || vitals.connections() == 1);
}

#[test]
fn a_head_that_began_behind_another_request_has_its_time_and_no_more() {
    let endpoint = Scripted::saying("hello");
    let (proxy, hand) = held(Web::of(&[&endpoint]));
    let (mut client, mut bystander) = (proxy.client(), proxy.client());
    bystander.send(GET);
    assert_eq!(bystander.reply().status, 200);
    client.send(format!("{GET}GET /second HT"));
    assert_eq!(client.reply().text(), "hello");
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    let passed = pass_time(&hand, &mut bystander, "let go", || vitals.connections() == 1);
    assert!((10.0..15.0).contains(&passed), "after {passed} s");
    assert!(client.is_closed());
}

#[test]
fn a_client_has_so_many_connections_and_no_more() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.limits.connections_per_client = Some(2);
    let proxy = Proxy::start_with(web, 2, Clock::real(), Duration::ZERO);
    let mut clients = [proxy.client(), proxy.client()];
    for client in &mut clients {
        client.send(GET);
        assert_eq!(client.reply().status, 200);
    }
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    assert!(proxy.client().is_closed(), "one too many");
    assert_eq!(vitals.turned_away()[0].1, 1);
    let [first, _second] = clients;
    drop(first);
    eventually("one left", || vitals.connections() == 1);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn connections_beyond_the_limit_wait_until_another_ends() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.limits.connections = 2;
    let proxy = Proxy::start_with(web, 1, Clock::real(), Duration::ZERO);
    let mut clients = vec![proxy.client(), proxy.client()];
    for client in &mut clients {
        client.send(GET);
        assert_eq!(client.reply().status, 200);
    }
    let mut third = proxy.client();
    third.send(GET);
    clients[1].send(GET);
    assert_eq!(clients[1].reply().status, 200, "who is in is served");
    assert_eq!(endpoint.heads().len(), 3, "who waits is not");
    clients.pop();
    assert_eq!(third.reply().status, 200);
}
