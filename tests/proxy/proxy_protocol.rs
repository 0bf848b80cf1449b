//! The PROXY protocol, in and out, byte by byte.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::proxy_protocol::{ProxyHeader, ProxyProtocol};
use adit::domain::routing::TrustedProxies;
use adit::proxy::{Listener, Turned};

use crate::endpoint::{Scripted, ok};
use crate::wire::{Wire, header};
use crate::world::{Proxy, Web, eventually, networks};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn relayed(source: &str, destination: &str, version: ProxyProtocol) -> Vec<u8> {
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    ProxyHeader::Relayed { source, destination }.write(version)
}

/// A proxy whose listener wants the header, from these.
fn behind(endpoint: &Scripted, trusted: &[&str]) -> Proxy {
    let (clock, _hand) = Clock::manual(START);
    behind_with(endpoint, trusted, clock)
}

fn behind_with(endpoint: &Scripted, trusted: &[&str], clock: Clock) -> Proxy {
    let web = Web { trusted: TrustedProxies(networks(trusted)), ..Web::of(&[endpoint]) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener { proxy_protocol: true, ..Listener::plain(address) };
    Proxy::start_at(vec![listener], web, 1, clock, Duration::from_secs(8))
}

fn turned_away(proxy: &Proxy) -> u64 {
    proxy
        .workers
        .as_ref()
        .unwrap()
        .vitals()
        .turned_away()
        .into_iter()
        .find_map(|(why, count)| (why == Turned::ProxyHeader).then_some(count))
        .unwrap()
}

#[test]
fn the_client_is_whom_the_header_names() {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        for (source, destination, client, port) in [
            ("192.0.2.1:4711", "198.51.100.2:443", "192.0.2.1", "443"),
            ("[2001:db8::1]:4711", "[2001:db8::2]:8443", "2001:db8::1", "8443"),
        ] {
            let endpoint = Scripted::saying("hello");
            let proxy = behind(&endpoint, &["127.0.0.1"]);
            let mut wire = proxy.client();
            // Together: nothing of the request may be lost with the header.
            wire.send([relayed(source, destination, version), REQUEST.into(), REQUEST.into()].concat());
            assert_eq!((wire.reply().status, wire.reply().status), (200, 200), "{version:?} {source}");
            for head in endpoint.heads() {
                assert_eq!(header(&head, "x-forwarded-for"), Some(client), "{head}");
                assert_eq!(header(&head, "x-forwarded-port"), Some(port), "{head}");
            }
        }
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let endpoint = Scripted::saying("hello");
    let proxy = behind(&endpoint, &["127.0.0.1"]);
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let mut wire = proxy.client();
        for byte in relayed("192.0.2.1:1", "192.0.2.2:80", version) {
            // Each a segment of its own, because Nagle's algorithm is off.
            wire.stream.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        wire.send(REQUEST);
        assert_eq!(wire.reply().status, 200, "{version:?}");
    }
    let clients = endpoint
        .heads()
        .iter()
        .map(|head| header(head, "x-forwarded-for").map(str::to_owned))
        .collect::<Vec<_>>();
    assert_eq!(clients, [Some("192.0.2.1".to_owned()), Some("192.0.2.1".to_owned())]);
}

#[test]
fn http2_follows_a_header_as_well() {
    let endpoint = Scripted::saying("hello");
    let proxy = behind(&endpoint, &["127.0.0.1"]);
    let mut wire = proxy.client();
    wire.send(
        [
            &relayed("192.0.2.1:1", "192.0.2.2:80", ProxyProtocol::V2)[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ]
        .concat(),
    );
    // The server's preface is a SETTINGS frame.
    let mut frame = [0; 9];
    std::io::Read::read_exact(&mut wire.stream, &mut frame).unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}

#[test]
fn who_relays_nothing_is_its_own_client() {
    let endpoint = Scripted::saying("hello");
    let proxy = behind(&endpoint, &["127.0.0.1"]);
    let unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"[..], &[0; 216]].concat();
    let own = [ProxyProtocol::V1, ProxyProtocol::V2].map(|version| ProxyHeader::Own.write(version));
    for head in own.into_iter().chain([unix]) {
        let mut wire = proxy.client();
        wire.send([head, REQUEST.into()].concat());
        assert_eq!(wire.reply().status, 200);
    }
    for head in endpoint.heads() {
        assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"), "{head}");
    }
}

#[test]
fn a_trusted_proxy_relayed_by_another_is_believed_too() {
    let endpoint = Scripted::saying("hello");
    let proxy = behind(&endpoint, &["127.0.0.1", "10.0.0.0/8"]);
    for (source, chain) in [("10.0.0.5:1", "192.0.2.9, 10.0.0.5"), ("192.0.2.1:1", "192.0.2.1")] {
        let mut wire = proxy.client();
        let request = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.9\r\n\r\n";
        wire.send([relayed(source, "10.0.0.1:80", ProxyProtocol::V2), request.into()].concat());
        assert_eq!(wire.reply().status, 200);
        let heads = endpoint.heads();
        assert_eq!(header(heads.last().unwrap(), "x-forwarded-for"), Some(chain));
    }
}

#[test]
fn who_may_not_relay_is_closed_and_counted() {
    let endpoint = Scripted::saying("hello");
    let proxy = behind(&endpoint, &["10.0.0.0/8"]);
    for (count, first) in
        [relayed("192.0.2.1:1", "192.0.2.2:80", ProxyProtocol::V1), REQUEST.into()].iter().enumerate()
    {
        let mut wire = proxy.client();
        wire.send(first);
        assert!(wire.is_closed());
        eventually("it is counted", || turned_away(&proxy) == u64::try_from(count).unwrap() + 1);
    }
    assert_eq!(endpoint.heads(), Vec::<String>::new());
}

#[test]
fn what_is_no_header_is_closed_and_counted_and_the_next_client_served() {
    let endpoint = Scripted::saying("hello");
    let proxy = behind(&endpoint, &["127.0.0.1"]);
    let too_long = format!("PROXY UNKNOWN {}\r\n{REQUEST}", "x".repeat(100));
    let huge = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 100]].concat();
    let wrong: [&[u8]; 8] = [
        REQUEST.as_bytes(),
        b"\x16\x03\x01\x02\x00\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x41\x11\0\x0c",
        too_long.as_bytes(),
        &huge,
    ];
    for (count, first) in (1..).zip(wrong) {
        let mut wire = proxy.client();
        wire.send(first);
        assert!(wire.is_closed(), "{}", String::from_utf8_lossy(first));
        eventually("it is counted", || turned_away(&proxy) == count);
    }
    assert_eq!(endpoint.heads(), Vec::<String>::new());
    let mut wire = proxy.client();
    wire.send([relayed("192.0.2.1:1", "192.0.2.2:80", ProxyProtocol::V1), REQUEST.into()].concat());
    assert_eq!(wire.reply().status, 200);
}

#[test]
fn half_a_header_is_not_waited_for_longer_than_a_first_byte() {
    let endpoint = Scripted::saying("hello");
    let (clock, hand) = Clock::manual(START);
    let proxy = behind_with(&endpoint, &["127.0.0.1"], clock);
    let mut wire = proxy.client();
    wire.send("PROXY TCP4 192.0.2.1 ");
    eventually("it is there", || proxy.workers.as_ref().unwrap().vitals().connections() == 1);
    let gone = || proxy.workers.as_ref().unwrap().vitals().connections() == 0;
    let mut waited = Duration::ZERO;
    while waited < Duration::from_millis(4500) {
        hand.advance(Duration::from_millis(100));
        waited += Duration::from_millis(100);
        assert!(!gone(), "after {waited:?}");
    }
    eventually("it is closed", || {
        hand.advance(Duration::from_millis(100));
        gone()
    });
    assert!(wire.is_closed());
    assert_eq!(turned_away(&proxy), 0, "slow, but nothing wrong yet");
}

/// An endpoint that wants a header first, and says what it said.
fn wanting_a_header() -> Scripted {
    Scripted::start(|wire: &mut Wire| {
        let Some(said) = wire.proxy_header() else { return };
        let ProxyHeader::Relayed { source, destination } = said else { return wire.send(ok("own")) };
        while wire.request().is_some() {
            wire.send(ok(&format!("{} {}", source.ip(), destination.port())));
        }
    })
}

#[test]
fn an_endpoint_is_told_first_whom_a_connection_is_for() {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let endpoint = wanting_a_header();
        let mut web = Web::of(&[&endpoint]);
        web.policy.connection.proxy_protocol = Some(version);
        let proxy = Proxy::start(web);
        let mut wire = proxy.client();
        for _ in 0..2 {
            wire.send(REQUEST);
            assert_eq!(wire.reply().text(), format!("127.0.0.1 {}", proxy.address.port()), "{version:?}");
        }
        assert_eq!(endpoint.connections(), 2, "a connection is for one request");
    }
}

#[test]
fn an_endpoint_is_told_of_the_client_that_a_trusted_proxy_named() {
    let endpoint = wanting_a_header();
    let mut web = Web::of(&[&endpoint]);
    web.trusted = TrustedProxies(networks(&["127.0.0.1"]));
    web.policy.connection.proxy_protocol = Some(ProxyProtocol::V2);
    let proxy = Proxy::start(web);
    for client in ["192.0.2.1", "192.0.2.2"] {
        let reply = proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n"));
        assert_eq!(reply.text(), format!("{client} {}", proxy.address.port()));
    }
}
