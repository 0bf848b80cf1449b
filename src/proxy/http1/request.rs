//! A request's head, read.

use bytes::BytesMut;
use http::request::Parts;
use http::{Method, Request, Uri, Version};

use super::fields::{Coding, Length, Room, Said, Whole, take};
use super::{BadHead, Bounds, Framing};

/// What a [`Uri`] can hold.
const LONGEST_TARGET: usize = 65_534;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request's head, and what it says of what follows.
pub(crate) struct RequestHead {
    /// Boxed: it passes through many hands.
    pub(crate) parts: Box<Parts>,
    pub(crate) framing: Framing,
    /// Whether its client wants to ask again on this connection.
    pub(crate) keeps_alive: bool,
}

/// Takes a request's head off the buffer; `None` if it is not whole yet. `seen` is for the next call on the same head, and
/// 0 before the first.
///
/// # Errors
/// It is no head, could be read in two ways or is too large: nothing more can be read from this connection.
pub(crate) fn read_request(
    buffer: &mut BytesMut,
    seen: &mut usize,
    bounds: Bounds,
) -> Result<Option<RequestHead>, BadHead> {
    match take(buffer, seen, bounds, |read, room| parse(read, room, bounds)) {
        Err(BadHead::Malformed) if buffer.starts_with(HTTP2_PREFACE) => Err(BadHead::Http2),
        head => head,
    }
}

/// The head that what was `read` begins with, and its length.
fn parse<'head>(
    read: &'head [u8],
    room: &mut Room<'head>,
    bounds: Bounds,
) -> Result<Option<(usize, RequestHead)>, BadHead> {
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(read, room)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(BadHead::Malformed);
    };
    if target.len() > LONGEST_TARGET {
        return Err(BadHead::TargetTooLong);
    }
    let mut parts = Box::new(Request::new(()).into_parts().0);
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| BadHead::Malformed)?;
    parts.version = version(minor);
    let whole = Whole::keep(read, length, bounds)?;
    if target != "/" {
        parts.uri = Uri::from_maybe_shared(whole.cut(target.as_bytes())).map_err(|_| BadHead::Malformed)?;
    }
    let (headers, said) = whole.collect(request.headers)?;
    parts.headers = headers;
    let framing = framing(&said, parts.version)?;
    // Whoever sends both may be smuggling (RFC 9112 section 6.1): nothing behind it is believed.
    let is_clear = said.coding.is_none() || said.length.is_none();
    let keeps_alive = is_clear && said.keeps_alive(parts.version);
    Ok(Some((length, RequestHead { parts, framing, keeps_alive })))
}

/// RFC 9112 section 6.3, for requests.
fn framing(said: &Said, version: Version) -> Result<Framing, BadHead> {
    match (said.coding, said.length) {
        // Without persistent connections nobody knows what it would mean (RFC 9112 section 6.1).
        (Some(_), _) if version == Version::HTTP_10 => Err(BadHead::Malformed),
        (Some(Coding::Chunked), Some(Length::Of(_)) | None) => Ok(Framing::Chunked),
        (Some(Coding::Other), _) | (_, Some(Length::Bad)) => Err(BadHead::Malformed),
        (None, Some(Length::Of(0)) | None) => Ok(Framing::Empty),
        (None, Some(Length::Of(length))) => Ok(Framing::Length(length)),
    }
}

pub(super) fn version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1024, fields: 100 };

    fn read(text: &str) -> Result<Option<RequestHead>, BadHead> {
        read_request(&mut BytesMut::from(text), &mut 0, BOUNDS)
    }

    fn framed(fields: &str) -> Result<Framing, BadHead> {
        read(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).map(|head| head.expect("whole").framing)
    }

    #[test]
    fn a_head_is_taken_off_and_what_follows_stays() {
        let mut buffer = BytesMut::from("GET /a?b HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\n\r\nGET /next");
        let head = read_request(&mut buffer, &mut 0, BOUNDS).expect("good").expect("whole");
        assert_eq!((&head.parts.method, head.parts.uri.to_string()), (&Method::GET, "/a?b".to_owned()));
        assert_eq!(head.parts.headers["host"], "h");
        assert_eq!(head.parts.headers["x-y"], "z");
        assert_eq!((head.framing, head.keeps_alive), (Framing::Empty, true));
        assert_eq!(&buffer[..], b"GET /next");
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_read_when_it_is_whole() {
        for text in
            ["\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", "GET / HTTP/1.1\nhost: h\n\n", "GET / HTTP/1.0\n\r\n"]
        {
            let (mut buffer, mut seen) = (BytesMut::new(), 0);
            for (number, byte) in text.bytes().enumerate() {
                buffer.extend_from_slice(&[byte]);
                let head = read_request(&mut buffer, &mut seen, BOUNDS).expect("good");
                assert_eq!(head.is_some(), number + 1 == text.len(), "byte {number} of {text:?}");
            }
            assert_eq!((buffer.len(), seen), (0, 0));
        }
    }

    #[test]
    fn a_body_is_delimited_in_one_way_or_not_at_all() {
        for (fields, expected) in [
            ("", Ok(Framing::Empty)),
            ("content-length: 0\r\n", Ok(Framing::Empty)),
            ("content-length: 5\r\n", Ok(Framing::Length(5))),
            ("content-length: 5\r\ncontent-length: 5\r\n", Ok(Framing::Length(5))),
            ("content-length: 5\r\ncontent-length: 6\r\n", Err(BadHead::Malformed)),
            ("content-length: +5\r\n", Err(BadHead::Malformed)),
            ("content-length: 0x5\r\n", Err(BadHead::Malformed)),
            ("content-length: \r\n", Err(BadHead::Malformed)),
            ("content-length: 18446744073709551616\r\n", Err(BadHead::Malformed)),
            ("content-length: 18446744073709551615\r\n", Err(BadHead::Malformed)),
            ("content-length: 5, 5\r\n", Ok(Framing::Length(5))),
            ("transfer-encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("transfer-encoding: gzip, Chunked\r\n", Ok(Framing::Chunked)),
            ("transfer-encoding: chunked, gzip\r\n", Err(BadHead::Malformed)),
            ("transfer-encoding: gzip\r\n", Err(BadHead::Malformed)),
            ("transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n", Err(BadHead::Malformed)),
            ("transfer-encoding: chunked\r\ncontent-length: x\r\n", Err(BadHead::Malformed)),
        ] {
            assert_eq!(framed(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_length_beside_a_coding_is_gone_and_ends_the_connection() {
        for fields in [
            "content-length: 5\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 5",
        ] {
            let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
            let head = read(&text).expect("good").expect("whole");
            assert_eq!((head.framing, head.keeps_alive), (Framing::Chunked, false));
            assert!(!head.parts.headers.contains_key("content-length"));
        }
    }

    #[test]
    fn whoever_can_not_speak_of_codings_uses_none() {
        let text = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(read(text).err(), Some(BadHead::Malformed));
    }

    #[test]
    fn a_connection_is_kept_as_its_client_says() {
        for (version, connection, expected) in [
            ("1.1", "", true),
            ("1.1", "connection: x, Close\r\n", false),
            ("1.1", "connection: close\r\nconnection: keep-alive\r\n", false),
            ("1.0", "", false),
            ("1.0", "connection: Keep-Alive\r\n", true),
            ("1.0", "connection: keep-alive, close\r\n", false),
        ] {
            let head =
                read(&format!("GET / HTTP/{version}\r\n{connection}\r\n")).expect("good").expect("whole");
            assert_eq!(head.keeps_alive, expected, "{version} {connection:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_for_its_reason() {
        let fields = "a: b\r\n".repeat(101);
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n a: b\r\n\r\n".to_owned(), BadHead::Malformed),
            ("GET / HTTP/1.1\r\na : b\r\n\r\n".to_owned(), BadHead::Malformed),
            ("GET  / HTTP/1.1\r\n\r\n".to_owned(), BadHead::Malformed),
            ("GET / HTTP/2.0\r\n\r\n".to_owned(), BadHead::Malformed),
            ("\x16\x03\x01".to_owned(), BadHead::Malformed),
            (format!("GET / HTTP/1.1\r\n{fields}\r\n"), BadHead::TooLarge),
            (format!("GET /{} HTTP/1.1\r\n", "a".repeat(2000)), BadHead::TooLarge),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(2000)), BadHead::TooLarge),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), BadHead::Http2),
        ] {
            assert_eq!(read(&text).err(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn more_fields_than_usual_are_read_where_they_are_allowed() {
        let fields: String = (0..150).map(|number| format!("x-{number}: {number}\r\n")).collect();
        let mut buffer = BytesMut::from(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_str());
        let bounds = Bounds { bytes: 64 * 1024, fields: 200 };
        let head = read_request(&mut buffer, &mut 0, bounds).expect("good").expect("whole");
        assert_eq!(head.parts.headers.len(), 150);
        assert_eq!(head.parts.headers["x-149"], "149");
    }
}
