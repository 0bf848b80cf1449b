//! The handshake: who may ask for which protocol, and what counts as an agreement (RFC 9110 section 7.8).

use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use http_body::Body;

use crate::domain::routing::Upgrades;

/// The protocol that a request asks for, if it may: a GET of HTTP/1.1 without a body that names exactly one, which is
/// on the list. Any other request is served as if it had not asked.
pub(crate) fn asked(parts: &Parts, body: &impl Body, allowed: &Upgrades) -> Option<HeaderValue> {
    let named = only(&parts.headers)?;
    let fit = parts.version == Version::HTTP_11 && parts.method == Method::GET && body.is_end_stream();
    let listed = lists_upgrade(&parts.headers);
    if fit && listed { allowed.find(named.as_bytes()).cloned() } else { None }
}

/// Passes the wish on, in fields of our own.
pub(crate) fn ask(headers: &mut HeaderMap, protocol: &HeaderValue) {
    // What is there is ours: `te`.
    headers.append(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}

/// Whether an answer agrees to this protocol and no other.
pub(crate) fn agrees(headers: &HeaderMap, protocol: &HeaderValue) -> bool {
    only(headers).is_some_and(|named| named.as_bytes().eq_ignore_ascii_case(protocol.as_bytes()))
}

/// Passes the agreement on. The endpoint's own fields between us and it are gone already.
pub(crate) fn agree(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// The one protocol that is named.
fn only(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut named = headers.get_all(UPGRADE).iter();
    named.next().filter(|_| named.next().is_none())
}

fn lists_upgrade(headers: &HeaderMap) -> bool {
    let options = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    options.into_iter().any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{Empty, Full};

    use super::*;

    fn request(version: Version, method: Method, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().version(version).method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const ASKS: [(&str, &str); 2] = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];

    #[test]
    fn who_asks_properly_is_understood() {
        let parts = request(Version::HTTP_11, Method::GET, &ASKS);
        assert_eq!(asked(&parts, &Empty::<Bytes>::new(), &Upgrades::default()).unwrap(), "websocket");
    }

    #[test]
    fn whoever_asks_in_another_way_has_not_asked() {
        let connection = ("connection", "upgrade");
        for (version, method, fields) in [
            (Version::HTTP_10, Method::GET, &ASKS[..]),
            (Version::HTTP_2, Method::GET, &ASKS),
            (Version::HTTP_11, Method::POST, &ASKS),
            (Version::HTTP_11, Method::GET, &[("upgrade", "websocket")]),
            (Version::HTTP_11, Method::GET, &[connection]),
            (Version::HTTP_11, Method::GET, &[connection, ("upgrade", "h2c")]),
            (Version::HTTP_11, Method::GET, &[connection, ("upgrade", "websocket, h2c")]),
            (Version::HTTP_11, Method::GET, &[connection, ("upgrade", "websocket"), ("upgrade", "h2c")]),
        ] {
            let parts = request(version, method, fields);
            let found = asked(&parts, &Empty::<Bytes>::new(), &Upgrades::default());
            assert_eq!(found, None, "{version:?} {fields:?}");
        }
        let parts = request(Version::HTTP_11, Method::GET, &ASKS);
        assert_eq!(asked(&parts, &Full::<Bytes>::from("body"), &Upgrades::default()), None, "with a body");
    }

    #[test]
    fn an_agreement_names_the_same_protocol_and_no_other() {
        let protocol = HeaderValue::from_static("websocket");
        for (values, agreed) in [
            (&["WebSocket"][..], true),
            (&["h2c"], false),
            (&["websocket, h2c"], false),
            (&["websocket", "h2c"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(UPGRADE, HeaderValue::from_static(value));
            }
            assert_eq!(agrees(&headers, &protocol), agreed, "{values:?}");
        }
    }
}
