//! What proxies said of the client: only those that are trusted are believed, and only what can't be anything else.
//!
//! Input: `name: value` lines, received from a trusted proxy.

use std::net::{IpAddr, SocketAddr};

use adit::domain::routing::TrustedProxies;
use adit::proxy::fuzzing::to_endpoint;
use http::{HeaderMap, HeaderName, HeaderValue};

const PEER: &str = "10.0.0.1";
/// As far as chains are walked.
const HOPS: usize = 32;

pub(crate) fn check(data: &[u8]) {
    let fields = fields(data);
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network"));
    let trusted = TrustedProxies(networks.to_vec());
    let peer = SocketAddr::new(PEER.parse().expect("an address"), 4711);
    let (client, out) = to_endpoint(peer, &trusted, fields.clone());
    let shown = format!("{fields:?} -> {client} {out:?}");

    // From right to left every one but the last is trusted, and each said who the next one is.
    let said = only(&out, "x-forwarded-for").expect("it is always told");
    let chain: Vec<IpAddr> = said.split(", ").map(|ip| ip.parse().expect(said)).collect();
    assert!(chain.len() <= HOPS + 1 && chain.last() == Some(&peer.ip()), "{shown}");
    assert_eq!(chain.first(), Some(&client), "{shown}");
    assert!(chain[1..].iter().all(|ip| trusted.trusts(*ip)), "{shown}");
    let claims: Vec<_> = fields.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect();
    let claims = String::from_utf8_lossy(&claims.join(&b","[..])).into_owned();
    let claims: Vec<_> = claims.split(',').map(str::trim_ascii).filter(|claim| !claim.is_empty()).collect();
    let is_claim = |(ip, claim): (&IpAddr, &&str)| reads_as(claim, *ip);
    assert!(chain.len() <= claims.len() + 1, "{shown}");
    assert!(chain.iter().rev().skip(1).zip(claims.iter().rev()).all(is_claim), "{shown}");

    // The rest is one word each, of its own kind.
    assert!(
        ["http", "https"].contains(&only(&out, "x-forwarded-proto").expect("it is always told")),
        "{shown}"
    );
    let port = only(&out, "x-forwarded-port");
    assert!(port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)), "{shown}");
    let id = only(&out, "x-request-id").expect("it is always told");
    assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{shown}");
    assert!(!id.contains(['"', '\\', '<', '>', '&', ';', ',']), "{shown}");
    let real_ip = only(&out, "x-real-ip");
    assert!(real_ip.is_none_or(|real_ip| reads_as(real_ip, client)), "{shown}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    let host = only(&out, "x-forwarded-host");
    let is_asked = out.get("x-forwarded-host") == fields.get("host");
    assert!(is_asked || host.is_some_and(|host| host.bytes().all(plain)), "{shown}");
    assert!(!out.contains_key("forwarded"), "{shown}");
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

fn only<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values: Vec<_> = fields.get_all(name).iter().collect();
    assert!(values.len() <= 1, "{name} is there {} times", values.len());
    values.first().map(|value| value.to_str().unwrap_or("not text"))
}

/// Whether a claim is this address, alone or with a port.
fn reads_as(claim: &str, ip: IpAddr) -> bool {
    let bare = claim.trim_start_matches('[');
    let ends = (0..=bare.len()).filter(|end| bare.is_char_boundary(*end));
    ends.filter_map(|end| bare[..end].parse::<IpAddr>().ok()).any(|read| read.to_canonical() == ip)
}
