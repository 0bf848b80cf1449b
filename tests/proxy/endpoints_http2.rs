//! Endpoints that are spoken to in HTTP/2.

use adit::domain::routing::{Connection, Protocol};
use bytes::Bytes;
use h2::server::Builder;

use crate::endpoint::Scripted;
use crate::frames::{Frames, Speaker, read, say};
use crate::world::{Proxy, Web, eventually};

/// A service whose endpoints are spoken to in HTTP/2.
fn web(addresses: &[std::net::SocketAddr]) -> Web {
    let mut web = Web::at(addresses);
    web.policy.connection = Connection { protocol: Protocol::Http2, tls: None };
    web
}

fn hello() -> Speaker {
    Speaker::start(Builder::new(), |_, respond| async { say(respond, "hello") })
}

#[test]
fn a_request_is_passed_on_in_http2() {
    let endpoint = Speaker::start(Builder::new(), |request, respond| async {
        let body = read(request.into_body()).await.unwrap_or_default();
        say(respond, Bytes::from([b"got ".to_vec(), body].concat()));
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    let reply = proxy.ask(
        "POST /a?b HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\nconnection: x-hop\r\nx-hop: 1\r\nte: trailers\r\n\r\nhello",
    );
    assert_eq!((reply.status, reply.text()), (200, "got hello"));
    let request = &endpoint.requests()[0];
    assert_eq!(request.uri(), "http://shop.example/a?b");
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!((header("te"), header("x-forwarded-host")), (Some("trailers"), Some("shop.example")));
    assert_eq!((header("host"), header("connection"), header("x-hop")), (None, None, None));
}

#[test]
fn many_requests_share_one_connection() {
    let endpoint = hello();
    let proxy = Proxy::start(web(&[endpoint.address]));
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(proxy.get("/").text(), "hello"));
        }
    });
    assert_eq!((endpoint.requests().len(), endpoint.connections()), (50, 1));
}

#[test]
fn an_answer_without_a_body_is_whole() {
    let endpoint = Speaker::start(Builder::new(), |_, mut respond| async move {
        let answer = http::Response::builder().status(204).body(()).unwrap();
        respond.send_response(answer, true).unwrap();
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.whole), (204, true));
    assert_eq!(proxy.ended(0, 204), 1);
}

#[test]
fn a_request_that_a_goaway_leaves_unprocessed_goes_to_another_connection_whatever_its_method() {
    let endpoint = Scripted::start(|wire| {
        let number = wire.number;
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            if number == 0 && stream > 1 {
                frames.goaway(1, h2::Reason::NO_ERROR);
            } else {
                frames.answer(stream, "hello");
            }
        }
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    assert_eq!(proxy.get("/").text(), "hello");
    let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    assert_eq!(endpoint.connections(), 2);
    eventually("counted", || proxy.endpoint_counts(0, 0) == (2, 0));
}
