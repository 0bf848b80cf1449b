//! Heads and chunks, written. Names go out in lower case, as they do over HTTP/2.

use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, response};
use hyper::ext::ReasonPhrase;

use super::Framing;
use super::fields::names;

/// What most requests' heads take.
const USUAL: usize = 512;
/// Ends a chunk's data.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// Which fields an answer's head delimits its body with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimited {
    /// As its own fields say: there is no body to be told apart.
    AsItIs,
    Length(u64),
    Chunked,
    /// None: there can be no body, or it ends with the connection.
    Not,
}

/// Appends the head of a request to an endpoint, always HTTP/1.1. What `Content-Length` says is left as it is; `Framing::Chunked`
/// adds a coding.
pub(crate) fn request_head<'head>(
    out: &mut Vec<u8>,
    method: &Method,
    target: &Uri,
    fields: impl IntoIterator<Item = (&'head HeaderName, &'head HeaderValue)>,
    framing: Framing,
) {
    let target = target.path_and_query().map_or("/", |target| target.as_str());
    out.reserve(target.len() + USUAL);
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in fields {
        field(out, name, value.as_bytes());
    }
    if framing == Framing::Chunked {
        field(out, &TRANSFER_ENCODING, b"chunked");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of an answer to a client that speaks `version`. `connection`: what is said of the connection, in place of
/// what its fields say; `date`: a value if it has none of its own.
pub(crate) fn response_head(
    out: &mut Vec<u8>,
    version: Version,
    head: &response::Parts,
    delimited: Delimited,
    connection: Option<&[u8]>,
    date: Option<&[u8]>,
) {
    status_line(out, version, head);
    for (name, value) in &head.headers {
        let is_ours = (*name == CONTENT_LENGTH && delimited != Delimited::AsItIs)
            || (*name == CONNECTION && connection.is_some());
        if !is_ours {
            field(out, name, value.as_bytes());
        }
    }
    match delimited {
        Delimited::Length(length) => number(out, &CONTENT_LENGTH, length),
        Delimited::Chunked => field(out, &TRANSFER_ENCODING, b"chunked"),
        Delimited::AsItIs | Delimited::Not => {}
    }
    for (name, value) in [("connection", connection), ("date", date)] {
        if let Some(value) = value {
            line(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, version: Version, head: &response::Parts) {
    let reason = head.extensions.get::<ReasonPhrase>();
    if version == Version::HTTP_11 && head.status == StatusCode::OK && reason.is_none() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let version: &[u8] = if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    out.extend_from_slice(version);
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    match reason {
        Some(reason) => out.extend_from_slice(reason.as_bytes()),
        // Many readers expect one.
        None => out.extend_from_slice(head.status.canonical_reason().unwrap_or("<none>").as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands before so many bytes of data, which [`CHUNK_END`] ends. Not for 0: that would be the last chunk.
pub(crate) fn chunk_head(out: &mut Vec<u8>, length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let first = (usize::BITS - 1).saturating_sub(length.leading_zeros()) / 4;
    for place in (0..=first).rev() {
        out.push(DIGITS[(length >> (place * 4)) & 0xF]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body. Of the trailers go those that were `announced` and may stand there (RFC 9110 section 6.5.1).
pub(crate) fn last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>, announced: &[HeaderName]) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if announced.contains(name) && may_trail(name) {
            field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The trailers that a head names. Most name none, and nothing is allocated.
pub(crate) fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values =
        headers.get_all(TRAILER).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    values.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

/// Whether a list of words, such as that of `Connection`, has this one.
pub(crate) fn has_word(headers: &HeaderMap, list: &HeaderName, word: &str) -> bool {
    headers.get_all(list).iter().any(|value| names(value, word))
}

/// What frames, routes or guards a message is no trailer.
fn may_trail(name: &HeaderName) -> bool {
    !matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "host"
            | "max-forwards"
            | "set-cookie"
            | "te"
            | "trailer"
            | "transfer-encoding"
    )
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    line(out, name.as_str(), value);
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, name: &HeaderName, number: u64) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut from) = (number, digits.len());
    while rest > 0 || from == digits.len() {
        from -= 1;
        digits[from] += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    field(out, name, &digits[from..]);
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_request_is_written_as_it_is_understood() {
        let request = Request::post("http://h/a?b").header("host", "h").header("x", "1").header("x", "2");
        let (head, ()) = request.body(()).expect("good").into_parts();
        for (framing, more) in [(Framing::Chunked, "transfer-encoding: chunked\r\n"), (Framing::Empty, "")] {
            assert_eq!(
                written(|out| request_head(out, &head.method, &head.uri, &head.headers, framing)),
                format!("POST /a?b HTTP/1.1\r\nhost: h\r\nx: 1\r\nx: 2\r\n{more}\r\n")
            );
        }
    }

    #[test]
    fn an_answer_is_delimited_once_and_says_of_the_connection_what_is_true() {
        let answer =
            Response::builder().header("content-length", "9").header("connection", "x").header("a", "b");
        let (head, ()) = answer.body(()).expect("good").into_parts();
        let write = |version, delimited, connection: Option<&[u8]>| {
            written(|out| response_head(out, version, &head, delimited, connection, Some(b"now")))
        };
        assert_eq!(
            write(Version::HTTP_11, Delimited::Length(5), None),
            "HTTP/1.1 200 OK\r\nconnection: x\r\na: b\r\ncontent-length: 5\r\ndate: now\r\n\r\n"
        );
        assert_eq!(
            write(Version::HTTP_10, Delimited::AsItIs, Some(b"close")),
            "HTTP/1.0 200 OK\r\ncontent-length: 9\r\na: b\r\nconnection: close\r\ndate: now\r\n\r\n"
        );
        assert_eq!(
            write(Version::HTTP_11, Delimited::Chunked, Some(b"close")),
            "HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\nconnection: close\r\ndate: now\r\n\r\n"
        );
    }

    #[test]
    fn a_status_nobody_knows_has_a_reason_too() {
        let (mut head, ()) = Response::builder().status(299).body(()).expect("good").into_parts();
        let write = |head: &response::Parts| {
            written(|out| response_head(out, Version::HTTP_11, head, Delimited::Not, None, None))
        };
        assert_eq!(write(&head), "HTTP/1.1 299 <none>\r\n\r\n");
        head.extensions.insert(ReasonPhrase::from_static(b"Fine"));
        assert_eq!(write(&head), "HTTP/1.1 299 Fine\r\n\r\n");
    }

    #[test]
    fn a_length_is_said_in_decimal() {
        for length in [0, 7, 10, 1024, u64::MAX] {
            let out = written(|out| number(out, &CONTENT_LENGTH, length));
            assert_eq!(out, format!("content-length: {length}\r\n"));
        }
    }

    #[test]
    fn a_chunk_says_its_size_in_as_many_digits_as_it_takes() {
        for length in [1, 9, 10, 15, 16, 255, 256, 4096, 65_535, 65_536, usize::MAX] {
            assert_eq!(written(|out| chunk_head(out, length)), format!("{length:X}\r\n"));
        }
    }

    #[test]
    fn trailers_go_if_they_were_announced_and_change_nothing_else() {
        let mut head = HeaderMap::new();
        head.append(TRAILER, HeaderValue::from_static("X-Sum, content-length"));
        head.append(TRAILER, HeaderValue::from_static("x-more"));
        let fields = [("x-sum", "1"), ("content-length", "5"), ("x-other", "2"), ("x-more", "3")];
        let trailers =
            fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let trailers = HeaderMap::from_iter(trailers);
        let out = written(|out| last_chunk(out, Some(&trailers), &announced(&head)));
        assert_eq!(out, "0\r\nx-sum: 1\r\nx-more: 3\r\n\r\n");
        assert_eq!(written(|out| last_chunk(out, None, &[])), "0\r\n\r\n");
    }
}
