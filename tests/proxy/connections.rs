//! Connections to endpoints: kept, reused, replaced.

use adit::domain::stats::ErrorReason;

use crate::endpoint::{Mortal, Scripted, Style, nobody, ok};
use crate::world::{Proxy, Web, eventually};

#[test]
fn requests_share_a_connection_to_the_endpoint() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.reply().text(), "hello");
    }
    assert_eq!(proxy.get("/").text(), "hello");
    assert_eq!((endpoint.connections(), endpoint.heads().len()), (1, 4));
    assert_eq!(proxy.endpoint_counts(0, 0), (4, 0));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let endpoint = Scripted::start(|wire| {
        while let Some((head, _)) = wire.request() {
            wire.send(ok(head.split(' ').nth(1).unwrap()));
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!((client.reply().text(), client.reply().text()), ("/1", "/2"));
}

#[test]
fn an_endpoint_that_closes_after_each_answer_is_connected_to_anew() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for _ in 0..3 {
        assert_eq!(proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").status, 200);
    }
    assert_eq!(endpoint.connections(), 3);
}

#[test]
fn an_endpoint_that_keeps_connections_for_a_second_only_is_believed() {
    let endpoint =
        Scripted::answering("HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nhi");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(endpoint.connections(), 2);
}

/// Answers one request, takes the next and hangs up; after that it serves.
fn dies_on_the_second_request() -> Scripted {
    Scripted::start(|wire| {
        wire.request();
        wire.send(ok("first"));
        while let Some((_, body)) = wire.request() {
            if wire.number == 0 {
                return;
            }
            wire.send(ok(&format!("{} bytes", body.len())));
        }
    })
}

#[test]
fn a_get_on_a_connection_that_died_unheard_is_sent_once_more() {
    let endpoint = dies_on_the_second_request();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.get("/").text(), "first");
    assert_eq!(proxy.get("/").text(), "first");
    assert_eq!(proxy.endpoint_counts(0, 0), (2, 0), "a replay is no failure");
}

#[test]
fn a_put_is_sent_once_more_with_all_of_its_body() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        if wire.number == 0 {
            wire.send(ok("first"));
            // Half of the next request, then nothing.
            wire.request_head();
            return;
        }
        wire.send(ok("second"));
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.get("/").text(), "first");
    let body = "x".repeat(60_000);
    let reply = proxy.ask(&format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n{body}"));
    assert_eq!(reply.text(), "second");
    assert_eq!(proxy.endpoint_counts(0, 0), (2, 0));
}

#[test]
fn a_post_is_never_sent_twice() {
    let endpoint = dies_on_the_second_request();
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.get("/").text(), "first");
    let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    assert_eq!(
        (reply.status, reply.header("proxy-status")),
        (502, Some("adit; error=connection_terminated"))
    );
    assert_eq!((endpoint.connections(), proxy.endpoint_counts(0, 0)), (1, (2, 1)));
}

#[test]
fn a_put_too_large_to_keep_is_not_sent_twice() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.send(ok("first"));
        wire.request();
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.get("/").text(), "first");
    let body = "x".repeat(100_000);
    let reply = proxy.ask(&format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n{body}"));
    assert_eq!((reply.status, endpoint.connections()), (502, 1));
}

#[test]
fn a_request_goes_elsewhere_when_an_endpoint_refuses_the_connection() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::at(&[nobody(), endpoint.address]));
    for _ in 0..20 {
        let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
        assert_eq!(reply.text(), "hello");
    }
    let (attempts, failures) = proxy.endpoint_counts(0, 0);
    assert_eq!(attempts, failures);
    assert!(failures > 0, "the refusing endpoint was never picked in 20 requests");
    let snapshot = proxy.shared.live.load();
    let cells = &snapshot.services[0].versions[0].cells;
    assert_eq!(cells.sum(|cells| cells.retries.get()), failures);
    assert_eq!(cells.sum(|cells| cells.errors(ErrorReason::ConnectionRefused)), failures);
    assert_eq!(proxy.ended(0, 200), 20);
}

#[test]
fn a_get_that_dies_unheard_on_new_connections_is_tried_at_three_endpoints_and_a_post_at_one() {
    let endpoints = [(); 4].map(|()| {
        Scripted::start(|wire| {
            wire.request();
        })
    });
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let proxy = Proxy::start(Web::at(&addresses));
    assert_eq!(proxy.get("/").status, 502);
    assert_eq!(endpoints.iter().map(Scripted::connections).sum::<usize>(), 3);
    assert_eq!(proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").status, 502);
    assert_eq!(endpoints.iter().map(Scripted::connections).sum::<usize>(), 4);
    let failures: u64 = (0..4).map(|endpoint| proxy.endpoint_counts(0, endpoint).1).sum();
    assert_eq!(failures, 4, "each of them failed its request");
}

#[test]
fn killing_one_of_two_endpoints_under_load_costs_no_get() {
    for style in [Style::KeepsConnections, Style::ClosesEach] {
        let (mortal, immortal) = (Mortal::start(style), Mortal::start(style));
        let proxy = Proxy::start_with(
            Web::at(&[mortal.address, immortal.address]),
            2,
            adit::clock::Clock::real(),
            std::time::Duration::ZERO,
        );
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let mut client = proxy.client();
                std::thread::spawn(move || {
                    for asked in 0..300 {
                        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
                        let reply = client.reply();
                        assert_eq!((reply.status, reply.whole), (200, true), "request {asked}");
                    }
                })
            })
            .collect();
        eventually("load", || proxy.ended(0, 200) > 400);
        let in_flight = mortal.kill();
        for client in clients {
            client.join().unwrap();
        }
        eventually("all counted", || proxy.ended(0, 200) == 2_400);
        println!("{style:?}: {in_flight} requests were in flight at the endpoint that was killed");
    }
}

#[test]
fn a_request_is_offered_to_ten_endpoints_that_refuse_it_at_the_most() {
    let proxy = Proxy::start(Web::at(&[(); 12].map(|()| nobody())));
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.header("proxy-status")), (502, Some("adit; error=connection_refused")));
    let failures: u64 = (0..12).map(|endpoint| proxy.endpoint_counts(0, endpoint).1).sum();
    assert_eq!(failures, 10);
}

#[test]
fn an_early_answer_is_passed_on_and_its_connection_not_reused() {
    let endpoint = Scripted::start(|wire| {
        wire.request_head();
        wire.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig");
        // It stays open: only the proxy can know that it is unfit.
        while wire.head().is_some() {}
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for connections in 1..=2 {
        let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbeginning");
        assert_eq!((reply.status, reply.text()), (413, "big"));
        assert_eq!(endpoint.connections(), connections);
    }
    assert_eq!(proxy.endpoint_counts(0, 0).1, 0);
}

#[test]
fn connections_to_an_endpoint_close_when_it_leaves_the_snapshot() {
    let (first, second) = (Scripted::saying("first"), Scripted::saying("second"));
    let proxy = Proxy::start(Web::of(&[&first]));
    assert_eq!(proxy.get("/").text(), "first");
    proxy.publish(Web::of(&[&second]));
    assert_eq!(proxy.get("/").text(), "second");
    proxy.publish(Web::of(&[&first]));
    assert_eq!(proxy.get("/").text(), "first");
    assert_eq!(first.connections(), 2);
}

#[test]
fn connections_outlive_a_new_snapshot_that_keeps_the_endpoint() {
    let endpoint = Scripted::saying("hello");
    let web = Web::of(&[&endpoint]);
    let again = web.again();
    let proxy = Proxy::start(web);
    assert_eq!(proxy.get("/").text(), "hello");
    proxy.publish(again);
    assert_eq!(proxy.get("/").text(), "hello");
    assert_eq!(endpoint.connections(), 1);
}
