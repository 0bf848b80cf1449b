//! Header fields on their way through: what is between two hops stays there, what we manage comes from us alone.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use super::fields::Fields;
use crate::proxy::block::keep;
use crate::proxy::client::tls::Shown;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// RFC 9440.
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const X_CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const X_CLIENT_CERT_VERIFIED: HeaderName = HeaderName::from_static("x-client-cert-verified");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes a client's fields fit for an endpoint.
pub(crate) fn to_endpoint(headers: &mut HeaderMap, fields: &Fields) {
    let takes_trailers = fields.has_te && takes_trailers(headers);
    if fields.has_unfit {
        remove(headers, is_unfit);
    }
    if fields.cookies > 1 {
        join_cookies(headers);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Tells an endpoint what the client showed of itself, in fields that nobody else has set by now.
pub(crate) fn tell_certificate(headers: &mut HeaderMap, shown: &Shown) {
    headers.insert(X_CLIENT_CERT_VERIFIED, shown.verified.clone());
    for (name, value) in [(X_CLIENT_CERT_SUBJECT, &shown.subject), (CLIENT_CERT, &shown.certificate)] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
}

/// Makes an endpoint's fields fit for a client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    // Most answers have none.
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112 section 6.3: the length is not to be believed.
        headers.remove(CONTENT_LENGTH);
    }
    remove(headers, is_hop_by_hop);
}

/// Trailers come last, but an endpoint may merge them with the header section (RFC 9110 section 6.5.1): what is not a
/// client's to say there is not its to say here.
pub(crate) fn without_managed_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            let framing = |name: &str| matches!(name, "host" | "content-length" | "authorization" | "cookie");
            remove(&mut trailers, |name| is_unfit(name) || framing(name));
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// An endpoint's trailers, without what is between two hops.
pub(crate) fn without_hop(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            remove(&mut trailers, |name| is_hop_by_hop(name) || name == "content-length");
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Removes the fields that `unwanted` names, and those that `Connection` names (RFC 9110 section 7.6.1).
fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let listed =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    // What almost all list, and all lose in any case.
    let listed = listed.map(<[u8]>::trim_ascii).filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"));
    let listed = listed.filter_map(|name| HeaderName::from_bytes(name).ok());
    // Framing and routing are not the client's to take away.
    let listed = listed.filter(|name| *name != HOST && *name != CONTENT_LENGTH);
    let unwanted = headers.keys().filter(|name| unwanted(name.as_str())).cloned();
    let doomed: Vec<HeaderName> = unwanted.chain(listed).collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Whether no endpoint gets a client's field of this name.
pub(super) fn is_unfit(name: &str) -> bool {
    is_hop_by_hop(name) || is_managed(name) || looks_like_ours(name)
}

// Compared as text: a match on string literals is a jump on the length, an array of names is built for each call.

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            // CGI hands it to programs as HTTP_PROXY (CVE-2016-5385); nobody else knows it.
            | "proxy"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields that an endpoint must be able to believe, and `Expect`, which we answer ourselves.
fn is_managed(name: &str) -> bool {
    matches!(
        name,
        "client-cert"
            | "client-cert-chain"
            | "expect"
            | "forwarded"
            | "x-client-cert-subject"
            | "x-client-cert-verified"
            | "x-forwarded-client-cert"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-proto"
            | "x-forwarded-server"
            | "x-forwarded-ssl"
            | "x-real-ip"
            | "x-request-id"
    )
}

/// CGI and its heirs read `X_Forwarded_For` as `X-Forwarded-For`.
fn looks_like_ours(name: &str) -> bool {
    name.as_bytes().contains(&b'_') && {
        let read = name.replace('_', "-");
        is_hop_by_hop(&read) || is_managed(&read) || matches!(read.as_str(), "host" | "content-length")
    }
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// RFC 9113 section 8.2.3: HTTP/2 may send a cookie in crumbs.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// An id for a request: 128 random bits in hexadecimal.
pub(crate) fn new_request_id() -> HeaderValue {
    let bytes = fastrand::u128(..).to_ne_bytes();
    // Calculated and not looked up: so all digits are made at once.
    let id: [u8; 32] = std::array::from_fn(|place| {
        let digit = (bytes[place / 2] >> (place % 2 * 4)) & 0xF;
        digit + if digit < 10 { b'0' } else { b'a' - 10 }
    });
    HeaderValue::from_maybe_shared(keep(&id)).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    fn forwarded(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = headers(fields);
        let fields = Fields::of(&headers);
        to_endpoint(&mut headers, &fields);
        headers
    }

    #[test]
    fn what_is_between_two_hops_stays_there() {
        let kept = forwarded(&[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "x-more"),
            ("x-secret", "1"),
            ("x-more", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "basic x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn connection_can_not_take_away_what_frames_and_routes() {
        let kept =
            forwarded(&[("host", "a"), ("content-length", "3"), ("connection", "host, content-length")]);
        for name in ["host", "content-length"] {
            assert!(kept.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_client_can_not_say_who_it_is() {
        let kept = forwarded(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded_for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("x-request-id", "theirs"),
            ("client-cert", ":AAAA:"),
            ("client_cert", ":AAAA:"),
            ("client-cert-chain", ":AAAA:"),
            ("x-client-cert-subject", "CN=admin"),
            ("x_client_cert-subject", "CN=admin"),
            ("x-client-cert-verified", "true"),
            ("x-forwarded-client-cert", "Subject=admin"),
            ("content_length", "5"),
            ("x_custom", "stays"),
        ]);
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x_custom"]);
    }

    #[test]
    fn trailers_are_the_only_transfer_option_passed_on() {
        let kept = forwarded(&[("te", "gzip, trailers;q=0.5")]);
        assert!(!kept.contains_key("te"));
        let kept = forwarded(&[("te", "gzip, Trailers")]);
        assert_eq!(
            (kept.get("te").unwrap(), kept.get("connection").unwrap()),
            (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("te"))
        );
    }

    #[test]
    fn crumbs_of_a_cookie_are_joined() {
        let kept = forwarded(&[("cookie", "a=1"), ("cookie", "b=2")]);
        assert_eq!(kept.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn an_answer_loses_its_hop_and_an_unbelievable_length() {
        let mut answer = headers(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("server", "theirs"),
        ]);
        to_client(&mut answer);
        assert_eq!(answer.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["date", "server"]);
    }
}
