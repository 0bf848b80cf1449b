//! What a connection of HTTP/2 owes its streams, and asks of its client.

use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;

use crate::endpoint::{Scripted, nobody, ok};
use crate::http2_client::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, OK, PING, RST_STREAM, Raw, SETTINGS, block, frame,
    plain,
};
use crate::world::{Proxy, Web, eventually};

const SILENCE: Duration = Duration::from_secs(20);

/// The next frame that is no settings.
fn next(client: &mut Raw) -> Option<(u8, u8, u32, Vec<u8>)> {
    loop {
        let frame = client.next()?;
        if frame.0 != SETTINGS {
            return Some(frame);
        }
    }
}

#[test]
fn a_client_that_says_nothing_is_asked_and_one_that_does_not_answer_is_given_up() {
    let endpoint = Scripted::saying("hello");
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    let proxy = Proxy::start_with(Web::of(&[&endpoint]), 1, clock, Duration::ZERO);
    let mut client = Raw::connect(&proxy);
    client.get(1, &[]);
    assert_eq!(client.outcome(1), OK);
    assert_eq!(next(&mut client).map(|frame| frame.0), Some(DATA));
    assert_eq!(proxy.get("/").status, 200);
    for _ in 0..2 {
        hand.advance(SILENCE);
        let (kind, flags, _, payload) = next(&mut client).unwrap();
        assert_eq!((kind, flags), (PING, 0));
        client.send(PING, ACK, 0, &payload);
        // That it was heard shows by what is sent behind it.
        client.send(PING, 0, 0, b"adit-too");
        assert_eq!(next(&mut client), Some((PING, ACK, 0, b"adit-too".to_vec())));
        // The one worker has done with our client when it serves another.
        assert_eq!(proxy.get("/").status, 200);
    }
    hand.advance(SILENCE);
    assert_eq!(next(&mut client).map(|frame| (frame.0, frame.1)), Some((PING, 0)));
    hand.advance(SILENCE);
    let (kind, _, _, payload) = next(&mut client).unwrap();
    assert_eq!((kind, &payload[4..8]), (GOAWAY, &[0; 4][..]), "without an error of its own");
    assert_eq!(next(&mut client), None);
}

#[test]
fn a_body_that_its_client_resets_without_an_error_is_broken_all_the_same() {
    let endpoint = Scripted::start(|wire| {
        // Whole or not: the proxy closes where it breaks off.
        while wire.request().is_some() {
            wire.send(ok("whole"));
        }
    });
    let proxy = Proxy::start(Web::canary(&[nobody()], &[endpoint.address], 100.0));
    let mut client = Raw::connect(&proxy);
    let fields = [&[(&b":method"[..], &b"POST"[..])], &plain()[1..]].concat();
    client.send(HEADERS, END_HEADERS, 1, &block(&fields));
    client.send(DATA, 0, 1, b"half");
    eventually("it is under way", || proxy.in_flight() == 1);
    client.send(RST_STREAM, 0, 1, &0_u32.to_be_bytes());
    eventually("it is let go", || proxy.in_flight() == 0);
    assert_eq!((proxy.evidence().canary.failed, proxy.endpoint_counts(1, 0)), (0, (0, 0)));
    client.get(3, &[]);
    assert_eq!(client.outcome(3), OK);
    assert_eq!(proxy.ended(1, 200), 1, "the half was taken for a whole");
}

/// Messages of gRPC are often of this size, and come in bursts.
#[test]
fn many_small_frames_that_fit_the_window_end_no_connection() {
    let endpoint = Scripted::start(|wire| {
        while let Some((_, body)) = wire.request() {
            wire.send(ok(&body.len().to_string()));
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    let fields = [&[(&b":method"[..], &b"POST"[..])], &plain()[1..]].concat();
    client.send(HEADERS, END_HEADERS, 1, &block(&fields));
    let burst = frame(DATA, 0, 1, &[b'x'; 20]).repeat(3_000);
    client.wire.send(burst);
    client.send(DATA, END_STREAM, 1, b"");
    assert_eq!(client.outcome(1), OK);
}

#[test]
fn more_streams_than_a_connection_keeps_places_for_come_and_go_in_waves() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    let mut stream = 1;
    for wave in [30, 1, 50, 3] {
        let streams: Vec<u32> = (0..wave).map(|index| stream + 2 * index).collect();
        stream += 2 * wave;
        for stream in &streams {
            client.get(*stream, &[]);
        }
        let mut ended = Vec::new();
        while ended.len() < streams.len() {
            let (kind, flags, of, payload) = next(&mut client).unwrap();
            assert!(kind != RST_STREAM && kind != GOAWAY, "{kind} {payload:?}");
            if flags & END_STREAM != 0 && kind == DATA {
                ended.push(of);
            }
        }
        ended.sort_unstable();
        assert_eq!(ended, streams);
    }
}
