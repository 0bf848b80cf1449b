//! What a request asks for, said in one way only. What can be read in two ways is refused: routing and endpoint must
//! see the same request.

use std::borrow::Cow;

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Uri, Version};

use super::fields::Fields;
use super::respond::Refusal;

/// The longest name of a host (RFC 1034 section 3.1).
const HOST_NAME: usize = 255;

/// What a request asks for, as the matcher compares it.
pub(crate) struct Asked<'a> {
    /// Lower case, without port and trailing dot; IPv6 in brackets; empty when none was named.
    pub(crate) host: Cow<'a, str>,
    /// Dot segments resolved, unreserved characters decoded, other escapes in upper case.
    pub(crate) path: Cow<'a, str>,
}

/// An authority as far as it matters: no port, and the one that no port means, are the same.
#[derive(PartialEq)]
struct Authority<'a> {
    host: Cow<'a, str>,
    port: Option<u16>,
}

/// Brings a request into the form that routing and endpoints see: exactly one `Host` (RFC 9112 section 3.2), a target
/// in origin form, framing that can be read in one way.
pub(crate) fn level(parts: &mut Parts, fields: &mut Fields, scheme: &Scheme) -> Result<(), Refusal> {
    refuse_methods(parts)?;
    refuse_framing(parts, fields)?;
    refuse_hosts(parts, fields)?;
    // What the field alone names is looked at by `asked`.
    let Some(target) = parts.uri.authority() else { return Ok(()) };
    let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let named = named_host(fields, default_port)?;
    let asked = authority(target.as_str(), default_port).ok_or(Refusal::BadHost)?;
    let contradicts = named.is_some_and(|named| named != asked);
    if contradicts || !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
        return Err(Refusal::BadHost);
    }
    let host = HeaderValue::from_str(target.as_str()).map_err(|_| Refusal::BadHost)?;
    parts.headers.insert(HOST, host.clone());
    parts.uri = origin_form(&parts.uri);
    fields.target_host = Some(host);
    Ok(())
}

/// What a levelled request asks for.
pub(crate) fn asked<'a>(parts: &'a Parts, fields: &'a Fields) -> Result<Asked<'a>, Refusal> {
    let host = match fields.asked_host() {
        Some(value) => {
            let host = value.to_str().map_err(|_| Refusal::BadHost)?;
            // Whatever the port: it is not compared.
            authority(host, 80).ok_or(Refusal::BadHost)?.host
        }
        None => Cow::Borrowed(""),
    };
    Ok(Asked { host, path: path(parts.uri.path())? })
}

/// Whether this names a host, and perhaps a port, in the one way that we read it.
pub(crate) fn is_host(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| !text.is_empty() && authority(text, 80).is_some())
}

/// The target without the first `strip` bytes of its levelled path. A path that reads differently once levelled is
/// forwarded levelled: what would be left of the raw one could climb out of the prefix.
pub(crate) fn without_prefix(uri: &Uri, levelled: &str, strip: usize) -> Option<Uri> {
    let rest = levelled.get(strip..)?;
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let target = match uri.query() {
        Some(query) => format!("{slash}{rest}?{query}"),
        None => format!("{slash}{rest}"),
    };
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(target)).ok().map(Uri::from)
}

fn refuse_methods(parts: &Parts) -> Result<(), Refusal> {
    let authority_form = parts.uri.path_and_query().is_none() && parts.uri.scheme().is_none();
    if parts.method == Method::CONNECT || parts.method == Method::TRACE || authority_form {
        return Err(Refusal::Method);
    }
    if parts.uri.path() == "*" {
        let asks_for_all = parts.method == Method::OPTIONS;
        return Err(if asks_for_all { Refusal::OptionsOfAll } else { Refusal::BadTarget });
    }
    Ok(())
}

fn refuse_framing(parts: &Parts, fields: &Fields) -> Result<(), Refusal> {
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (fields.codings, fields.lengths) {
        (0, 0 | 1) => Ok(()),
        (0, _) => Err(Refusal::BadFraming),
        (1, lengths) if parts.headers.get(TRANSFER_ENCODING).is_some_and(is_chunked) => match lengths {
            0 => Ok(()),
            _ => Err(Refusal::BadFraming),
        },
        (_, _) => Err(Refusal::UnknownCoding),
    }
}

/// A host is named once; never only where the version of HTTP allows for that, or the target names one.
fn refuse_hosts(parts: &Parts, fields: &Fields) -> Result<(), Refusal> {
    match fields.hosts {
        1 => Ok(()),
        0 if parts.version < Version::HTTP_11 || parts.uri.authority().is_some() => Ok(()),
        _ => Err(Refusal::BadHost),
    }
}

/// The host that the field names.
fn named_host(fields: &Fields, default_port: u16) -> Result<Option<Authority<'_>>, Refusal> {
    let Some(host) = &fields.host else { return Ok(None) };
    let host = host.to_str().map_err(|_| Refusal::BadHost)?;
    if host.is_empty() {
        // RFC 9110 section 7.2: empty when the target has no authority.
        return Ok(None);
    }
    authority(host, default_port).map(Some).ok_or(Refusal::BadHost)
}

fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('/') => Uri::from(target.clone()),
        // `http://a?q`: the path is empty. Shown, the target begins with a slash.
        Some(target) => {
            let target = bytes::Bytes::from(target.to_string());
            PathAndQuery::from_maybe_shared(target).map_or_else(|_| Uri::from_static("/"), Uri::from)
        }
        None => Uri::from_static("/"),
    }
}

/// `Shop.Example.:80` is host `shop.example`, port 80, which over HTTP is also what no port means.
fn authority(text: &str, default_port: u16) -> Option<Authority<'_>> {
    if text.is_empty() {
        return Some(Authority { host: Cow::Borrowed(""), port: None });
    }
    let kinds = kinds(text);
    if kinds & NEVER != 0 {
        return None;
    }
    if kinds & DIVIDES == 0 {
        return Some(Authority { host: level_name(text, kinds)?, port: None });
    }
    // The colons of an IPv6 address are inside its brackets.
    let host_end = text.find(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match text[host_end..].find(':') {
        Some(colon) => (&text[..host_end + colon], &text[host_end + colon + 1..]),
        None => (text, ""),
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    Some(Authority { host: level_host(host)?, port: port.filter(|port| *port != default_port) })
}

fn level_host(host: &str) -> Option<Cow<'_, str>> {
    if let Some(address) = host.strip_prefix('[') {
        let address: std::net::Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let kinds = kinds(host);
    if kinds & DIVIDES == 0 { level_name(host, kinds) } else { None }
}

fn level_name(host: &str, kinds: u8) -> Option<Cow<'_, str>> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() || name.len() > HOST_NAME {
        return None;
    }
    Some(if kinds & UPPER != 0 { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// What is in a host, by one look at each byte.
fn kinds(host: &str) -> u8 {
    host.bytes().fold(0, |kinds, byte| kinds | KINDS[usize::from(byte)])
}

const UPPER: u8 = 1;
/// Between name and port, and around IPv6.
const DIVIDES: u8 = 2;
const NEVER: u8 = 4;
const KINDS: [u8; 256] = {
    let (mut kinds, mut byte) = ([NEVER; 256], 0_u8);
    while byte < 128 {
        kinds[byte as usize] = kind(byte);
        byte += 1;
    }
    kinds
};

/// What is in real hosts. Not userinfo, not escapes, nothing that any endpoint could read as the end of the host.
const fn kind(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => 0,
        b'A'..=b'Z' => UPPER,
        b':' | b'[' | b']' => DIVIDES,
        _ => NEVER,
    }
}

/// The path as routes are compared with it (RFC 3986 section 6.2.2).
fn path(raw: &str) -> Result<Cow<'_, str>, Refusal> {
    if !raw.starts_with('/') {
        return Err(Refusal::BadTarget);
    }
    if is_level(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    let levelled = level_escapes(raw)?;
    let uneven = levelled.as_bytes().windows(2).any(|pair| matches!(pair, b"/." | b"//"));
    Ok(Cow::Owned(if uneven { level_segments(&levelled)? } else { levelled }))
}

/// Whether a path has no escapes and no segments that are empty or begin with a dot.
fn is_level(path: &str) -> bool {
    let mut after_slash = false;
    path.bytes().all(|byte| {
        let odd = match byte {
            b'/' | b'.' => after_slash,
            b'%' | b'\\' => true,
            _ => !byte.is_ascii(),
        };
        after_slash = byte == b'/';
        !odd
    })
}

fn level_escapes(raw: &str) -> Result<String, Refusal> {
    let mut levelled = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let (value, escaped) = match byte {
            b'\\' => return Err(Refusal::BadTarget),
            b'%' => (hex_pair(bytes.next(), bytes.next()).ok_or(Refusal::BadTarget)?, true),
            byte => (byte, !byte.is_ascii()),
        };
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        if value == 0 {
            return Err(Refusal::BadTarget);
        } else if escaped && !unreserved {
            // An escaped slash stays escaped: it does not divide segments.
            levelled.push_str(&format!("%{value:02X}"));
        } else {
            levelled.push(char::from(value));
        }
    }
    Ok(levelled)
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// Resolves dot segments (RFC 3986 section 5.2.4) and takes empty ones out: most servers read `//admin` as `/admin`. But
/// whether `/a//..` is `/a` or `/` depends on what a server does first: nginx goes by the one, Envoy by the other.
fn level_segments(path: &str) -> Result<String, Refusal> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." if segments.pop() == Some("") => return Err(Refusal::BadTarget),
            ".." => {}
            segment => segments.push(segment),
        }
    }
    segments.retain(|segment| !segment.is_empty());
    // A dot segment at the end leaves a directory.
    if path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..") {
        segments.push("");
    }
    Ok(format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, uri: &str, version: Version, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn host_of(uri: &str, version: Version, fields: &[(&str, &str)]) -> Option<String> {
        let mut parts = parts("GET", uri, version, fields);
        let fields = levelled(&mut parts, &Scheme::HTTP).ok()?;
        let asked = asked(&parts, &fields).ok()?;
        Some(asked.host.into_owned())
    }

    fn levelled(parts: &mut Parts, scheme: &Scheme) -> Result<Fields, Refusal> {
        let mut fields = Fields::of(&parts.headers);
        level(parts, &mut fields, scheme).map(|()| fields)
    }

    #[test]
    fn the_port_that_no_port_means_is_the_schemes() {
        for (scheme, port, same) in [
            (Scheme::HTTP, 80, true),
            (Scheme::HTTP, 443, false),
            (Scheme::HTTPS, 443, true),
            (Scheme::HTTPS, 80, false),
        ] {
            let named = format!("a:{port}");
            let mut parts = parts("GET", "https://a/", Version::HTTP_2, &[("host", &named)]);
            assert_eq!(levelled(&mut parts, &scheme).is_ok(), same, "{scheme} {port}");
        }
    }

    #[test]
    fn a_request_has_one_host() {
        let h1 = Version::HTTP_11;
        for (uri, fields, expected) in [
            ("/", &[("host", "Shop.Example")][..], Some("shop.example")),
            ("/", &[("host", "shop.example.:8080")], Some("shop.example")),
            ("/", &[("host", "[0:0::1]:80")], Some("[::1]")),
            ("/", &[("host", "my_service:80")], Some("my_service")),
            ("/", &[("host", "")], Some("")),
            ("/", &[], None),
            ("/", &[("host", "a"), ("host", "a")], None),
            ("/", &[("host", "a, b")], None),
            ("/", &[("host", "user@a")], None),
            ("/", &[("host", "a:b")], None),
            ("/", &[("host", "a:1:2")], None),
            ("/", &[("host", "a:+1")], None),
            ("/", &[("host", "a]:1")], None),
            ("/", &[("host", "[::1")], None),
            ("/", &[("host", "[::1]x")], None),
            ("/", &[("host", "::1")], None),
            ("/", &[("host", ":80")], None),
            ("/", &[("host", "a:99999")], None),
            ("/", &[("host", "a/b")], None),
            ("/", &[("host", "a%2eb")], None),
            ("http://a/", &[("host", "a")], Some("a")),
            ("http://a/", &[("host", "A:80")], Some("a")),
            ("http://a/", &[], Some("a")),
            ("http://a/", &[("host", "b")], None),
            ("http://a:81/", &[("host", "a")], None),
            ("http://user@a/", &[("host", "a")], None),
            ("ftp://a/", &[("host", "a")], None),
        ] {
            assert_eq!(host_of(uri, h1, fields).as_deref(), expected, "{uri} {fields:?}");
        }
    }

    #[test]
    fn http_1_0_may_name_no_host() {
        assert_eq!(host_of("/", Version::HTTP_10, &[]).as_deref(), Some(""));
    }

    #[test]
    fn the_authority_becomes_the_host_field_and_leaves_the_target() {
        let mut parts = parts("GET", "http://Shop.example:81/a?q", Version::HTTP_2, &[]);
        levelled(&mut parts, &Scheme::HTTP).unwrap();
        assert_eq!(parts.headers.get(HOST).unwrap(), "Shop.example:81");
        assert_eq!(parts.uri.to_string(), "/a?q");
    }

    #[test]
    fn a_target_without_a_path_is_of_the_root() {
        for (uri, target) in [("http://a", "/"), ("http://a?q", "/?q"), ("http://a/?q", "/?q")] {
            let mut parts = parts("GET", uri, Version::HTTP_11, &[("host", "a")]);
            levelled(&mut parts, &Scheme::HTTP).unwrap();
            assert_eq!(parts.uri.to_string(), target, "{uri}");
        }
    }

    #[test]
    fn methods_that_make_no_sense_here_are_refused() {
        for (method, uri) in [("CONNECT", "a:80"), ("TRACE", "/"), ("GET", "*"), ("OPTIONS", "*")] {
            let mut parts = parts(method, uri, Version::HTTP_11, &[("host", "a")]);
            assert!(levelled(&mut parts, &Scheme::HTTP).is_err(), "{method} {uri}");
        }
    }

    #[test]
    fn framing_has_one_reading() {
        for (fields, fine) in [
            (&[("transfer-encoding", "chunked")][..], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("content-length", "1")], true),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "chunked"), ("content-length", "1")], false),
            (&[("content-length", "1"), ("content-length", "1")], false),
        ] {
            let fields = [fields, &[("host", "a")]].concat();
            let mut parts = parts("POST", "/", Version::HTTP_11, &fields);
            assert_eq!(levelled(&mut parts, &Scheme::HTTP).is_ok(), fine, "{fields:?}");
        }
    }

    #[test]
    fn paths_are_compared_levelled() {
        for (raw, expected) in [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/./b/.", Some("/a/b/")),
            ("/a/b/..", Some("/a/")),
            ("/../../a", Some("/a")),
            ("/%2e%2E/a", Some("/a")),
            ("/%61dmin", Some("/admin")),
            ("/a%2fb", Some("/a%2Fb")),
            ("/a%20b", Some("/a%20b")),
            ("/.well-known/x", Some("/.well-known/x")),
            ("//a", Some("/a")),
            ("/a/..//b//", Some("/b/")),
            ("/a/.%2e//b", Some("/b")),
            ("/a//../b", None),
            ("/a//.//./%2e%2e/b", None),
            ("/é", Some("/%C3%A9")),
            ("/a%00", None),
            ("/a\\b", None),
            ("/a%", None),
            ("/a%2", None),
            ("/a%zz", None),
            ("a", None),
        ] {
            assert_eq!(path(raw).ok().as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn a_prefix_is_stripped_from_the_raw_path() {
        for (raw, expected) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api?q=1", "/?q=1"),
            ("/api/x%2fy?q", "/x%2Fy?q"),
            ("/api/x//y", "/x/y"),
            ("/b/../api/x", "/x"),
            ("/%61pi/../api/../api/x", "/x"),
        ] {
            let uri: Uri = raw.parse().unwrap();
            let levelled = path(uri.path()).unwrap();
            assert_eq!(without_prefix(&uri, &levelled, 4).unwrap().to_string(), expected, "{raw}");
        }
    }
}
