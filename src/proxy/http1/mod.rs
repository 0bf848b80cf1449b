//! HTTP/1.1 on the wire (RFC 9112): heads read and written, bodies told apart from what follows them. Pure: bytes in, meaning
//! out; no socket, no clock. Strict: whatever two readers could understand in two ways is refused.

pub(crate) mod body;
mod fields;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod write;

/// How a body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    Chunked,
    /// What comes until the connection ends: an answer's alone.
    UntilClose,
}

/// How much a head or a trailer section may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// With all that delimits it.
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// Why a head can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// It is no HTTP/1.x, or could be read in two ways.
    Malformed,
    /// Its target is longer than any can be.
    TargetTooLong,
    /// It is longer than it may be, or has more fields.
    TooLarge,
    /// The preface of HTTP/2 (RFC 9113 section 3.4): no request, and nothing that could be answered.
    Http2,
}

impl From<httparse::Error> for BadHead {
    fn from(error: httparse::Error) -> Self {
        if error == httparse::Error::TooManyHeaders { Self::TooLarge } else { Self::Malformed }
    }
}
