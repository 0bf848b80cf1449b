//! The head of an endpoint's answer, read.

use bytes::BytesMut;
use http::response::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::fields::{Coding, Length, Room, Said, Whole, take};
use super::request::version;
use super::{BadHead, Bounds, Framing};

/// The head of an answer, and what it says of what follows.
pub(crate) struct ResponseHead {
    pub(crate) parts: Parts,
    pub(crate) framing: Framing,
    /// Whether the endpoint takes another request on this connection.
    pub(crate) keeps_alive: bool,
}

/// Takes the head of an answer to `asked` off the buffer; `None` if it is not whole yet. `seen` is for the next call on the same
/// head, and 0 before the first. What only says that more is to come (1xx) is given as well, and behind a 101 follows what is no
/// HTTP any more.
///
/// # Errors
/// It is no head, could be read in two ways or is too large: nothing more can be read from this connection.
pub(crate) fn read_response(
    buffer: &mut BytesMut,
    seen: &mut usize,
    bounds: Bounds,
    asked: &Method,
) -> Result<Option<ResponseHead>, BadHead> {
    take(buffer, seen, bounds, |read, room| parse(read, room, bounds, asked))
}

/// The head that what was `read` begins with, and its length.
fn parse<'head>(
    read: &'head [u8],
    room: &mut Room<'head>,
    bounds: Bounds,
    asked: &Method,
) -> Result<Option<(usize, ResponseHead)>, BadHead> {
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut response, read, room)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let (Some(code), Some(minor)) = (response.code, response.version) else { return Err(BadHead::Malformed) };
    let mut parts = Response::new(()).into_parts().0;
    parts.status = StatusCode::from_u16(code).map_err(|_| BadHead::Malformed)?;
    parts.version = version(minor);
    let whole = Whole::keep(read, length, bounds)?;
    let unusual = response.reason.filter(|reason| parts.status.canonical_reason() != Some(reason));
    let reason = unusual.and_then(|reason| ReasonPhrase::try_from(whole.cut(reason.as_bytes())).ok());
    if let Some(reason) = reason {
        parts.extensions.insert(reason);
    }
    let (headers, said) = whole.collect(response.headers)?;
    parts.headers = headers;
    let framing = framing(&said, &parts, asked)?;
    let keeps_alive = framing != Framing::UntilClose && said.keeps_alive(parts.version);
    Ok(Some((length, ResponseHead { parts, framing, keeps_alive })))
}

/// RFC 9112 section 6.3, for answers.
fn framing(said: &Said, head: &Parts, asked: &Method) -> Result<Framing, BadHead> {
    let has_none = head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || asked == Method::HEAD;
    if has_none {
        return Ok(Framing::Empty);
    }
    match (said.coding, said.length) {
        (Some(_), _) if head.version == Version::HTTP_10 => Err(BadHead::Malformed),
        (Some(Coding::Chunked), _) => Ok(Framing::Chunked),
        (Some(Coding::Other), _) | (None, None) => Ok(Framing::UntilClose),
        (None, Some(Length::Bad)) => Err(BadHead::Malformed),
        (None, Some(Length::Of(0))) => Ok(Framing::Empty),
        (None, Some(Length::Of(length))) => Ok(Framing::Length(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, asked: &Method) -> Result<Option<ResponseHead>, BadHead> {
        read_response(&mut BytesMut::from(text), &mut 0, Bounds { bytes: 1024, fields: 100 }, asked)
    }

    fn framed(text: &str, asked: Method) -> Result<(Framing, bool), BadHead> {
        read(&format!("{text}\r\n\r\n"), &asked).map(|head| {
            let head = head.expect("whole");
            (head.framing, head.keeps_alive)
        })
    }

    #[test]
    fn an_answer_is_delimited_by_what_was_asked_and_what_it_says() {
        for (text, asked, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5", Method::GET, Ok((Framing::Length(5), true))),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5", Method::GET, Ok((Framing::Length(5), true))),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5, 6", Method::GET, Err(BadHead::Malformed)),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1", Method::GET, Err(BadHead::Malformed)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5", Method::HEAD, Ok((Framing::Empty, true))),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5", Method::GET, Ok((Framing::Empty, true))),
            ("HTTP/1.1 204 No Content", Method::GET, Ok((Framing::Empty, true))),
            ("HTTP/1.1 200 OK", Method::GET, Ok((Framing::UntilClose, false))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", Method::GET, Ok((Framing::Chunked, true))),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked",
                Method::GET,
                Ok((Framing::Chunked, true)),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip", Method::GET, Ok((Framing::UntilClose, false))),
            ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked", Method::GET, Err(BadHead::Malformed)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5", Method::GET, Ok((Framing::Length(5), false))),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive",
                Method::GET,
                Ok((Framing::Length(5), true)),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close",
                Method::GET,
                Ok((Framing::Empty, false)),
            ),
            ("HTTP/1.1 100 Continue", Method::GET, Ok((Framing::Empty, true))),
            ("HTTP/1.1 99 Low", Method::GET, Err(BadHead::Malformed)),
            ("ICY 200 OK", Method::GET, Err(BadHead::Malformed)),
        ] {
            assert_eq!(framed(text, asked), expected, "{text}");
        }
    }

    #[test]
    fn an_unusual_reason_is_kept() {
        let head = read("HTTP/1.1 404 Gone Fishing\r\n\r\n", &Method::GET).expect("good").expect("whole");
        let reason = head.parts.extensions.get::<ReasonPhrase>().expect("kept");
        assert_eq!(reason.as_bytes(), b"Gone Fishing");
        let head = read("HTTP/1.1 404 Not Found\r\n\r\n", &Method::GET).expect("good").expect("whole");
        assert!(head.parts.extensions.get::<ReasonPhrase>().is_none());
    }
}
