//! The parts that read what strangers send, for the fuzz targets in `tests/fuzz` alone: bytes in, what was made of them
//! out, no socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Uri};

use super::Listener;
use super::client::life::Life;
use super::client::who::Client;
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
    let client = Client::new(listener, peer, LOCAL, life);
    let origin = Origin::of(&client, &fields, trusted);
    let seen = Fields::of(&fields);
    headers::to_endpoint(&mut fields, &seen);
    let host = fields.get(HOST).cloned();
    origin.tell(&mut fields, &client, host);
    let request_id = origin.request_id().unwrap_or(HeaderValue::from_static("id"));
    fields.insert(headers::X_REQUEST_ID, request_id);
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
