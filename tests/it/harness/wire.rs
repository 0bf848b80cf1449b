//! HTTP/1.1 as bytes: just enough to read what came, and strict about where it ends.

use std::io::{self, BufRead, Read};

/// More than any head of a test.
const MAX_LINE: u64 = 64 * 1024;

/// A request's or response's first line and fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) line: String,
    /// In order of arrival, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
}

/// How a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// Reads a head; `None` when the connection ended before its first byte.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(line) = read_line(from)? else { return Ok(None) };
        let mut head = Self { line, fields: Vec::new() };
        loop {
            let field = read_line(from)?.ok_or_else(|| cut("the connection ended within a head"))?;
            if field.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = field.split_once(':').ok_or_else(|| cut("a field without a colon"))?;
            head.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The first field with this (lower case) name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The n-th word of the first line.
    pub(crate) fn word(&self, n: usize) -> &str {
        self.line.split(' ').nth(n).unwrap_or_default()
    }

    /// Whether the sender will close the connection after this message.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// How the body ends, if the message may have one; `otherwise` when the head does not say.
    pub(crate) fn framing(&self, otherwise: Framing) -> io::Result<Framing> {
        if self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Ok(Framing::Chunked);
        }
        match self.field("content-length").map(str::parse) {
            Some(length) => {
                Ok(Framing::Length(length.map_err(|_| cut("a content-length that is no number"))?))
            }
            None => Ok(otherwise),
        }
    }
}

/// Reads a whole body.
pub(crate) fn read_body(from: &mut impl BufRead, framing: Framing) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match framing {
        Framing::Length(length) => {
            let read = from.take(length).read_to_end(&mut body)?;
            if u64::try_from(read).is_ok_and(|read| read < length) {
                return Err(cut("the body ended early"));
            }
        }
        Framing::Chunked => {
            while let Some(mut piece) = read_chunk(from)? {
                body.append(&mut piece);
            }
        }
        Framing::UntilClose => drop(from.read_to_end(&mut body)?),
    }
    Ok(body)
}

/// Reads the next chunk of a chunked body; `None` at its end.
pub(crate) fn read_chunk(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let size = read_line(from)?.ok_or_else(|| cut("the connection ended within a chunked body"))?;
    let size = u64::from_str_radix(size.trim(), 16).map_err(|_| cut("a chunk size that is no number"))?;
    let mut piece = Vec::new();
    from.take(size).read_to_end(&mut piece)?;
    let end = read_line(from)?.ok_or_else(|| cut("the connection ended within a chunk"))?;
    match (end.is_empty(), size) {
        (false, _) => Err(cut("a chunk that does not end where it said")),
        (true, 0) => Ok(None),
        (true, _) => Ok(Some(piece)),
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') || line.pop() != Some(b'\r') {
        return Err(cut("a line that does not end in CRLF"));
    }
    String::from_utf8(line).map(Some).map_err(|_| cut("a line that is not UTF-8"))
}

fn cut(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}
