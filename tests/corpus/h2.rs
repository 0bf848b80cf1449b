//! HTTP/2 by hand: a writer of frames that writes anything, a reader of what comes back, and no more of HPACK than needed.

use std::collections::BTreeMap;

use crate::case::{Case, Protocol, Step, steps};
use crate::client::Peer;
use crate::front::Seen;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 32;

/// Asks whether the connection still works.
const PROBE: &[u8; 8] = b"anybody?";

/// A case over HTTP/2: preface and settings, then these frames.
pub(crate) fn h2(name: &'static str, frames: &[Vec<u8>]) -> Case {
    raw(name, [opening(), frames.concat()].concat())
}

/// A case over HTTP/2 of exactly these bytes.
pub(crate) fn raw(name: &'static str, bytes: Vec<u8>) -> Case {
    in_steps(name, vec![Step::Send(bytes)])
}

pub(crate) fn in_steps(name: &'static str, send: Vec<Step>) -> Case {
    Case { protocol: Protocol::Http2, ..steps(name, send).alone() }
}

/// The preface and settings: no dynamic table, so that answers can be read one by one.
pub(crate) fn opening() -> Vec<u8> {
    [PREFACE, &settings(&[(1, 0)])].concat()
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    sized(payload.len(), kind, flags, stream, payload)
}

/// A frame that says it is of this length.
pub(crate) fn sized(length: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values = values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &values.collect::<Vec<u8>>())
}

/// A field, literally: not indexed, not compressed.
pub(crate) fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name.as_ref(), value.as_ref()] {
        block.extend(integer(text.len()));
        block.extend(text);
    }
    block
}

/// RFC 7541 section 5.1, with a prefix of seven bits.
fn integer(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let (mut bytes, mut rest) = (vec![127], value - 127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// The four that every request has, and these.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
    [block(&pseudo), block(fields)].concat()
}

/// HEADERS that end the stream.
pub(crate) fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// HEADERS of a request with a body to come.
pub(crate) fn opens(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    headers(stream, &request("GET", "/x", &[]))
}

pub(crate) fn data(stream: u32, body: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, body)
}

#[derive(Default)]
struct Stream {
    status: Option<String>,
    end: Option<String>,
}

/// Reads until every stream that is expected has ended, and says whether the connection still works.
pub(crate) fn read(case: &Case, peer: &mut Peer, seen: &mut Seen) {
    let wanted: Vec<Vec<u32>> = case.may.iter().map(|outcome| streams(outcome.client)).collect();
    let spoken: Vec<&Vec<u32>> = wanted.iter().filter(|ids| !ids.is_empty()).collect();
    let mut streams = BTreeMap::<u32, Stream>::new();
    let (mut goaway, mut probed, mut answered) = (None, false, false);
    loop {
        let is_done = |id: &u32| streams.get(id).is_some_and(|it| it.end.is_some());
        let done = spoken.iter().any(|ids| ids.iter().all(is_done)) || spoken.is_empty();
        if done && !probed && goaway.is_none() {
            peer.send(&frame(PING, 0, 0, PROBE));
            probed = true;
        }
        if answered {
            break;
        }
        let Some((kind, flags, id, payload)) = next(peer) else { break };
        let stream = streams.entry(id);
        match kind {
            HEADERS if flags & END_HEADERS != 0 => {
                let stream = stream.or_default();
                if stream.status.is_none() {
                    stream.status = Some(status(&payload));
                }
                if flags & END_STREAM != 0 {
                    stream.end = Some(String::new());
                }
            }
            DATA if flags & END_STREAM != 0 => stream.or_default().end = Some(String::new()),
            DATA => {
                peer.send(&frame(
                    WINDOW_UPDATE,
                    0,
                    0,
                    &u32::try_from(payload.len().max(1)).unwrap().to_be_bytes(),
                ));
            }
            RST_STREAM => {
                // After a whole answer NO_ERROR only says that the rest of the request is not wanted.
                let stream = stream.or_default();
                stream.end.get_or_insert(format!("reset {}", code(&payload)));
            }
            GOAWAY => goaway = Some(code(payload.get(4..).unwrap_or_default())),
            SETTINGS if flags & ACK == 0 => peer.send(&frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK != 0 => answered |= payload == PROBE,
            _ => {}
        }
    }
    seen.client.extend(items(streams, &wanted));
    seen.client.extend(goaway.map(|code| format!("goaway {code}")));
    let end = if answered {
        "open"
    } else if peer.closed {
        "closed"
    } else {
        "silent"
    };
    seen.client.push(end.into());
}

/// How the streams ended: each, or where there are many those that are spoken of and how many others.
fn items(streams: BTreeMap<u32, Stream>, wanted: &[Vec<u32>]) -> Vec<String> {
    let (many, mut others, mut items) = (streams.len() > 8, BTreeMap::<String, usize>::new(), Vec::new());
    if wanted.iter().all(Vec::is_empty) {
        return items;
    }
    for (id, stream) in streams {
        let end = stream.end.as_deref().unwrap_or("unended");
        let item = match &stream.status {
            Some(status) if end.is_empty() => status.clone(),
            Some(status) => format!("{status} {end}"),
            None => end.to_owned(),
        };
        if many && !wanted.iter().flatten().any(|it| *it == id) {
            *others.entry(item).or_default() += 1;
        } else {
            items.push(format!("{id}: {item}"));
        }
    }
    items.extend(others.into_iter().map(|(item, count)| format!("{count} streams: {item}")));
    items
}

/// The streams that an outcome speaks of.
fn streams(client: &str) -> Vec<u32> {
    client.split(", ").filter_map(|item| item.split_once(": ")?.0.parse().ok()).collect()
}

fn next(peer: &mut Peer) -> Option<(u8, u8, u32, Vec<u8>)> {
    while peer.ahead.len() < 9 {
        if !peer.more() {
            return None;
        }
    }
    let head: Vec<u8> = peer.ahead.drain(..9).collect();
    let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let length = usize::try_from(number(&head[..3])).unwrap();
    while peer.ahead.len() < length {
        if !peer.more() {
            return None;
        }
    }
    Some((head[3], head[4], number(&head[5..]) & 0x7FFF_FFFF, peer.ahead.drain(..length).collect()))
}

fn code(payload: &[u8]) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let number =
        payload.get(..4).map(|bytes| bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)));
    number.and_then(|number| NAMES.get(number)).copied().unwrap_or("?")
}

/// The status is first in a block (RFC 9113 section 8.3): from the static table, or a literal under its name.
fn status(block: &[u8]) -> String {
    let mut block = block;
    while let [0x20..=0x3F, rest @ ..] = block {
        block = rest;
    }
    match block {
        [first @ 0x88..=0x8E, ..] => {
            ["200", "204", "206", "304", "400", "404", "500"][usize::from(first - 0x88)].to_owned()
        }
        [0x48 | 0x08 | 0x18, length, value @ ..] => {
            let value = &value[..usize::from(length & 0x7F).min(value.len())];
            if length & 0x80 == 0 { String::from_utf8_lossy(value).into_owned() } else { digits(value) }
        }
        other => format!("? {other:02x?}"),
    }
}

/// Three digits in the Huffman code of RFC 7541: 0 to 2 have five bits, the others six.
fn digits(coded: &[u8]) -> String {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum << 1 | bit);
    let (mut text, mut at) = (String::new(), 0);
    while text.len() < 3 && at + 5 <= bits.len() {
        let five = number(&bits[at..at + 5]);
        if five <= 2 {
            text.push(char::from(b'0' + five));
            at += 5;
        } else {
            let Some(six) = bits.get(at..at + 6) else { break };
            text.push(char::from(b'0' + number(six).wrapping_sub(0x19) + 3));
            at += 6;
        }
    }
    text
}
