//! Endpoints that are spoken to in HTTP/2.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::routing::{Connection, Protocol, Timeouts};
use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use http::HeaderMap;

use crate::endpoint::{Scripted, nobody, ok};
use crate::frames::{DATA, Frames, HEADERS, PING, RST_STREAM, Speaker, read, say};
use crate::wire::Reply;
use crate::world::{Proxy, Web, eventually};

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";

/// A service whose endpoints are spoken to in HTTP/2.
fn web(addresses: &[SocketAddr]) -> Web {
    let mut web = Web::at(addresses);
    web.policy.connection = Connection { protocol: Protocol::Http2, ..Connection::default() };
    web
}

/// The same with a canary that has all the traffic.
fn canary(address: SocketAddr) -> Proxy {
    let mut web = Web::canary(&[nobody()], &[address], 100.0);
    web.policy.connection = Connection { protocol: Protocol::Http2, ..Connection::default() };
    Proxy::start(web)
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

/// So many GETs at the same time.
fn rush(proxy: &Proxy, requests: usize) -> Vec<Reply> {
    let start = Barrier::new(requests);
    std::thread::scope(|scope| {
        let asking = (0..requests).map(|_| {
            scope.spawn(|| {
                start.wait();
                proxy.get("/")
            })
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|reply| reply.join().unwrap()).collect()
    })
}

#[test]
fn trailers_pass_both_ways() {
    let endpoint = Speaker::start(Builder::new(), |request, mut respond| async move {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.data().await {}
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
        let seen = trailers.get("x-sum").cloned().unwrap();
        let name = http::HeaderName::from_static("x-seen");
        stream.send_trailers(HeaderMap::from_iter([(name, seen)])).unwrap();
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let reply = client.head().unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    eventually("counted as whole", || proxy.ended(0, 200) == 1);
}

#[test]
fn a_connection_for_a_rush_is_opened_once_and_shared() {
    let endpoint = Speaker::start(Builder::new(), |_, respond| async { say(respond, "hello") });
    let proxy = Proxy::start(web(&[endpoint.address]));
    assert!(rush(&proxy, 60).iter().all(|reply| reply.text() == "hello"));
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn another_connection_is_opened_when_the_streams_of_those_there_are_used_up() {
    for (streams, connections) in [(1, 6), (2, 3), (10, 1)] {
        let arrived = Arc::new(tokio::sync::Barrier::new(6));
        let endpoint =
            Speaker::start(Builder::new().max_concurrent_streams(streams).clone(), move |_, respond| {
                let arrived = arrived.clone();
                async move {
                    arrived.wait().await;
                    say(respond, "hello");
                }
            });
        let proxy = Proxy::start(web(&[endpoint.address]));
        assert!(rush(&proxy, 6).iter().all(|reply| reply.text() == "hello"), "{streams} streams");
        assert!((connections..=6).contains(&endpoint.connections()), "{streams}: {}", endpoint.connections());
    }
}

#[test]
fn requests_beyond_all_streams_of_all_connections_wait_and_are_served() {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let counters = (now, most.clone());
    let endpoint = Speaker::start(Builder::new().max_concurrent_streams(1).clone(), move |_, respond| {
        let (now, most) = counters.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            say(respond, "hello");
        }
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    assert!(rush(&proxy, 60).iter().all(|reply| reply.text() == "hello"));
    assert!(endpoint.connections() <= 8, "{} connections", endpoint.connections());
    assert!(most.load(Ordering::SeqCst) <= 8);
}

#[test]
fn a_request_that_finds_no_stream_in_time_is_a_503_that_counts_against_nobody() {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let endpoint =
        Speaker::start(Builder::new().max_concurrent_streams(1).clone(), |_, respond| async move {
            std::future::pending::<()>().await;
            drop(respond);
        });
    let proxy = Proxy::start_with(web(&[endpoint.address]), 1, clock, Duration::ZERO);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            client
        })
        .collect();
    eventually("all streams are used", || endpoint.requests().len() == 8);
    let mut ninth = proxy.client();
    ninth.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("it waits", || proxy.in_flight() == 9);
    hand.advance(Duration::from_secs(1));
    let reply = ninth.reply();
    assert_eq!(
        (reply.status, reply.header("proxy-status"), reply.header("retry-after")),
        (503, Some("adit; error=connection_limit_reached"), Some("1"))
    );
    assert_eq!(proxy.endpoint_counts(0, 0).1, 0);
    drop(clients);
}

#[test]
fn a_request_that_a_goaway_leaves_unprocessed_goes_to_another_connection_whatever_its_method() {
    let endpoint = Scripted::start(|wire| {
        let number = wire.number;
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            if number == 0 && stream > 1 {
                frames.goaway(1, Reason::NO_ERROR);
            } else {
                frames.answer(stream, "hello");
            }
        }
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    assert_eq!(proxy.get("/").text(), "hello");
    let reply = proxy.ask(POST);
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    assert_eq!(endpoint.connections(), 2);
    eventually("counted", || proxy.endpoint_counts(0, 0) == (2, 0));
}

#[test]
fn requests_under_way_end_on_a_connection_that_says_farewell() {
    let (told, hears) = mpsc::sync_channel::<()>(1);
    let hears = std::sync::Mutex::new(hears);
    let asked = Arc::new(AtomicBool::new(false));
    let is_asked = asked.clone();
    let endpoint = Scripted::start(move |wire| {
        let number = wire.number;
        let mut frames = Frames::accept(wire, 100);
        let Some(stream) = frames.request() else { return };
        is_asked.store(true, Ordering::SeqCst);
        if number == 0 {
            frames.goaway(stream, Reason::NO_ERROR);
            hears.lock().unwrap().recv().unwrap();
        }
        frames.answer(stream, "hello");
        frames.next();
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    let mut first = proxy.client();
    first.send(POST);
    eventually("the first is under way", || asked.load(Ordering::SeqCst));
    // The second must not go on that connection, and does not hold up the first.
    while endpoint.connections() < 2 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    told.send(()).unwrap();
    assert_eq!(first.reply().text(), "hello");
    eventually("no failure", || proxy.endpoint_counts(0, 0).1 == 0);
}

#[test]
fn a_refused_stream_is_sent_again_whatever_its_method() {
    let refused = Arc::new(AtomicBool::new(false));
    let endpoint = Scripted::start(move |wire| {
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            if refused.swap(true, Ordering::SeqCst) {
                frames.answer(stream, "hello");
            } else {
                frames.reset(stream, Reason::REFUSED_STREAM);
            }
        }
    });
    let other = hello();
    let proxy = Proxy::start(web(&[endpoint.address, other.address]));
    for _ in 0..4 {
        let reply = proxy.ask(POST);
        assert_eq!((reply.status, reply.text()), (200, "hello"));
    }
}

#[test]
fn an_endpoint_that_refuses_every_stream_is_asked_no_more_than_twice_and_fails() {
    let endpoint = Scripted::start(|wire| {
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            frames.reset(stream, Reason::REFUSED_STREAM);
        }
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    for _ in 0..3 {
        assert_eq!(proxy.ask(POST).status, 502);
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_stream_that_the_endpoint_resets_is_its_failure_and_no_other_streams() {
    let endpoint = Scripted::start(|wire| {
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            if stream == 1 {
                frames.head(1);
                frames.send(DATA, 0, 1, b"half");
            } else {
                frames.reset(1, Reason::INTERNAL_ERROR);
                frames.answer(stream, "hello");
            }
        }
    });
    let proxy = canary(endpoint.address);
    let mut first = proxy.client();
    first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(first.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(first.bytes(9).as_deref(), Some(&b"4\r\nhalf\r\n"[..]));
    assert_eq!(proxy.get("/").text(), "hello");
    assert_eq!(first.rest(), b"", "looks whole");
    eventually("counted", || proxy.endpoint_counts(1, 0) == (2, 1));
    let canary = proxy.evidence().canary;
    assert_eq!((canary.completed, canary.failed), (2, 1));
}

#[test]
fn a_reset_before_an_answer_is_a_502_that_is_judged_but_is_no_reason_to_eject() {
    let endpoint = Scripted::start(|wire| {
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            frames.reset(stream, Reason::CANCEL);
        }
    });
    let proxy = canary(endpoint.address);
    let reply = proxy.get("/");
    assert_eq!(
        (reply.status, reply.header("proxy-status")),
        (502, Some("adit; error=connection_terminated"))
    );
    // Whatever is in a request may bring it about: one client must not have an endpoint ejected.
    eventually("judged", || proxy.evidence().canary.failed == 1);
    assert_eq!(proxy.endpoint_counts(1, 0), (0, 0));
}

#[test]
fn a_connection_that_dies_takes_a_get_elsewhere_and_fails_a_post() {
    let endpoint = Scripted::start(|wire| {
        let number = wire.number;
        let mut frames = Frames::accept(wire, 100);
        while let Some(stream) = frames.request() {
            if stream > 1 && number < 2 {
                return;
            }
            frames.answer(stream, "hello");
        }
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    assert_eq!(proxy.get("/").text(), "hello");
    assert_eq!(proxy.get("/").text(), "hello");
    assert_eq!(proxy.ask(POST).status, 502);
}

#[test]
fn clients_that_leave_or_break_their_bodies_change_nothing() {
    let resets = Arc::new(AtomicUsize::new(0));
    let counter = resets.clone();
    let endpoint = Scripted::start(move |wire| {
        let mut frames = Frames::accept(wire, 100);
        while let Some(frame) = frames.next() {
            match frame.kind {
                HEADERS => frames.head(frame.stream),
                RST_STREAM => drop(counter.fetch_add(1, Ordering::SeqCst)),
                _ => {}
            }
        }
    });
    let proxy = canary(endpoint.address);
    for _ in 0..10 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        client.head().unwrap();
    }
    for _ in 0..10 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        client.head().unwrap();
        client.send("zz\r\n");
    }
    for _ in 0..10 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nbeginning");
        client.head().unwrap();
    }
    eventually("each stream is reset, and nothing else", || resets.load(Ordering::SeqCst) == 30);
    eventually("the exchanges ended", || proxy.in_flight() == 0);
    assert_eq!((endpoint.connections(), proxy.endpoint_counts(1, 0)), (1, (0, 0)));
    let canary = proxy.evidence().canary;
    assert_eq!((canary.completed, canary.failed), (0, 0));
}

#[test]
fn an_endpoint_that_scolds_us_for_our_clients_is_not_to_blame() {
    let endpoint = Scripted::start(|wire| {
        let mut frames = Frames::accept(wire, 100);
        let Some(stream) = frames.request() else { return };
        frames.goaway(stream, Reason::ENHANCE_YOUR_CALM);
        // Closed with the body unread, a reset could overtake what was said.
        wire.end();
        wire.rest();
    });
    let proxy = canary(endpoint.address);
    assert_eq!(proxy.ask(POST).status, 502);
    eventually("the exchange ended", || proxy.in_flight() == 0);
    assert_eq!(proxy.endpoint_counts(1, 0).1, 0);
    assert_eq!(proxy.evidence().canary.failed, 0);
}

#[test]
fn clients_who_take_nothing_hold_up_nobody_elses_answers() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let endpoint = Speaker::start(Builder::new(), |request, respond| async move {
        let large = request.uri().path() == "/large";
        say(respond, if large { Bytes::from(vec![b'x'; LENGTH]) } else { Bytes::from_static(b"hello") });
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
            client.head().unwrap();
            client
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    assert_eq!(endpoint.connections(), 1);
    drop(stalled);
}

#[test]
fn an_upload_that_the_endpoint_takes_nothing_of_times_out_as_the_endpoints_failure() {
    let endpoint = Scripted::start(|wire| {
        let mut frames = Frames::accept(wire, 100);
        // No window is ever opened again.
        while frames.next().is_some() {}
    });
    let mut web = web(&[endpoint.address]);
    web.policy.timeouts = Timeouts { response: Duration::from_millis(100), ..Timeouts::default() };
    let proxy = Proxy::start_with(web, 1, Clock::real(), Duration::ZERO);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    assert_eq!(client.reply().status, 504);
    eventually("counted", || proxy.endpoint_counts(0, 0) == (1, 1));
}

#[test]
fn a_peer_that_does_not_answer_a_ping_is_given_up_and_another_connection_opened() {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let asked = Arc::new(AtomicUsize::new(0));
    let pings = Arc::new(AtomicUsize::new(0));
    let counters = (asked.clone(), pings.clone());
    let endpoint = Scripted::start(move |wire| {
        let number = wire.number;
        let mut frames = Frames::accept(wire, 100);
        while let Some(frame) = frames.any() {
            match frame.kind {
                HEADERS if number > 0 || frame.stream == 1 => frames.answer(frame.stream, "hello"),
                HEADERS => drop(counters.0.fetch_add(1, Ordering::SeqCst)),
                PING => drop(counters.1.fetch_add(1, Ordering::SeqCst)),
                _ => {}
            }
        }
    });
    let mut web = web(&[endpoint.address]);
    web.policy.timeouts = Timeouts { response: Duration::from_secs(100_000), ..Timeouts::default() };
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    assert_eq!(proxy.get("/").text(), "hello");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the dead one is asked", || asked.load(Ordering::SeqCst) == 1);
    // The endpoint may see the request before its connection begins to wait for a word of it: so not all at once.
    eventually("it is pinged", || {
        hand.advance(Duration::from_secs(1));
        pings.load(Ordering::SeqCst) >= 1
    });
    hand.advance(Duration::from_secs(20));
    assert_eq!(client.reply().text(), "hello");
    assert_eq!(endpoint.connections(), 2);
}

#[test]
fn a_silence_is_pinged_once_and_not_again() {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let asked = Arc::new(AtomicUsize::new(0));
    let pings = Arc::new(AtomicUsize::new(0));
    let counters = (asked.clone(), pings.clone());
    let endpoint = Scripted::start(move |wire| {
        let mut frames = Frames::accept(wire, 100);
        while let Some(frame) = frames.any() {
            match frame.kind {
                HEADERS => drop(counters.0.fetch_add(1, Ordering::SeqCst)),
                PING => {
                    counters.1.fetch_add(1, Ordering::SeqCst);
                    frames.send(PING, 1, 0, &frame.payload);
                }
                _ => {}
            }
        }
    });
    let mut web = web(&[endpoint.address]);
    web.policy.timeouts = Timeouts { response: Duration::from_secs(36_000), ..Timeouts::default() };
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("it is asked", || asked.load(Ordering::SeqCst) == 1);
    for _ in 0..10 {
        hand.advance(Duration::from_secs(25));
        eventually("the first silence is pinged", || pings.load(Ordering::SeqCst) >= 1);
        // A round trip through the same worker.
        assert_eq!(proxy.ask("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n").status, 405);
    }
    assert_eq!(pings.load(Ordering::SeqCst), 1);
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn an_endpoint_that_speaks_http1_fails_as_one_that_breaks_the_protocol() {
    let endpoint = Scripted::start(|wire| {
        wire.head();
        wire.send(ok("hello"));
        wire.swallow(usize::MAX);
    });
    let proxy = Proxy::start(web(&[endpoint.address]));
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.header("proxy-status")), (502, Some("adit; error=http_protocol_error")));
}

#[test]
fn an_endpoint_that_says_nothing_is_no_connection() {
    let endpoint = Scripted::start(|wire| {
        wire.swallow(usize::MAX);
    });
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(web(&[endpoint.address]), 1, clock, Duration::ZERO);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("it was connected to", || endpoint.connections() == 1);
    hand.advance(Duration::from_secs(1));
    assert_eq!(client.reply().status, 504);
}
