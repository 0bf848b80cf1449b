//! What a client of HTTP/1.0 and 1.1 sees of its connection: byte by byte, pipelined, left early, read slowly.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::endpoint::{Scripted, ok};
use crate::world::{Proxy, Web, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const MIB: usize = 1024 * 1024;

/// Answers with the target and the body.
fn echo() -> Scripted {
    Scripted::start(|wire| {
        while let Some((head, body)) = wire.request() {
            let target = head.split(' ').nth(1).unwrap().to_owned();
            wire.send(ok(&format!("{target} {}", String::from_utf8(body).unwrap())));
        }
    })
}

/// Answers when it is told to, and says when a connection has ended before that.
fn gated() -> (Scripted, SyncSender<()>, Receiver<()>) {
    let (go, gate) = sync_channel::<()>(8);
    let (gone, ended) = sync_channel::<()>(8);
    let gate = Mutex::new(gate);
    let endpoint = Scripted::start(move |wire| {
        while wire.request().is_some() {
            let peeked = wire.stream.try_clone().unwrap();
            let gone = gone.clone();
            std::thread::spawn(move || {
                if peeked.peek(&mut [0]).is_ok_and(|read| read == 0) {
                    let _nobody_asks = gone.try_send(());
                }
            });
            if gate.lock().unwrap().recv().is_err() {
                return;
            }
            wire.send(ok("late"));
        }
    });
    (endpoint, go, ended)
}

#[test]
fn a_request_that_comes_in_two_parts_is_the_same_wherever_it_is_cut() {
    let endpoint = echo();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let framed = [
        "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
    ];
    for request in framed {
        let mut client = proxy.client();
        for cut in 1..request.len() {
            client.send(&request[..cut]);
            client.stream.flush().unwrap();
            std::thread::yield_now();
            client.send(&request[cut..]);
            assert_eq!(client.reply().text(), "/x hello", "cut at {cut}: {request:?}");
        }
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_read() {
    let endpoint = echo();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    for byte in
        b"\r\nPOST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    {
        client.send([*byte]);
        std::thread::yield_now();
    }
    assert_eq!(client.reply().text(), "/x hello");
}

#[test]
fn many_pipelined_requests_are_answered_in_order_whatever_their_bodies() {
    let endpoint = echo();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    let mut sent = String::new();
    for number in 0..60 {
        let rest = match number % 3 {
            0 => "\r\n".to_owned(),
            1 => format!("content-length: {}\r\n\r\n{}", 2000 + number, "x".repeat(2000 + number)),
            _ => "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_owned(),
        };
        let method = if number % 3 == 0 { "GET" } else { "POST" };
        sent += &format!("{method} /{number} HTTP/1.1\r\nhost: a\r\n{rest}");
    }
    client.send(sent);
    for number in 0..60 {
        let body = match number % 3 {
            0 => String::new(),
            1 => "x".repeat(2000 + number),
            _ => "abcde".to_owned(),
        };
        assert_eq!(client.reply().text(), format!("/{number} {body}"));
    }
}

#[test]
fn an_answer_says_what_is_needed_and_nothing_twice() {
    let endpoint = Scripted::answering("HTTP/1.1 200 OK\r\nX-Some: Thing\r\nContent-Length: 2\r\n\r\nhi");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let reply = proxy.get("/");
    let fields: Vec<&str> = reply.head.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let names: Vec<&str> = fields.iter().filter_map(|field| field.split(": ").next()).collect();
    assert_eq!(names, ["x-some", "content-length", "date"], "{}", reply.head);
    // The clock of this test's proxy stands still.
    assert_eq!(reply.header("date"), Some("Thu, 01 Jan 1970 00:16:40 GMT"));
    assert_eq!(reply.text(), "hi");
}

#[test]
fn an_endpoints_own_date_is_left_alone() {
    let endpoint = Scripted::answering("HTTP/1.1 200 OK\r\ndate: yesterday\r\ncontent-length: 0\r\n\r\n");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.get("/").head.matches("date: ").collect::<Vec<_>>().len(), 1);
    assert_eq!(proxy.get("/").header("date"), Some("yesterday"));
}

#[test]
fn what_a_get_would_have_got_is_said_to_whoever_asks_for_less() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\n\r\n"),
    ] {
        let endpoint = Scripted::answering(answer);
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"));
            let reply = client.reply_to(method);
            assert_eq!((reply.header("content-length"), reply.text()), (Some("1234"), ""), "{answer}");
        }
    }
}

#[test]
fn a_client_that_leaves_before_its_answer_is_noticed_at_once() {
    let (endpoint, _go, ended) = gated();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    drop(client);
    ended.recv_timeout(crate::world::PATIENCE).expect("the endpoint's connection ends as well");
    eventually("counted as left", || proxy.ended(0, 499) == 1);
}

#[test]
fn a_client_that_says_it_will_send_no_more_is_taken_for_gone() {
    let (endpoint, _go, ended) = gated();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    client.end();
    ended.recv_timeout(crate::world::PATIENCE).expect("the endpoint's connection ends as well");
    assert_eq!(client.rest(), b"");
    eventually("counted as left", || proxy.ended(0, 499) == 1);
}

#[test]
fn a_client_that_leaves_after_its_body_is_noticed_as_well() {
    let (endpoint, _go, ended) = gated();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel");
    client.send("lo");
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    drop(client);
    ended.recv_timeout(crate::world::PATIENCE).expect("the endpoint's connection ends as well");
}

#[test]
fn whoever_sends_its_next_request_early_is_still_there() {
    let (endpoint, go, _ended) = gated();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    client.send(GET);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!((client.reply().text(), client.reply().text()), ("late", "late"));
}

/// Bytes that tell where they belong.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xFF).unwrap()).collect()
}

#[test]
fn a_large_answer_comes_unchanged_to_whoever_reads_slowly() {
    for chunked in [false, true] {
        let endpoint = Scripted::start(move |wire| {
            while wire.request().is_some() {
                let body = pattern(12 * MIB);
                if chunked {
                    wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                    // Small ones and large ones.
                    for piece in body.chunks(70_000).flat_map(|piece| piece.chunks(33_333)) {
                        wire.send(format!("{:x}\r\n", piece.len()));
                        wire.send(piece);
                        wire.send("\r\n");
                    }
                    wire.send("0\r\n\r\n");
                } else {
                    wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()));
                    wire.send(&body);
                }
            }
        });
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send(GET);
            // Until the buffers are full it reads nothing at all.
            eventually("all stands still", || proxy.in_flight() == 1);
            let reply = client.reply();
            assert!(reply.whole && reply.body == pattern(12 * MIB), "chunked: {chunked}");
        }
    }
}

#[test]
fn whoever_speaks_1_0_is_answered_in_it_and_closed_unless_it_asks() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: Keep-Alive\r\n\r\n");
        let reply = client.reply();
        assert!(reply.head.starts_with("HTTP/1.0 200 OK\r\n"), "{}", reply.head);
        assert_eq!((reply.header("connection"), reply.text()), (Some("keep-alive"), "hello"));
    }
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.header("connection"), reply.text()), (None, "hello"));
    assert!(client.is_closed());
}

#[test]
fn an_answer_of_unknown_length_ends_with_the_connection_for_whoever_speaks_1_0() {
    let endpoint = Scripted::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    );
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for connection in ["", "connection: keep-alive\r\n"] {
        let mut client = proxy.client();
        client.send(format!("GET / HTTP/1.0\r\nhost: a\r\n{connection}\r\n"));
        let reply = client.reply();
        assert_eq!((reply.header("transfer-encoding"), reply.header("connection")), (None, None));
        assert_eq!(reply.text(), "hello");
    }
}

#[test]
fn whoever_says_close_is_told_so_and_closed() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.header("connection"), reply.text()), (Some("close"), "hello"));
    assert!(client.is_closed());
}

const EXPECTS: &str = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";

#[test]
fn a_client_that_waits_is_asked_for_its_body_once_and_its_connection_is_kept() {
    let endpoint = echo();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(EXPECTS);
        assert_eq!(client.head().as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
        client.send("hello");
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(client.bytes(7).unwrap(), b"/ hello");
    }
}

#[test]
fn a_client_whose_request_is_refused_is_not_asked_for_its_body() {
    let mut web = Web::of(&[&Scripted::saying("hello")]);
    web.policy.limits.max_body = Some(1);
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    client.send(EXPECTS);
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[test]
fn a_body_that_nobody_wants_is_passed_over_if_it_is_there_already() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.routes = vec![crate::world::route("/known")];
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    client.send("POST /unknown HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("connection")), (404, None));
    client.send("GET /known HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.reply().text(), "hello");
    // More than is there, and the client is told what becomes of it.
    client.send("POST /unknown HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\nhello");
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("connection")), (404, Some("close")));
}

#[test]
fn trailers_reach_whoever_takes_them() {
    let endpoint = Scripted::answering(
        "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\nx-other: 2\r\n\r\n",
    );
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for (takes, expected) in [("te: trailers\r\n", "x-sum: 1\r\n"), ("", "")] {
        let mut client = proxy.client();
        client.send(format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{takes}\r\n"));
        client.head().unwrap();
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest, format!("2\r\nhi\r\n0\r\n{expected}\r\n"), "{takes:?}");
    }
}

#[test]
fn a_request_that_came_early_is_answered_before_a_drain_ends_its_connection() {
    let (endpoint, go, _ended) = gated();
    let mut proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET.repeat(2));
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    let workers = proxy.workers.take().unwrap();
    workers.drain();
    go.send(()).unwrap();
    go.send(()).unwrap();
    // Whichever came first, the drain or the answer: the last answer says so.
    let first = client.reply();
    assert_eq!(first.text(), "late");
    if first.header("connection").is_none() {
        assert_eq!(client.reply().header("connection"), Some("close"));
    }
    assert!(client.is_closed());
    // What was left unread is read until then.
    drop(client);
    workers.join();
}

#[test]
fn a_cut_answer_ends_its_connection_without_the_last_chunk() {
    let (cut, gate) = sync_channel::<()>(1);
    let gate = Mutex::new(gate);
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        gate.lock().unwrap().recv().unwrap();
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(GET);
    client.head().unwrap();
    assert_eq!(client.bytes(10).unwrap(), b"5\r\nhello\r\n");
    cut.send(()).unwrap();
    assert_eq!(client.rest(), b"");
}

/// Sends 2 MiB when a request's head is there, and reads on.
fn answers_early_and_large() -> Scripted {
    Scripted::start(|wire| {
        wire.request_head();
        wire.send(ok(&"x".repeat(2 * MIB)));
        wire.rest();
    })
}

/// nginx reads on as well; a close with bytes unread makes a reset, which throws away what was not sent yet.
#[test]
fn an_answer_that_came_early_reaches_whoever_sends_all_of_its_request_first() {
    let endpoint = answers_early_and_large();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 20 * MIB));
    client.send(vec![b'y'; 20 * MIB]);
    assert_eq!(client.reply().body.len(), 2 * MIB);
}

#[test]
fn what_came_of_a_next_request_cuts_no_last_answer() {
    let endpoint = answers_early_and_large();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    let last = GET.replace("host", "connection: close\r\nhost");
    client.send([last.as_bytes(), &GET.repeat(5_000).into_bytes()].concat());
    assert_eq!(client.reply().body.len(), 2 * MIB);
}
