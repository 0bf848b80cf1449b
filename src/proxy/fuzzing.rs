//! The parts that read what strangers send, for the fuzz targets in `tests/fuzz` alone: bytes in, what was made of them
//! out, no socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use http::header::HOST;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use super::Listener;
use super::client::life::Life;
use super::client::who::Arrival;
use super::http1::body::Decoder;
use super::http1::request::read_request;
use super::http1::response::read_response;
use super::http1::{BadHead, Bounds, Framing, write};
use super::observe::trace_id_of;
use super::request::fields::Fields;
use super::request::origin::Origin;
use super::request::{assign, headers, normalize};
use crate::domain::Timestamp;
use crate::domain::routing::TrustedProxies;

/// Where everybody connects to.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

/// A request as routing sees it.
#[derive(Debug)]
pub struct Levelled {
    /// The request as it goes on to the endpoint's fields.
    pub parts: Parts,
    /// The host that routes are compared with.
    pub host: String,
    /// The path that routes are compared with.
    pub path: String,
}

/// Of heads and trailers.
const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 20 };

/// A request or an answer as it was read off the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Method and target, or the status.
    pub line: String,
    /// Its fields.
    pub fields: HeaderMap,
    /// As far as it came.
    pub body: Vec<u8>,
    /// Behind the body.
    pub trailers: HeaderMap,
    /// Whether all of it came.
    pub whole: bool,
}

/// The requests that come on a connection in pieces of so many bytes.
pub fn requests(wire: &[u8], piece: usize) -> Vec<Message> {
    messages(wire, piece, |buffer, seen| {
        let Some(head) = read_request(buffer, seen, BOUNDS)? else { return Ok(None) };
        let line = format!("{} {}", head.parts.method, head.parts.uri);
        let message = Message { line, fields: head.parts.headers, ..Message::default() };
        Ok(Some((message, head.framing, head.keeps_alive)))
    })
}

/// The answers to GETs that come on a connection in pieces of so many bytes.
pub fn answers(wire: &[u8], piece: usize) -> Vec<Message> {
    messages(wire, piece, |buffer, seen| {
        let Some(head) = read_response(buffer, seen, BOUNDS, &Method::GET)? else { return Ok(None) };
        let line = head.parts.status.to_string();
        let message = Message { line, fields: head.parts.headers, ..Message::default() };
        Ok(Some((message, head.framing, head.keeps_alive)))
    })
}

/// The head of a request to an endpoint, as it goes out.
pub fn written(method: &Method, target: &Uri, fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    write::request_head(&mut out, method, target, fields, Framing::Empty);
    out
}

/// An answer with such fields and body to a client, in chunks.
pub fn written_in_chunks(fields: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut head = Response::new(()).into_parts().0;
    head.headers = fields.clone();
    write::response_head(&mut out, head.version, &head, write::Delimited::Chunked, None, None);
    for piece in body.chunks(7) {
        write::chunk_head(&mut out, piece.len());
        out.extend_from_slice(piece);
        out.extend_from_slice(write::CHUNK_END);
    }
    write::last_chunk(&mut out, None, &[]);
    out
}

fn messages(
    wire: &[u8],
    piece: usize,
    read: impl Fn(&mut BytesMut, &mut usize) -> Result<Option<(Message, Framing, bool)>, BadHead>,
) -> Vec<Message> {
    let (mut buffer, mut seen, mut all) = (BytesMut::new(), 0, Vec::new());
    let mut body: Option<(Message, Decoder, bool)> = None;
    for piece in wire.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            let (mut message, mut decoder, keeps) = match body.take() {
                Some(under_way) => under_way,
                None => match read(&mut buffer, &mut seen) {
                    Ok(Some((message, framing, keeps))) => (message, Decoder::new(framing, BOUNDS), keeps),
                    Ok(None) => break,
                    Err(_) => return all,
                },
            };
            let good = read_body(&mut message, &mut decoder, &mut buffer);
            message.whole = decoder.is_done();
            if message.whole && keeps {
                all.push(message);
                continue;
            }
            if message.whole || !good {
                all.push(message);
                return all;
            }
            body = Some((message, decoder, keeps));
            break;
        }
    }
    all.extend(body.map(|(message, ..)| message));
    all
}

/// Reads what there is of a body; whether it is right so far.
fn read_body(message: &mut Message, decoder: &mut Decoder, buffer: &mut BytesMut) -> bool {
    loop {
        match decoder.decode(buffer) {
            Ok(None) => return true,
            Err(_) => return false,
            Ok(Some(frame)) => match frame.into_data() {
                Ok(data) => message.body.extend_from_slice(&data),
                Err(frame) => message.trailers = frame.into_trailers().unwrap_or_default(),
            },
        }
    }
}

/// What a request asks for; `None`: it is refused.
pub fn level(mut parts: Parts) -> Option<Levelled> {
    let mut fields = Fields::of(&parts.headers);
    normalize::level(&mut parts, &mut fields, &Scheme::HTTP).ok()?;
    let asked = normalize::asked(&parts, &fields).ok()?;
    let (host, path) = (asked.host.into_owned(), asked.path.into_owned());
    Some(Levelled { parts, host, path })
}

/// The target without its prefix of so many bytes; `None`: it is refused.
pub fn without_prefix(uri: &Uri, levelled: &str, strip: usize) -> Option<Uri> {
    normalize::without_prefix(uri, levelled, strip)
}

/// A request's fields as an endpoint gets them, and who the client is taken for. `peer` is at the other end of the
/// connection.
pub fn to_endpoint(peer: SocketAddr, trusted: &TrustedProxies, mut fields: HeaderMap) -> (IpAddr, HeaderMap) {
    let listener = Rc::new(Listener::plain(LOCAL));
    let life = Rc::new(Life::new(Timestamp::from_micros(0), 0.5, Arc::default()));
    let port = HeaderValue::from(LOCAL.port());
    let client = Arrival { listener, peer, reached: LOCAL, port, life }.client(None);
    let origin = Origin::of(&client, &fields, trusted);
    let seen = Fields::of(&fields);
    headers::to_endpoint(&mut fields, &seen);
    let host = fields.get(HOST).cloned();
    let request_id = origin.request_id().unwrap_or(HeaderValue::from_static("id"));
    for (name, value) in origin.introduce(&client, host, request_id).fields() {
        fields.append(name, value.clone());
    }
    (origin.ip, fields)
}

/// An answer's fields as a client gets them.
pub fn to_client(fields: &mut HeaderMap) {
    headers::to_client(fields);
}

/// The id in our cookie.
pub fn cookie(fields: &HeaderMap) -> Option<&[u8]> {
    assign::cookie(fields)
}

/// The trace that a request belongs to.
pub fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    trace_id_of(traceparent)
}
