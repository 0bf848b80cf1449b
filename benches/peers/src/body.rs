//! A request's body on its way into nothing: its end has to be found all the same.

use std::io::{self, ErrorKind};

/// A body that is being received and thrown away.
pub enum Sink {
    Known { received: u64, length: u64 },
    Chunked { received: u64, at: At },
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy)]
pub enum At {
    /// In the line that says how long the chunk is. `so_far` is what it has said.
    Size { so_far: u64, extension: bool },
    /// In the chunk, or in the CR LF behind it (the last two of `left`).
    Chunk { left: u64 },
    /// In the lines behind the last chunk; `line` is how long this one is so far.
    Trailer { line: usize },
}

const START: At = At::Size { so_far: 0, extension: false };

impl Sink {
    /// The body that a request's head (in lower case) announces; none without one.
    pub fn announced(head: &str) -> io::Result<Option<Sink>> {
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            return Ok(Some(Sink::Chunked { received: 0, at: START }));
        }
        let Some((_, rest)) = head.split_once("\r\ncontent-length:") else { return Ok(None) };
        let length = rest.lines().next().unwrap_or_default().trim();
        let length: u64 = length.parse().map_err(|_| ErrorKind::InvalidData)?;
        Ok((length > 0).then_some(Sink::Known { received: 0, length }))
    }

    /// Takes what came; at the end it says how long the body was.
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<Option<u64>> {
        match self {
            Sink::Known { received, length } => {
                *received += bytes.len() as u64;
                Ok((*received >= *length).then_some(*received))
            }
            Sink::Chunked { received, at } => Sink::take_chunked(received, at, bytes),
        }
    }

    fn take_chunked(received: &mut u64, at: &mut At, mut bytes: &[u8]) -> io::Result<Option<u64>> {
        while let Some(&byte) = bytes.first() {
            if let At::Chunk { left } = *at {
                let now = left.min(bytes.len() as u64);
                *received += now.min(left.saturating_sub(2));
                *at = if now == left { START } else { At::Chunk { left: left - now } };
                bytes = &bytes[now as usize..];
                continue;
            }
            bytes = &bytes[1..];
            *at = match (*at, byte) {
                (At::Size { so_far: 0, .. }, b'\n') => At::Trailer { line: 0 },
                (At::Size { so_far, .. }, b'\n') => At::Chunk { left: so_far + 2 },
                (At::Size { so_far, extension: false }, byte) if byte.is_ascii_hexdigit() => {
                    let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                    At::Size { so_far: so_far << 4 | digit, extension: false }
                }
                (At::Size { so_far, .. }, b';' | b'\r' | b' ') => At::Size { so_far, extension: true },
                (At::Size { so_far, extension: true }, _) => At::Size { so_far, extension: true },
                (At::Size { .. }, _) => return Err(ErrorKind::InvalidData.into()),
                (At::Trailer { line: 0 }, b'\n') => return Ok(Some(*received)),
                (At::Trailer { .. }, b'\n') => At::Trailer { line: 0 },
                (At::Trailer { line }, b'\r') => At::Trailer { line },
                (At::Trailer { line }, _) => At::Trailer { line: line + 1 },
                (chunk @ At::Chunk { .. }, _) => chunk,
            };
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::Sink;

    fn chunked(pieces: &[&str]) -> Option<u64> {
        let head = "post / http/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sink = Sink::announced(head).expect("a head").expect("a body");
        let ends: Vec<_> = pieces.iter().map(|piece| sink.take(piece.as_bytes()).expect("chunks")).collect();
        assert!(ends[..ends.len() - 1].iter().all(Option::is_none), "it ended before its end: {ends:?}");
        ends[ends.len() - 1]
    }

    #[test]
    fn a_chunked_body_ends_behind_its_last_chunk_however_it_is_cut() {
        let body = "5\r\nhello\r\nA;why=not\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(chunked(&[body]), Some(15));
        let bytes: Vec<String> = body.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(chunked(&bytes), Some(15));
    }

    #[test]
    fn trailers_belong_to_the_body() {
        assert_eq!(chunked(&["3\r\nabc\r\n0\r\nx-sum: 1\r\n", "\r\n"]), Some(3));
    }

    #[test]
    fn a_known_length_is_waited_for() {
        let mut sink = Sink::announced("post / http/1.1\r\ncontent-length: 10\r\n\r\n")
            .expect("a head")
            .expect("a body");
        assert_eq!(sink.take(b"12345").expect("a piece"), None);
        assert_eq!(sink.take(b"67890").expect("the rest"), Some(10));
    }
}
