//! Header fields on their way through: what is between two hops stays there, and what we say of a client that nobody speaks
//! for is all that is said of it.
//!
//! Input: `name: value` lines.

use adit::domain::routing::TrustedProxies;
use adit::proxy::fuzzing::{to_client, to_endpoint};
use http::{HeaderMap, HeaderName, HeaderValue};

const CLIENT: &str = "192.0.2.1";

const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What endpoints believe of the client, with what an endpoint may see of it.
const OURS: [(&str, Option<&str>); 7] = [
    ("x-forwarded-for", Some(CLIENT)),
    ("x-forwarded-proto", Some("http")),
    ("x-forwarded-port", Some("80")),
    ("x-request-id", Some("id")),
    ("x-real-ip", None),
    ("forwarded", None),
    ("expect", None),
];

pub(crate) fn check(data: &[u8]) {
    let fields = fields(data);
    let peer = format!("{CLIENT}:4711").parse().expect("an address");
    let (ip, out) = to_endpoint(peer, &TrustedProxies::default(), fields.clone());
    assert_eq!(ip, peer.ip());
    keeps_hops_apart(&fields, &out);
    says_who_the_client_is(&out);
    assert!(out.get_all("cookie").iter().count() <= 1, "{fields:?} -> {out:?}");
    assert_eq!(out.get("x-forwarded-host"), fields.get("host"), "{fields:?} -> {out:?}");
    let mut back = fields.clone();
    to_client(&mut back);
    for name in HOP_BY_HOP {
        assert!(!back.contains_key(name), "{name}: {fields:?} -> {back:?}");
    }
    assert!(!(fields.contains_key("transfer-encoding") && back.contains_key("content-length")), "{back:?}");
}

fn fields(data: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

fn keeps_hops_apart(fields: &HeaderMap, out: &HeaderMap) {
    let te = out.get("te").map(HeaderValue::as_bytes);
    let connection = out.get("connection").map(HeaderValue::as_bytes);
    match te {
        Some(te) => assert_eq!((te, connection), (b"trailers".as_slice(), Some(b"te".as_slice()))),
        None => assert_eq!(connection, None),
    }
    for name in HOP_BY_HOP.iter().filter(|name| !["te", "connection"].contains(name)) {
        assert!(!out.contains_key(*name), "{name}: {fields:?} -> {out:?}");
    }
    let listed = fields.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    for name in listed.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()) {
        let is_ours = OURS.iter().any(|(ours, _)| *ours == name) || name == "x-forwarded-host";
        if !is_ours && !["te", "connection", "host", "content-length"].contains(&name.as_str()) {
            assert!(!out.contains_key(&name), "{name}: {fields:?} -> {out:?}");
        }
    }
    for (name, values) in out.keys().map(|name| (name, out.get_all(name).iter().count())) {
        assert!(values <= fields.get_all(name).iter().count().max(1), "{name} was multiplied");
    }
}

/// However an endpoint spells what it reads.
fn says_who_the_client_is(out: &HeaderMap) {
    for (name, value) in out {
        let read = name.as_str().replace('_', "-");
        for (ours, said) in OURS {
            if read == ours {
                assert_eq!(value.to_str().ok(), said, "{name}: {out:?}");
            }
        }
        let twin = read != name.as_str() && (read == "host" || read == "content-length");
        assert!(!twin && (read == name.as_str() || !HOP_BY_HOP.contains(&read.as_str())), "{name}: {out:?}");
    }
    for (ours, said) in OURS {
        assert_eq!(out.get_all(ours).iter().count(), usize::from(said.is_some()), "{ours}: {out:?}");
    }
}
