//! The parts that read what strangers send, for the fuzz targets in `tests/fuzz` alone: bytes in, what was made of them
//! out, no socket.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};

use super::observe::trace_id_of;
use super::request::{assign, headers, normalize};

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

/// The fields that [`to_endpoint`] says of the client: what an endpoint must see, whatever the client claims.
pub const CLIENT: &str = "192.0.2.1";

/// What a request asks for; `None`: it is refused.
pub fn level(mut parts: Parts) -> Option<Levelled> {
    normalize::level(&mut parts).ok()?;
    let asked = normalize::asked(&parts).ok()?;
    let (host, path) = (asked.host.into_owned(), asked.path.into_owned());
    Some(Levelled { parts, host, path })
}

/// The target without its prefix of so many bytes; `None`: it is refused.
pub fn without_prefix(uri: &Uri, levelled: &str, strip: usize) -> Option<Uri> {
    normalize::without_prefix(uri, levelled, strip)
}

/// A request's fields as an endpoint gets them.
pub fn to_endpoint(fields: &mut HeaderMap) {
    let value = HeaderValue::from_static;
    let (client, port, request_id) = (value(CLIENT), value("80"), value("id"));
    headers::to_endpoint(
        fields,
        &headers::Forwarding { client: &client, port: &port, request_id: &request_id },
    );
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
