//! Where a body ends, and what of it has come.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use super::{Bounds, Framing};

/// What all chunk extensions of a body may be together. Nobody needs any (CVE-2023-39326).
const EXTENSIONS: usize = 16 * 1024;
/// Pieces of less are put together.
const SMALL: usize = 2 * 1024;

/// Takes a body out of what comes on a connection, piece by piece, and nothing behind it.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Of the trailer section.
    bounds: Bounds,
    extensions: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    UntilClose,
    /// A chunk's size comes next.
    Size,
    /// So much of a chunk is to come.
    Chunk(u64),
    /// The end of a chunk's line.
    ChunkEnd,
    /// The last chunk was there.
    Trailers,
    Done,
    Bad(BadBody),
}

/// Why a body can't be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadBody {
    /// Its chunks are none.
    Malformed,
    /// Its trailers or chunk extensions are more than they may be.
    TooLarge,
    /// The connection ended before it did.
    CutOff,
}

/// A line with a chunk's size.
#[derive(Debug, PartialEq, Eq)]
struct SizeLine {
    length: usize,
    size: u64,
    extension: usize,
}

impl Decoder {
    /// `bounds`: of the trailer section.
    pub(crate) fn new(framing: Framing, bounds: Bounds) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, bounds, extensions: 0 }
    }

    /// Whether all of it was given.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How much of it is to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::UntilClose
            | State::Size
            | State::Chunk(_)
            | State::ChunkEnd
            | State::Trailers
            | State::Bad(_) => None,
        }
    }

    /// Takes the next piece off the buffer. `None`: it is done, or more must come first.
    ///
    /// # Errors
    /// What comes is no such body, or ends no more than it should.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, BadBody> {
        let data = match self.state {
            State::Done => None,
            State::Bad(error) => return Err(error),
            State::Length(left) => Some(self.give(buffer, at_most(left, buffer))),
            State::UntilClose => Some(buffer.split().freeze()),
            State::Size | State::Chunk(_) | State::ChunkEnd | State::Trailers => {
                return self.decode_chunks(buffer);
            }
        };
        Ok(data.filter(|data| !data.is_empty()).map(Frame::data))
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// The body has not.
    pub(crate) fn ended(&mut self) -> Result<(), BadBody> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Bad(error) => Err(error),
            State::Length(_) | State::Size | State::Chunk(_) | State::ChunkEnd | State::Trailers => {
                Err(BadBody::CutOff)
            }
        }
    }

    fn decode_chunks(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, BadBody> {
        let data = self.decode_data(buffer)?;
        match (data, self.state) {
            (Some(data), _) => Ok(Some(Frame::data(data))),
            (None, State::Trailers) => Ok(self.decode_trailers(buffer)?.map(Frame::trailers)),
            (None, _) => Ok(None),
        }
    }

    /// Small chunks that are there are put together. What follows the data is looked at as well, so that the end is known with
    /// the last of it.
    fn decode_data(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, BadBody> {
        let mut small = BytesMut::new();
        loop {
            match self.step(buffer) {
                Ok(Step::Wait) => break,
                Ok(Step::On) => {}
                Ok(Step::Data(here)) if here < SMALL => {
                    small.extend_from_slice(&buffer[..here]);
                    self.give(buffer, here);
                }
                Ok(Step::Data(_)) if !small.is_empty() => break,
                Ok(Step::Data(here)) => {
                    let data = self.give(buffer, here);
                    while let Ok(Step::On) = self.step(buffer) {}
                    return Ok(Some(data));
                }
                // What came before it was right, and is given first.
                Err(_) if !small.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok((!small.is_empty()).then(|| small.freeze()))
    }

    /// One step through what stands between data.
    fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, BadBody> {
        match self.state {
            State::Size => self.read_size(buffer),
            State::Chunk(_) if buffer.is_empty() => Ok(Step::Wait),
            State::Chunk(left) => Ok(Step::Data(at_most(left, buffer))),
            State::ChunkEnd => self.read_line_end(buffer, State::Size),
            State::Trailers if buffer.first() == Some(&b'\r') => self.read_line_end(buffer, State::Done),
            State::Length(_) | State::UntilClose | State::Trailers | State::Done | State::Bad(_) => {
                Ok(Step::Wait)
            }
        }
    }

    fn read_size(&mut self, buffer: &mut BytesMut) -> Result<Step, BadBody> {
        let line = self.or_bad(size_line(buffer))?;
        let extension = line.as_ref().map_or(buffer.len(), |line| line.extension);
        if self.extensions + extension > EXTENSIONS {
            return self.or_bad(Err(BadBody::TooLarge));
        }
        let Some(line) = line else { return Ok(Step::Wait) };
        self.extensions += line.extension;
        buffer.advance(line.length);
        self.state = if line.size == 0 { State::Trailers } else { State::Chunk(line.size) };
        Ok(Step::On)
    }

    fn read_line_end(&mut self, buffer: &mut BytesMut, next: State) -> Result<Step, BadBody> {
        match &buffer[..buffer.len().min(2)] {
            b"\r\n" => {
                buffer.advance(2);
                self.state = next;
                Ok(Step::On)
            }
            b"" | b"\r" => Ok(Step::Wait),
            _ => self.or_bad(Err(BadBody::Malformed)),
        }
    }

    fn decode_trailers(&mut self, buffer: &mut BytesMut) -> Result<Option<HeaderMap>, BadBody> {
        let section = self.or_bad(trailer_section(buffer))?;
        if section.unwrap_or(buffer.len()) > self.bounds.bytes {
            return self.or_bad(Err(BadBody::TooLarge));
        }
        let Some(length) = section else { return Ok(None) };
        let trailers = self.or_bad(trailers(&buffer[..length], self.bounds.fields))?;
        buffer.advance(length);
        self.state = State::Done;
        Ok(Some(trailers))
    }

    /// The next `here` bytes, which are data.
    fn give(&mut self, buffer: &mut BytesMut, here: usize) -> Bytes {
        let here_too = u64::try_from(here).unwrap_or(u64::MAX);
        self.state = match self.state {
            State::Length(left) if left > here_too => State::Length(left - here_too),
            State::Chunk(left) if left > here_too => State::Chunk(left - here_too),
            State::Chunk(_) => State::ChunkEnd,
            State::Length(_) => State::Done,
            other => other,
        };
        if here == buffer.capacity() {
            // Nothing is left of it: its memory goes with the data, and is shared with nobody.
            return mem::take(buffer).freeze();
        }
        buffer.split_to(here).freeze()
    }

    fn or_bad<T>(&mut self, read: Result<T, BadBody>) -> Result<T, BadBody> {
        if let Err(error) = read {
            self.state = State::Bad(error);
        }
        read
    }
}

/// What stands between data.
enum Step {
    /// More must come first.
    Wait,
    On,
    /// So much data is there.
    Data(usize),
}

fn at_most(left: u64, buffer: &[u8]) -> usize {
    usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()))
}

/// RFC 9112 section 7.1: hexadecimal digits, perhaps an extension, and a line's end of two bytes. `None`: not whole yet.
fn size_line(buffer: &[u8]) -> Result<Option<SizeLine>, BadBody> {
    let digits = buffer.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let text = &buffer[..digits];
    let size = text.iter().try_fold(0_u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16).map(u64::from)?;
        // What does not fit is no size (CVE-2021-32714).
        size.checked_mul(16)?.checked_add(digit)
    });
    let size = size.ok_or(BadBody::Malformed)?;
    let rest = &buffer[digits..];
    match rest.first() {
        None => return Ok(None),
        Some(b'\r' | b';' | b' ' | b'\t') if digits > 0 => {}
        Some(_) => return Err(BadBody::Malformed),
    }
    let Some(extension) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if is_extension(rest) { Ok(None) } else { Err(BadBody::Malformed) };
    };
    match &rest[extension..rest.len().min(extension + 2)] {
        _ if !is_extension(&rest[..extension]) => Err(BadBody::Malformed),
        b"\r\n" => Ok(Some(SizeLine { length: digits + extension + 2, size, extension })),
        b"\r" => Ok(None),
        _ => Err(BadBody::Malformed),
    }
}

/// Whether this can stand behind a size: blanks, and then what begins with a semicolon.
fn is_extension(text: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    text.iter().find(|byte| !blank(byte)).is_none_or(|first| *first == b';')
}

/// How long the trailer section is with the empty line that ends it; `None`: not whole yet. Lines end in two bytes: whoever reads
/// LF as an end sees another section.
fn trailer_section(buffer: &[u8]) -> Result<Option<usize>, BadBody> {
    let mut from = 0;
    while let Some(length) = buffer[from..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let end = from + length;
        match &buffer[end..buffer.len().min(end + 2)] {
            b"\r\n" if length == 0 => return Ok(Some(end + 2)),
            b"\r\n" => from = end + 2,
            b"\r" => return Ok(None),
            _ => return Err(BadBody::Malformed),
        }
    }
    Ok(None)
}

fn trailers(section: &[u8], most: usize) -> Result<HeaderMap, BadBody> {
    let mut room = vec![httparse::EMPTY_HEADER; most];
    let fields = match httparse::parse_headers(section, &mut room) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Ok(httparse::Status::Partial) => return Err(BadBody::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(BadBody::TooLarge),
        Err(_) => return Err(BadBody::Malformed),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadBody::Malformed)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| BadBody::Malformed)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 256, fields: 3 };

    /// Data, trailers, and what stood behind them.
    type Read = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// What is made of a body that comes in pieces of `size` bytes, and what is left behind it.
    fn read(framing: Framing, wire: &[u8], size: usize) -> Result<Read, BadBody> {
        let mut decoder = Decoder::new(framing, BOUNDS);
        let (mut data, mut trailers, mut buffer) = (Vec::new(), None, BytesMut::new());
        for piece in wire.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = decoder.decode(&mut buffer)? {
                match frame.into_data() {
                    Ok(piece) => data.extend_from_slice(&piece),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                }
            }
        }
        decoder.ended()?;
        assert!(decoder.is_done());
        Ok((data, trailers, buffer.to_vec()))
    }

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let large = "x".repeat(5000);
        let chunks = format!(
            "5\r\nhello\r\n1388;a=b\r\n{large}\r\n6 \t\r\n world\r\n0\r\nx-sum: 1\r\nX-More: 2\r\n\r\nnext"
        );
        for size in [1, 2, 3, 7, 100, 4096, 10_000] {
            let (data, trailers, rest) = read(Framing::Chunked, chunks.as_bytes(), size).expect("good");
            assert_eq!(data, format!("hello{large} world").into_bytes(), "{size}");
            let trailers = trailers.expect("some");
            assert_eq!((trailers["x-sum"].as_bytes(), trailers["x-more"].as_bytes()), (&b"1"[..], &b"2"[..]));
            assert_eq!(rest, b"next");
            let (data, _, rest) = read(Framing::Length(5), b"hellonext", size).expect("good");
            assert_eq!((&data[..], &rest[..]), (&b"hello"[..], &b"next"[..]));
            let (data, _, rest) = read(Framing::UntilClose, b"hello", size).expect("good");
            assert_eq!((&data[..], &rest[..]), (&b"hello"[..], &b""[..]));
        }
    }

    #[test]
    fn the_end_is_known_with_the_last_of_the_data() {
        let large = format!("fa0\r\n{}\r\n0\r\n\r\n", "x".repeat(4000));
        for wire in ["5\r\nhello\r\n0\r\n\r\n", "1\r\na\r\n1\r\nb\r\n000\r\n\r\n", &large] {
            let mut decoder = Decoder::new(Framing::Chunked, BOUNDS);
            let frame = decoder.decode(&mut BytesMut::from(wire)).expect("good").expect("data");
            assert!(frame.is_data() && decoder.is_done());
        }
        let mut decoder = Decoder::new(Framing::Length(2), BOUNDS);
        assert!(decoder.decode(&mut BytesMut::from("ab")).is_ok_and(|frame| frame.is_some()));
        assert!(decoder.is_done());
    }

    #[test]
    fn what_is_no_chunk_is_refused_in_whatever_pieces_it_comes() {
        for wire in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            " 1\r\na\r\n",
            "1 1\r\na\r\n",
            "1\na\r\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1;a\nb\r\na\r\n",
            "1\rX",
            "10000000000000000\r\n",
            "0\r\na: b\n\r\n",
            "0\r\na: b\rc\r\n\r\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\nab\r\n\r\n",
        ] {
            for size in [1, 2, 100] {
                let read = read(Framing::Chunked, wire.as_bytes(), size);
                assert_eq!(read.err(), Some(BadBody::Malformed), "{wire:?} by {size}");
            }
        }
    }

    #[test]
    fn what_came_before_a_fault_is_given_first() {
        let mut decoder = Decoder::new(Framing::Chunked, BOUNDS);
        let mut buffer = BytesMut::from("1\r\na\r\nzz");
        let frame = decoder.decode(&mut buffer).expect("good so far").expect("data");
        assert_eq!(frame.into_data().expect("data"), "a");
        for _ in 0..2 {
            assert_eq!(decoder.decode(&mut buffer).err(), Some(BadBody::Malformed));
        }
    }

    #[test]
    fn what_is_beside_the_data_is_bounded() {
        let extension = "e".repeat(EXTENSIONS);
        let many = format!("1;{}\r\na\r\n", "e".repeat(1000)).repeat(17);
        let long = format!("0\r\na: {}\r\n\r\n", "b".repeat(256));
        for wire in [
            &format!("1;{extension}"),
            &format!("1;{extension}\r\na\r\n"),
            &many,
            &long,
            &long[..262],
            "0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n",
        ] {
            for size in [97, 100_000] {
                let read = read(Framing::Chunked, wire.as_bytes(), size);
                assert_eq!(read.err(), Some(BadBody::TooLarge), "{} by {size}", &wire[..20]);
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_off_has_not_ended() {
        for wire in ["", "5", "5\r\n", "5\r\nhell", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\na: b\r\n"]
        {
            assert_eq!(read(Framing::Chunked, wire.as_bytes(), 9).err(), Some(BadBody::CutOff), "{wire:?}");
        }
        assert_eq!(read(Framing::Length(5), b"hell", 9).err(), Some(BadBody::CutOff));
    }
}
