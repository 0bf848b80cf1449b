//! Clients of HTTP/2 that send much and ask for little: the connection ends, the endpoint is left in peace, nobody is
//! blamed.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::stats::ArmCounts;

use crate::endpoint::{Scripted, nobody, ok};
use crate::http2_client::{
    ACK, CONTINUATION, DATA, END_HEADERS, ENHANCE_YOUR_CALM, HEADERS, OK, Outcome, PING, RST_STREAM, Raw,
    SETTINGS, WHOLE, block, frame, plain,
};
use crate::world::{Proxy, Web, eventually};

fn hello_as_canary() -> (Scripted, Proxy) {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0));
    (endpoint, proxy)
}

#[track_caller]
fn assert_next_is_served(proxy: &Proxy) {
    let mut next = Raw::connect(proxy);
    next.get(1, &[]);
    assert_eq!(next.outcome(1), OK);
}

#[test]
fn cve_2023_44487_rapid_resets_end_the_connection_and_hardly_reach_the_endpoint() {
    let endpoint = Scripted::start(|wire| {
        // Never answers: whatever is started stays until it is cancelled.
        wire.request();
        wire.head();
    });
    let proxy = Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0));
    let mut client = Raw::connect(&proxy);
    let mut flood = Vec::new();
    for stream in (1..4000).step_by(2) {
        flood.extend(frame(HEADERS, WHOLE, stream, &block(&plain())));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    client.wire.send(&flood);
    assert_eq!(client.outcome(0), Outcome::Goaway(ENHANCE_YOUR_CALM));
    eventually("all that was started is cancelled", || proxy.in_flight() == 0);
    assert!(endpoint.connections() <= 100, "{} requests reached the endpoint", endpoint.connections());
    let ArmCounts { completed, failed, .. } = proxy.evidence().canary;
    assert_eq!((completed, failed, proxy.endpoint_counts(1, 0)), (0, 0, (0, 0)));
}

#[test]
fn resets_that_come_one_by_one_cancel_at_the_endpoint_and_blame_nobody() {
    let endpoint = Scripted::start(|wire| {
        wire.request();
        wire.head();
    });
    let proxy = Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0));
    let mut client = Raw::connect(&proxy);
    for request in 0..50 {
        let stream = request * 2 + 1;
        client.get(stream, &[]);
        eventually("it is under way", || proxy.in_flight() == 1);
        client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        eventually("it is cancelled", || proxy.in_flight() == 0);
    }
    let ArmCounts { completed, failed, .. } = proxy.evidence().canary;
    assert_eq!((completed, failed, proxy.endpoint_counts(1, 0)), (0, 0, (0, 0)));
}

#[test]
fn cve_2024_27316_a_head_without_an_end_ends_the_connection() {
    let (endpoint, proxy) = hello_as_canary();
    let mut client = Raw::connect(&proxy);
    client.send(HEADERS, 0, 1, &block(&plain()));
    let piece = block(&[(b"x-a", &[b'a'; 8000])]);
    for _ in 0..200 {
        client.send(CONTINUATION, 0, 1, &piece);
    }
    let outcome = client.outcome(1);
    assert!(matches!(outcome, Outcome::Goaway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    assert_eq!(endpoint.heads().len(), 0);
    assert_next_is_served(&proxy);
}

#[test]
fn cve_2019_9518_empty_frames_end_the_connection() {
    let endpoint = Scripted::start(|wire| while wire.request().is_some() {});
    let proxy = Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0));
    let mut client = Raw::connect(&proxy);
    let post =
        [(&b":method"[..], &b"POST"[..]), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")];
    client.send(HEADERS, END_HEADERS, 1, &block(&post));
    client.wire.send(frame(DATA, 0, 1, &[]).repeat(100_000));
    let outcome = client.outcome(1);
    assert!(matches!(outcome, Outcome::Goaway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    eventually("it is over", || proxy.in_flight() == 0);
    let ArmCounts { completed, failed, .. } = proxy.evidence().canary;
    assert_eq!((completed, failed, proxy.endpoint_counts(1, 0)), (0, 0, (0, 0)));
}

#[test]
fn an_indexed_field_repeated_without_end_counts_each_time() {
    let (endpoint, proxy) = hello_as_canary();
    let mut client = Raw::connect(&proxy);
    // A field of 1 KiB enters the dynamic table (entry 62) and is named 10,000 times, a byte each: 10 MiB in 11 KiB.
    let mut bomb = block(&plain());
    let mut field = block(&[(b"x-bomb", &[b'b'; 1000])]);
    field[0] = 0x40;
    bomb.extend(field);
    bomb.extend([0x80 | 62; 10_000]);
    client.send(HEADERS, WHOLE, 1, &bomb);
    let outcome = client.outcome(1);
    assert_ne!(outcome, OK);
    assert_eq!(endpoint.heads().len(), 0);
    assert_next_is_served(&proxy);
}

/// Sends these bytes until the proxy takes no more, without reading anything; then lets time pass.
#[track_caller]
fn assert_flood_is_held_up_and_cut(bytes: &[u8]) {
    let endpoint = Scripted::start(|wire| {
        while wire.request().is_some() {
            wire.send(ok("hello"))
        }
    });
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(Web::of(&[&endpoint]), 1, clock, Duration::ZERO);
    let mut client = Raw::connect(&proxy);
    client.send(SETTINGS, ACK, 0, &[]);
    let flood = bytes.repeat(1000);
    client.wire.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    let ended = loop {
        match client.wire.stream.write(&flood) {
            Ok(count) => sent += count,
            Err(error) => break error.kind(),
        }
        assert!(sent < 1_000_000_000, "it takes everything");
    };
    assert!(matches!(
        ended,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ));
    // Others are served meanwhile, and the connection that stands still is cut.
    assert_next_is_served(&proxy);
    let closed = || proxy.workers.as_ref().unwrap().vitals().connections() == 0;
    eventually("it is cut", || {
        hand.advance(Duration::from_secs(1));
        closed()
    });
}

#[test]
fn cve_2019_9512_pings_that_nobody_reads_the_answers_of_are_held_up_and_cut() {
    assert_flood_is_held_up_and_cut(&frame(PING, 0, 0, &[7; 8]));
}

#[test]
fn cve_2019_9515_settings_that_nobody_reads_the_answers_of_are_held_up_and_cut() {
    assert_flood_is_held_up_and_cut(&frame(SETTINGS, 0, 0, &[]));
}
