//! HTTP/2 without TLS, by prior knowledge.

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::routing::Spoken;
use adit::domain::stats::{ArmCounts, MethodLabel};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use std::time::Duration;

use crate::endpoint::{Scripted, nobody};
use crate::wire::header;
use crate::world::{Proxy, Web, eventually};

type Sender<B> = http2::SendRequest<B>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect<B>(proxy: &Proxy) -> Sender<B>
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn an_http2_request_becomes_an_http1_request() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    runtime().block_on(async {
        let mut sender = connect(&proxy).await;
        let request = Request::post("http://shop.example/a?b")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::new(Bytes::from_static(b"body")));
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, "hello");
    });
    let head = &endpoint.heads()[0];
    assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!((header(head, "host"), header(head, "cookie")), (Some("shop.example"), Some("a=1; b=2")));
}

#[test]
fn many_streams_share_one_connection() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    runtime().block_on(async {
        let sender: Sender<Empty<Bytes>> = connect(&proxy).await;
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let mut sender = sender.clone();
            streams.spawn(async move {
                let request = Request::get("http://a/").body(Empty::new()).unwrap();
                text(sender.send_request(request).await.unwrap()).await
            });
        }
        assert!(streams.join_all().await.iter().all(|text| text == "hello"));
    });
    assert_eq!(proxy.ended(0, 200), 200);
}

#[test]
fn a_stream_that_the_client_resets_is_nobodys_failure() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.head();
    });
    let proxy = Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0));
    runtime().block_on(async {
        let mut sender: Sender<Empty<Bytes>> = connect(&proxy).await;
        let request = Request::get("http://a/").body(Empty::new()).unwrap();
        let response = sender.send_request(request);
        tokio::select! {
            _ = response => panic!("there is no answer"),
            () = asked(&endpoint) => {}
        }
        // The response future is gone: the stream is reset, the connection stays.
        while proxy.in_flight() != 0 {
            tokio::task::yield_now().await;
        }
        sender.ready().await.unwrap();
    });
    let evidence = proxy.evidence().canary;
    assert_eq!(evidence, ArmCounts { routed: 1, completed: 0, failed: 0 });
    assert_eq!((proxy.endpoint_counts(1, 0), proxy.ended(1, 499)), ((0, 0), 1));
}

async fn asked(endpoint: &Scripted) {
    while endpoint.heads().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn our_own_errors_reach_http2_clients() {
    let proxy = Proxy::start(Web::at(&[]));
    runtime().block_on(async {
        let mut sender: Sender<Empty<Bytes>> = connect(&proxy).await;
        let request = Request::get("http://a/").body(Empty::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()),
            (503, "1")
        );
    });
}

#[test]
fn draining_says_goaway_and_lets_streams_end() {
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        gate.lock().unwrap().recv().unwrap();
        wire.send(crate::endpoint::ok("late"));
    });
    let mut proxy = Proxy::start(Web::of(&[&endpoint]));
    let workers = proxy.workers.take().unwrap();
    runtime().block_on(async {
        let mut sender: Sender<Empty<Bytes>> = connect(&proxy).await;
        let request = || Request::get("http://a/").body(Empty::new()).unwrap();
        let response = tokio::spawn(sender.send_request(request()));
        asked(&endpoint).await;
        workers.drain();
        go.send(()).unwrap();
        assert_eq!(text(response.await.unwrap().unwrap()).await, "late");
        // The client would like to keep the connection.
        while sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    workers.join();
    let snapshot = proxy.shared.live.load();
    let cells = &snapshot.services[0].versions[0].cells;
    eventually("counted", || cells.sum(|cells| cells.requests(200, MethodLabel::Get)) == 1);
}

#[test]
fn a_stream_whose_client_takes_nothing_is_reset_and_its_neighbours_go_on() {
    const LENGTH: usize = 10_000_000;
    let endpoint = Scripted::start(|wire| {
        while let Some((head, _)) = wire.request() {
            if head.starts_with("GET /large") {
                wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"));
                wire.send(vec![b'x'; LENGTH]);
            } else {
                wire.send(crate::endpoint::ok("hello"));
            }
        }
    });
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(Web::of(&[&endpoint]), 1, clock, Duration::ZERO);
    runtime().block_on(async {
        let mut sender: Sender<Empty<Bytes>> = connect(&proxy).await;
        let get = |path: &str| Request::get(format!("http://a{path}")).body(Empty::new()).unwrap();
        let held = sender.send_request(get("/large")).await.unwrap();
        let mut passed = 0;
        while proxy.in_flight() != 0 {
            // Requests in between keep the connection itself from standing still.
            assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
            hand.advance(Duration::from_millis(100));
            passed += 1;
        }
        assert!((600..660).contains(&passed), "after {passed} tenths of a second");
        assert!(held.into_body().collect().await.is_err());
        assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
    });
    assert_eq!(proxy.ended(0, 499), 1);
}

#[test]
fn a_listener_for_one_protocol_takes_no_other() {
    let endpoint = Scripted::saying("hello");
    let only_http2 = Proxy::start_speaking(Web::of(&[&endpoint]), Spoken::Http2);
    assert_eq!(only_http2.get("/").status, 505);
    runtime().block_on(async {
        let mut sender: Sender<Empty<Bytes>> = connect(&only_http2).await;
        let request = Request::get("http://a/").body(Empty::new()).unwrap();
        assert_eq!(text(sender.send_request(request).await.unwrap()).await, "hello");
    });
    let only_http1 = Proxy::start_speaking(Web::of(&[&endpoint]), Spoken::Http1);
    assert_eq!(only_http1.get("/").status, 200);
    let mut client = only_http1.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    while let Some(byte) = client.bytes(1) {
        assert!(byte[0].is_ascii(), "no frames: {byte:?}");
    }
}
