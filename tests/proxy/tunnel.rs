//! WebSocket and other upgrades: how a tunnel begins, and what goes through it.

use std::io::{ErrorKind, Write};

use adit::domain::routing::Upgrades;

use crate::endpoint::Scripted;
use crate::switch::{AGREE, ASK, Endpoint, assert_open};
use crate::wire::{Wire, header};
use crate::world::{Proxy, Web, eventually, version};

fn proxied() -> (Endpoint, Proxy) {
    let endpoint = Endpoint::new();
    let proxy = Proxy::start(Web::at(&[endpoint.address]));
    (endpoint, proxy)
}

/// Returns after the proxy did all that it had to do before.
fn beat(proxy: &Proxy) {
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
}

fn tunnels(proxy: &Proxy) -> i64 {
    let snapshot = proxy.shared.live.load();
    let versions = snapshot.services.iter().flat_map(|service| &service.versions);
    versions.flat_map(|version| version.cells.iter().map(|cells| cells.tunnels.get())).sum()
}

#[test]
fn the_handshake_is_passed_on_in_both_directions() {
    let (at, proxy) = proxied();
    let mut client = proxy.client();
    client.send(ASK);
    let mut endpoint = at.accept();
    let asked = endpoint.request_head().unwrap();
    assert_eq!(header(&asked, "connection"), Some("Upgrade"), "{asked}");
    assert_eq!(header(&asked, "upgrade"), Some("websocket"), "{asked}");
    assert_eq!(header(&asked, "sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="), "{asked}");
    assert_eq!(header(&asked, "x-forwarded-for"), Some("127.0.0.1"), "{asked}");
    endpoint.send(AGREE);
    let agreed = client.head().unwrap();
    assert!(agreed.starts_with("HTTP/1.1 101 "), "{agreed}");
    assert_eq!(header(&agreed, "connection"), Some("Upgrade"), "{agreed}");
    assert_eq!(header(&agreed, "upgrade"), Some("websocket"), "{agreed}");
    assert_eq!(header(&agreed, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{agreed}");
    assert_open(&mut (client, endpoint));
}

#[test]
fn what_was_sent_early_comes_once_and_not_before_the_101() {
    let (at, proxy) = proxied();
    let mut client = proxy.client();
    client.send([ASK.as_bytes(), b"early"].concat());
    let mut endpoint = at.accept();
    endpoint.request_head().unwrap();
    beat(&proxy);
    endpoint.stream.set_nonblocking(true).unwrap();
    let peeked = endpoint.stream.peek(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!(peeked, Err(ErrorKind::WouldBlock), "a byte came before the 101");
    endpoint.stream.set_nonblocking(false).unwrap();
    endpoint.send([AGREE.as_bytes(), b"at once"].concat());
    client.head().unwrap();
    client.end();
    endpoint.end();
    assert_eq!((endpoint.rest(), client.rest()), (b"early".to_vec(), b"at once".to_vec()));
}

#[test]
fn early_bytes_after_a_refusal_are_no_more_than_a_bad_request() {
    let (at, proxy) = proxied();
    let mut client = proxy.client();
    client.send([ASK.as_bytes(), b"GET /inner HTTP/1.1\r\nhost: a\r\n\r\n"].concat());
    let mut endpoint = at.accept();
    endpoint.request_head().unwrap();
    endpoint.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    // A request like any other: with its own route, fields and counts.
    let inner = endpoint.request_head().unwrap();
    assert!(header(&inner, "x-request-id").is_some(), "{inner}");
}

#[test]
fn another_protocol_than_the_one_asked_for_is_a_malformed_answer() {
    for wrong in ["h2c", "websocket, h2c", "websocket\r\nUpgrade: h2c"] {
        let at = Endpoint::new();
        let proxy = Proxy::start(Web::canary(&[at.address], &[at.address], 0.0));
        let mut client = proxy.client();
        client.send(ASK);
        let mut endpoint = at.accept();
        endpoint.request_head().unwrap();
        endpoint.send(AGREE.replacen("websocket", wrong, 1));
        let reply = client.reply();
        assert_eq!(reply.status, 502, "{wrong}");
        assert_eq!(reply.header("proxy-status"), Some("adit; error=http_upgrade_failed"), "{wrong}");
        assert!(endpoint.is_closed(), "{wrong}");
        eventually("it counts against the endpoint", || proxy.endpoint_counts(0, 0) == (1, 1));
        assert_eq!((proxy.evidence().stable.failed, tunnels(&proxy)), (1, 0), "{wrong}");
    }
}

#[test]
fn any_other_answer_is_an_ordinary_one() {
    let (at, proxy) = proxied();
    let mut client = proxy.client();
    client.send(ASK);
    let mut endpoint = at.accept();
    endpoint.request_head().unwrap();
    endpoint.send("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\ncontent-length: 5\r\n\r\nsorry");
    let reply = client.reply();
    assert_eq!((reply.status, reply.text(), reply.header("upgrade")), (426, "sorry", None));
    client.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    // The connection is as good as any, on both sides.
    assert!(endpoint.request_head().unwrap().starts_with("GET /next "));
    endpoint.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_wish_that_may_not_be_granted_is_not_passed_on() {
    let endpoint = Scripted::saying("hello");
    let mut none = Web::of(&[&endpoint]);
    none.policy.upgrades = Upgrades::NONE;
    let (proxy, strict) = (Proxy::start(Web::of(&[&endpoint])), Proxy::start(none));
    let ask = |proxy: &Proxy, request: String| {
        assert_eq!(proxy.ask(&request).text(), "hello", "{request}");
        let head = endpoint.heads().last().unwrap().to_lowercase();
        assert!(!head.contains("upgrade"), "{head}");
    };
    ask(&strict, ASK.to_owned());
    for protocol in ["h2c", "WebSocket, h2c", "TLS/1.0"] {
        ask(&proxy, ASK.replace("WebSocket\r\n", &format!("{protocol}\r\n")));
    }
    ask(&proxy, ASK.replace("HTTP/1.1", "HTTP/1.0"));
    let with_body = ASK.replacen("\r\n", "\r\ncontent-length: 4\r\n", 1) + "body";
    ask(&proxy, with_body.clone());
    ask(&proxy, with_body.replacen("GET", "POST", 1));
}

#[test]
fn another_protocol_goes_through_where_it_is_allowed() {
    let at = Endpoint::new();
    let mut web = Web::at(&[at.address]);
    web.policy.upgrades = Upgrades::of(vec![Upgrades::protocol("chat/2").unwrap()]);
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    client.send(ASK.replace(": WebSocket", ": Chat/2"));
    let mut endpoint = at.accept();
    assert!(endpoint.request_head().unwrap().contains("upgrade: chat/2\r\n"));
    endpoint.send(AGREE.replace("websocket", "chat/2"));
    client.head().unwrap();
    client.send("anything");
    assert_eq!(endpoint.up_to(8), b"anything");
}

#[test]
fn one_side_may_end_while_the_other_goes_on() {
    let (at, proxy) = proxied();
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    client.send("the last");
    client.end();
    assert_eq!(endpoint.rest(), b"the last");
    endpoint.send("not yet");
    assert_eq!(client.up_to(7), b"not yet");
    endpoint.end();
    assert!(client.rest().is_empty());
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    endpoint.end();
    assert!(client.rest().is_empty());
    client.send("not yet");
    assert_eq!(endpoint.up_to(7), b"not yet");
}

#[test]
fn when_one_side_dies_the_other_is_told() {
    let (at, proxy) = proxied();
    let reset = |wire: Wire| {
        socket2::SockRef::from(&wire.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    };
    let (client, mut endpoint) = at.tunnel(&proxy);
    reset(client);
    assert!(endpoint.is_closed());
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    endpoint.send("the last");
    assert_eq!(client.up_to(8), b"the last");
    reset(endpoint);
    assert!(client.is_closed());
    drop(client);
    eventually("nothing is left of both", || tunnels(&proxy) == 0);
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    eventually("the connections are gone", || vitals.connections() == 0);
}

#[test]
fn who_reads_slowly_holds_up_the_other_side_and_loses_nothing() {
    let (at, proxy) = proxied();
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    let piece: Vec<u8> = (0..=250).cycle().take(251 * 1000).collect();
    endpoint.stream.set_nonblocking(true).unwrap();
    let (mut sent, mut stuck) = (0, 0);
    // Stuck for good: not a byte more while the proxy had all the time it wants.
    while stuck < 20 {
        match endpoint.stream.write(&piece[sent % piece.len()..]) {
            Ok(taken) => (sent, stuck) = (sent + taken, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                beat(&proxy);
                stuck += 1;
            }
        }
        assert!(sent < 64 << 20, "nothing holds the endpoint up");
    }
    endpoint.stream.set_nonblocking(false).unwrap();
    endpoint.end();
    let mut at = 0;
    while at < sent {
        let bytes = client.up_to((sent - at).min(1 << 16));
        assert!(!bytes.is_empty(), "{at} of {sent} bytes came");
        assert!(bytes.iter().zip(at..).all(|(byte, at)| *byte == piece[at % piece.len()]), "near {at}");
        at += bytes.len();
    }
    assert!(client.rest().is_empty(), "more came than was sent");
}

#[test]
fn a_tunnel_counts_as_one_good_request_from_its_101_on() {
    let at = Endpoint::new();
    let proxy = Proxy::start(Web::canary(&[at.address], &[at.address], 0.0));
    let mut tunnel = at.tunnel(&proxy);
    assert_open(&mut tunnel);
    let evidence = proxy.evidence().stable;
    assert_eq!((evidence.completed, evidence.failed), (1, 0));
    assert_eq!((proxy.ended(0, 101), proxy.endpoint_counts(0, 0)), (1, (1, 0)));
    assert_eq!((proxy.in_flight(), tunnels(&proxy)), (0, 1));
    let (mut client, endpoint) = tunnel;
    drop(endpoint);
    assert!(client.is_closed());
    drop(client);
    eventually("it is closed", || tunnels(&proxy) == 0);
    assert_eq!((proxy.ended(0, 101), proxy.evidence().stable.failed), (1, 0), "nothing came on top");
}

#[test]
fn open_tunnels_are_load_when_an_endpoint_is_chosen() {
    let (one, other) = (Endpoint::new(), Endpoint::new());
    let proxy = Proxy::start(Web::at(&[one.address]));
    let _open = one.tunnel(&proxy);
    let mut both = Web::at(&[]);
    let known = proxy.shared.live.load().services[0].versions[0].endpoints.clone();
    let fresh = version("v1", &[other.address]).endpoints;
    both.versions[0].endpoints = known.into_iter().chain(fresh).collect();
    proxy.publish(both);
    let _second = other.tunnel(&proxy);
}

#[test]
fn an_endpoint_that_can_not_be_reached_is_passed_over() {
    let at = Endpoint::new();
    let proxy = Proxy::start(Web::at(&[crate::endpoint::nobody(), at.address]));
    assert_open(&mut at.tunnel(&proxy));
}

#[test]
fn a_wish_that_the_canary_fails_is_granted_by_stable() {
    let stable = Endpoint::new();
    let canary = Scripted::answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
    let mut web = Web::canary(&[stable.address], &[canary.address], 100.0);
    web.policy.rescue = adit::domain::routing::Rescue::default();
    let proxy = Proxy::start(web);
    assert_open(&mut stable.tunnel(&proxy));
    assert_eq!(proxy.evidence().canary.failed, 1);
}
