//! HTTP/1.1 towards endpoints, byte by byte: where an answer ends, what a connection may be used for again, and uploads that
//! outlast the head of their answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::endpoint::{Scripted, ok};
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually};

/// Never sent twice: what happens to it shows.
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";
const MIB: usize = 1024 * 1024;

/// Something that one thread does and another waits for.
#[derive(Clone, Default)]
struct Sign(Arc<AtomicBool>);

impl Sign {
    fn give(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    #[track_caller]
    fn wait(&self, what: &str) {
        eventually(what, || self.0.load(Ordering::SeqCst));
    }
}

/// Does this with a connection that is idle after its first answer; the next request must not suffer from it.
#[track_caller]
fn assert_none_suffers_from(spoil: impl Fn(&mut Wire) + Send + Sync + 'static) {
    let (answered, spoilt) = (Sign::default(), Sign::default());
    let (taken, done) = (answered.clone(), spoilt.clone());
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        wire.send(ok(if wire.number == 0 { "first" } else { "second" }));
        if wire.number == 0 {
            taken.wait("the answer is taken");
            spoil(wire);
            done.give();
        }
        wire.rest();
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.get("/").text(), "first");
    answered.give();
    spoilt.wait("the idle connection is spoilt");
    assert_eq!(proxy.ask(POST).text(), "second");
    assert_eq!((endpoint.connections(), proxy.endpoint_counts(0, 0)), (2, (2, 0)));
}

#[test]
fn an_idle_connection_that_its_endpoint_closed_gets_no_request() {
    assert_none_suffers_from(Wire::end);
}

#[test]
fn what_comes_on_an_idle_connection_is_nobodys_answer() {
    assert_none_suffers_from(|wire| wire.send("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"));
    assert_none_suffers_from(|wire| wire.send("x"));
}

#[test]
fn what_stands_behind_an_answer_is_nobodys_answer() {
    let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    let chunked = |length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
            "a".repeat(length)
        )
    };
    for answer in [
        ok("hello"),
        ok(""),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        chunked(5),
        ok(&"a".repeat(16 * 1024)),
        ok(&"a".repeat(64 * 1024 + 1)),
        ok(&"a".repeat(MIB)),
        chunked(MIB),
    ] {
        let bytes = format!("{answer}{poison}");
        let endpoint = Scripted::start(move |wire| {
            while wire.request().is_some() {
                wire.send(&bytes);
            }
        });
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        for asked in 1..=3 {
            let reply = proxy.get("/");
            assert!(reply.whole && reply.text() != "poison", "{asked}: {} {}", reply.head, reply.body.len());
        }
        assert_eq!(endpoint.connections(), 3, "{}", answer.len());
    }
}

#[test]
fn a_connection_carries_the_next_request_after_answers_of_any_size() {
    let endpoint = Scripted::start(|wire| {
        while let Some((head, _)) = wire.request() {
            let size: usize = head.split(' ').nth(1).unwrap()[1..].parse().unwrap();
            wire.send(ok(&"a".repeat(size)));
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for size in [0, 1, 5000, 16 * 1024 - 43, 16 * 1024, 64 * 1024, 65 * 1024, 3 * MIB, 1] {
        let reply = proxy.get(&format!("/{size}"));
        assert_eq!((reply.body.len(), reply.whole), (size, true));
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn an_answer_is_read_wherever_it_is_cut() {
    const ANSWER: &str =
        "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: u\r\n\r\n";
    let endpoint = Scripted::start(|wire| {
        while let Some((head, _)) = wire.request() {
            let cut: usize = head.split(' ').nth(1).unwrap()[1..].parse().unwrap();
            wire.send(&ANSWER[..cut]);
            std::thread::park_timeout(Duration::from_millis(1));
            wire.send(&ANSWER[cut..]);
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    for cut in 1..ANSWER.len() {
        client.send(format!("GET /{cut} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("x-a"), reply.text()),
            (200, Some("b"), "hello"),
            "cut at {cut}"
        );
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn an_answer_in_thousands_of_pieces_is_whole() {
    let endpoint = Scripted::start(|wire| {
        while wire.request().is_some() {
            for byte in b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" {
                wire.send([*byte]);
            }
            for number in 0..3000 {
                wire.send(format!("1\r\n{}\r\n", number % 10));
            }
            wire.send("0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for _ in 0..2 {
        assert_eq!(proxy.get("/").text(), "0123456789".repeat(300));
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn words_before_the_answer_are_passed_over() {
    let endpoint = Scripted::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 199 X\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    );
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for _ in 0..3 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("link"), reply.text()), (200, None, "hello"));
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_head_may_be_64_kib_and_100_fields_and_no_more() {
    let fields = |count: usize| "x-a: b\r\n".repeat(count - 1);
    let long = |length: usize| format!("x-a: {}\r\n", "b".repeat(length));
    for (head, status) in [(fields(100), 200), (fields(101), 502), (long(60_000), 200), (long(66_000), 502)] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{head}\r\nhi");
        let endpoint = Scripted::start(move |wire| {
            wire.request();
            wire.send(&answer);
            wire.rest();
        });
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        assert_eq!(proxy.get("/").status, status, "{} bytes", head.len());
    }
}

/// Answers at once with more than anybody buffers, while it counts what is uploaded on the same connection.
fn answers_before_it_reads(received: Arc<AtomicUsize>) -> Scripted {
    Scripted::start(move |wire| {
        wire.request_head();
        let mut down = Wire::new(wire.stream.try_clone().unwrap());
        let answering = std::thread::spawn(move || {
            down.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 32 * MIB));
            for _ in 0..32 {
                down.send(vec![b'x'; MIB]);
            }
        });
        loop {
            let count = wire.swallow(1);
            if count == 0 {
                break;
            }
            received.fetch_add(count, Ordering::SeqCst);
        }
        answering.join().unwrap();
    })
}

#[test]
fn an_upload_goes_on_while_its_client_takes_nothing_of_the_answer() {
    let received = Arc::<AtomicUsize>::default();
    let endpoint = answers_before_it_reads(received.clone());
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 8 * MIB));
    for _ in 0..8 {
        client.send(vec![b'y'; MIB]);
    }
    eventually("all of it arrived", || received.load(Ordering::SeqCst) == 8 * MIB);
    let reply = client.reply();
    assert_eq!((reply.status, reply.body.len(), reply.whole), (200, 32 * MIB, true));
    eventually("counted as good", || proxy.endpoint_counts(0, 0) == (1, 0));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_both_ends_both() {
    let received = Arc::<AtomicUsize>::default();
    let endpoint = answers_before_it_reads(received.clone());
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 8 * MIB));
    client.send(vec![b'y'; MIB]);
    eventually("some of it arrived", || received.load(Ordering::SeqCst) == MIB);
    drop(client);
    eventually("it is over", || proxy.in_flight() == 0);
    assert_eq!(proxy.endpoint_counts(0, 0), (0, 0), "a client's doing");
}

#[test]
fn an_early_answer_ends_the_upload_and_its_connection() {
    let closed = Sign::default();
    let seen = closed.clone();
    let endpoint = Scripted::start(move |wire| {
        let head = wire.request_head().unwrap();
        wire.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nno!");
        if head.starts_with("POST") {
            while wire.swallow(1) > 0 {}
            seen.give();
        } else {
            wire.rest();
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\nbeginning", 100 * MIB));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text()), (413, "no!"));
    closed.wait("the endpoint's connection is closed");
    assert_eq!((proxy.get("/").status, endpoint.connections()), (413, 2));
}

#[test]
fn half_a_body_does_not_end_like_a_whole_one() {
    for answers_early in [false, true] {
        let (begun, came) = (Sign::default(), Sign::default());
        let (half, sign) = (begun.clone(), came.clone());
        let endpoint = Scripted::start(move |wire| {
            wire.request_head();
            if answers_early {
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
            }
            assert_eq!(wire.bytes(10).as_deref(), Some(&b"5\r\nhello\r\n"[..]));
            half.give();
            assert_eq!(wire.rest(), b"");
            sign.give();
        });
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        if answers_early {
            client.head().unwrap();
        }
        begun.wait("the endpoint has the first half");
        client.send("zz\r\nbroken\r\n");
        came.wait("the endpoint saw the end of it, and no last chunk");
        eventually("it is over", || proxy.in_flight() == 0);
        assert_eq!(proxy.endpoint_counts(0, 0), (0, 0), "a client's doing");
    }
}

#[test]
fn large_and_small_pieces_of_an_upload_arrive_as_they_were_sent() {
    let endpoint = Scripted::start(|wire| {
        while let Some((_, body)) = wire.request() {
            let sum = body.iter().map(|byte| usize::from(*byte)).sum::<usize>();
            wire.send(ok(&format!("{} {sum}", body.len())));
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for sizes in [&[1, 100_000, 1, 5000, 4096, 4097, 16_384][..], &[3; 1000], &[MIB, 1, MIB]] {
        let total: usize = sizes.iter().sum();
        let mut client = proxy.client();
        client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        for size in sizes {
            client.send(format!("{size:x}\r\n{}\r\n", "\u{1}".repeat(*size)));
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.reply().text(), format!("{total} {total}"));
        let body = "\u{1}".repeat(total);
        let reply = proxy.ask(&format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {total}\r\n\r\n{body}"));
        assert_eq!(reply.text(), format!("{total} {total}"));
    }
    assert_eq!(endpoint.connections(), 1);
}
