//! A client of HTTP/2 that is written frame by frame: it can say what no library would.

use crate::wire::Wire;
use crate::world::Proxy;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;
/// Error codes (RFC 9113 section 7).
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

type Field<'a> = (&'a [u8], &'a [u8]);

/// A client's end of a connection.
pub(crate) struct Raw {
    pub(crate) wire: Wire,
}

/// What became of a stream, or of the whole connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// An answer; what its field block begins with: the status, where that is one of the static table's.
    Answered(u8),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was given up, with this code.
    Goaway(u32),
    /// It just ended.
    Closed,
}

/// Entries of the static table (RFC 7541 appendix A) with the bit for "indexed".
pub(crate) const OK: Outcome = Outcome::Answered(0x88);
pub(crate) const NO_CONTENT: Outcome = Outcome::Answered(0x89);
pub(crate) const BAD_REQUEST: Outcome = Outcome::Answered(0x8c);

impl Raw {
    pub(crate) fn connect(proxy: &Proxy) -> Self {
        let mut raw = Self { wire: proxy.client() };
        raw.wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(SETTINGS, 0, 0, &[]);
        raw
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.wire.send(frame(kind, flags, stream, payload));
    }

    /// `GET http://a/` with these fields behind it.
    pub(crate) fn get(&mut self, stream: u32, more: &[Field<'_>]) {
        let fields = [&plain()[..], more].concat();
        self.send(HEADERS, WHOLE, stream, &block(&fields));
    }

    /// What becomes of this stream.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some((kind, flags, of, payload)) = self.next() else { return Outcome::Closed };
            match kind {
                HEADERS if of == stream => return Outcome::Answered(payload[0]),
                RST_STREAM if of == stream => return Outcome::Reset(code(&payload[..4])),
                GOAWAY if code(&payload[4..8]) != 0 => return Outcome::Goaway(code(&payload[4..8])),
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload),
                _ => {}
            }
        }
    }

    /// Any frame: kind, flags, stream and payload.
    pub(crate) fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.wire.bytes(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, self.wire.bytes(length)?))
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The pseudo-header fields of `GET http://a/`.
pub(crate) fn plain() -> [Field<'static>; 4] {
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
}

/// A field block: every field literal, without Huffman coding, kept in no table.
pub(crate) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// RFC 7541 section 5.1, with a prefix of seven bits.
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(u8::try_from(length).unwrap());
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
