//! Bodies, both ways: framing, streaming, backpressure.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::endpoint::{Scripted, ok};
use crate::wire::header;
use crate::world::{Proxy, Web, eventually};

const MIB: usize = 1024 * 1024;

/// Says how the body came, and what it was.
fn echo() -> Scripted {
    Scripted::start(|wire| {
        while let Some((head, body)) = wire.request() {
            let length = header(&head, "content-length").unwrap_or("none");
            let coding = header(&head, "transfer-encoding").unwrap_or("none");
            let body = String::from_utf8(body).unwrap();
            wire.send(ok(&format!("{length} {coding} {body}")));
        }
    })
}

#[test]
fn a_request_keeps_its_framing() {
    let endpoint = echo();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for (framing, seen) in [
        ("content-length: 5\r\n\r\nhello", "5 none hello"),
        ("content-length: 0\r\n\r\n", "0 none "),
        ("transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "none chunked hello"),
        ("transfer-encoding: chunked\r\n\r\n0\r\n\r\n", "none chunked "),
    ] {
        assert_eq!(proxy.ask(&format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}")).text(), seen, "{framing}");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_response_keeps_its_framing() {
    for (answer, length, coding) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Some("5"), None),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            None,
            Some("chunked"),
        ),
    ] {
        let endpoint = Scripted::answering(answer);
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        for _ in 0..2 {
            let reply = proxy.get("/");
            assert_eq!((reply.text(), reply.whole), ("hello", true));
            assert_eq!((reply.header("content-length"), reply.header("transfer-encoding")), (length, coding));
        }
        assert_eq!(endpoint.connections(), 1);
    }
}

#[test]
fn a_response_that_ends_with_its_connection_is_whole() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.0 200 OK\r\n\r\nhello");
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let reply = proxy.get("/");
    assert_eq!((reply.text(), reply.whole), ("hello", true));
    assert!(reply.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", reply.head);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"), "an end that can be told from a break");
    eventually("counted as good", || proxy.endpoint_counts(0, 0) == (1, 0));
}

#[test]
fn a_response_without_a_body_leaves_the_connection_fit() {
    for (method, answer, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\netag: \"x\"\r\n\r\n", 304),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
    ] {
        let endpoint = Scripted::answering(answer);
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        let mut client = proxy.client();
        for _ in 0..3 {
            client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"));
            let reply = client.reply_to(method);
            assert_eq!(reply.status, status);
            if method == "HEAD" {
                assert_eq!(reply.header("content-length"), Some("1234"));
            }
        }
        assert_eq!(endpoint.connections(), 1, "{answer}");
        assert_eq!(proxy.ended(0, status), 3, "{answer}");
    }
}

#[test]
fn a_client_that_expects_100_gets_it() {
    let endpoint = echo();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(client.head().as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
    client.send("hi");
    assert_eq!(client.reply().text(), "2 none hi");
}

#[test]
fn a_slow_client_slows_the_endpoint_down() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 64 * MIB));
        for _ in 0..64 * 16 {
            wire.send([b'x'; MIB / 16]);
            counter.fetch_add(MIB / 16, Ordering::SeqCst);
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.head().unwrap();
    wait_for_standstill(&sent);
    let buffered = sent.load(Ordering::SeqCst);
    // The kernel's buffers on both sides of the proxy take some MiB.
    assert!(buffered < 20 * MIB, "{} MiB went ahead of the client", buffered / MIB);
    assert_eq!(client.swallow(64 * MIB), 64 * MIB);
    assert_eq!(sent.load(Ordering::SeqCst), 64 * MIB);
}

#[test]
fn a_slow_endpoint_slows_the_client_down() {
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let endpoint = Scripted::start(move |wire| {
        let head = wire.request_head().unwrap();
        gate.lock().unwrap().recv().unwrap();
        assert_eq!(header(&head, "content-length"), Some("67108864"));
        assert_eq!(wire.swallow(64 * MIB), 64 * MIB);
        wire.send(ok("all there"));
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    let sent = Arc::new(AtomicUsize::new(0));
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 67108864\r\n\r\n");
    let mut upload = client.stream.try_clone().unwrap();
    let counter = sent.clone();
    let sender = std::thread::spawn(move || {
        for _ in 0..64 * 16 {
            upload.write_all(&[b'x'; MIB / 16]).unwrap();
            counter.fetch_add(MIB / 16, Ordering::SeqCst);
        }
    });
    wait_for_standstill(&sent);
    let buffered = sent.load(Ordering::SeqCst);
    assert!(buffered < 20 * MIB, "{} MiB went ahead of the endpoint", buffered / MIB);
    go.send(()).unwrap();
    sender.join().unwrap();
    assert_eq!(client.reply().text(), "all there");
}

/// Waits until a counter has moved and then stands still.
fn wait_for_standstill(counter: &AtomicUsize) {
    let (last, since) = (std::cell::Cell::new(0), std::cell::Cell::new(None));
    let clock = adit::clock::Clock::real();
    eventually("a standstill", || {
        let (now, count) = (clock.now(), counter.load(Ordering::SeqCst));
        if last.replace(count) != count || since.get().is_none() {
            since.set(Some(now));
        }
        count > 0 && since.get().is_some_and(|since| now - since > Duration::from_millis(300))
    });
}
