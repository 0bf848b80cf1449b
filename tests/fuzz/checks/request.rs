//! A request's head: whatever it is, it is refused or has one reading.
//!
//! Input: `METHOD target version`, a line feed, then `name: value` lines. It is no parser of HTTP that is tested (that is
//! hyper's), so what can't be said in `http`'s types is left out.

use adit::domain::routing::{HostPattern, Matcher, PathPrefix, RequestParts, RouteMatch};
use adit::proxy::fuzzing::{Levelled, level, without_prefix};
use http::header::HOST;
use http::request::Parts;
use http::{Request, Version};

pub(crate) fn check(data: &[u8]) {
    let Some(parts) = parts(data) else { return };
    let asked_host = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let Some(levelled) = level(parts.clone()) else { return };
    has_one_host(&levelled, asked_host.as_deref());
    has_one_path(&levelled);
    is_level(&levelled);
    stays_under_its_route(&levelled);
}

fn parts(data: &[u8]) -> Option<Parts> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(3, |byte| *byte == b' ');
    let mut request = Request::builder().method(words.next()?).uri(words.next()?);
    request = request.version(match words.next() {
        Some(b"1.0") => Version::HTTP_10,
        Some(b"2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    });
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// Routing, the `Host` field and the target speak of the same host, which no endpoint can read as something else.
fn has_one_host(levelled: &Levelled, asked: Option<&str>) {
    let hosts: Vec<_> = levelled.parts.headers.get_all(HOST).iter().collect();
    assert!(hosts.len() <= 1, "{levelled:?}");
    assert!(levelled.parts.uri.authority().is_none(), "{levelled:?}");
    let field = hosts.first().map_or("", |host| host.to_str().expect("a host is text"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    assert!(field.bytes().all(plain), "{levelled:?}");
    assert!(!levelled.host.bytes().any(|byte| byte.is_ascii_uppercase()), "{levelled:?}");
    if let Some(asked) = asked {
        assert!(asked.eq_ignore_ascii_case(field), "asked for {asked}: {levelled:?}");
    }
    let is_literal = levelled.host.starts_with('[');
    if !is_literal && !levelled.host.is_empty() {
        let name = field.split(':').next().expect("there is a first part").to_ascii_lowercase();
        assert_eq!(levelled.host, name.strip_suffix('.').unwrap_or(&name), "{levelled:?}");
    }
}

/// Two ways to read the path, by servers that take empty segments out first and by those that go by RFC 3986 alone, come
/// to the same.
fn has_one_path(levelled: &Levelled) {
    let path = &levelled.path;
    assert!(path.starts_with('/') && path.is_ascii(), "{levelled:?}");
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.pop().expect("there is one");
    assert!(segments.iter().all(|segment| !["", ".", ".."].contains(segment)), "{levelled:?}");
    assert!(![".", ".."].contains(&last), "{levelled:?}");
    assert!(!path.contains('\\') && !path.contains("%00"), "{levelled:?}");
    let decoded = unescaped(levelled.parts.uri.path());
    assert_eq!(*path, merged(&without_dots(&decoded)), "dots first: {levelled:?}");
    assert_eq!(*path, without_dots(&merged(&decoded)), "slashes first: {levelled:?}");
}

/// Levelling it again changes nothing.
fn is_level(levelled: &Levelled) {
    let target = match levelled.parts.uri.query() {
        Some(query) => format!("{}?{query}", levelled.path),
        None => levelled.path.clone(),
    };
    let mut parts = levelled.parts.clone();
    parts.uri = target.parse().expect("a levelled path is a target");
    let again = level(parts).expect("what was accepted is accepted");
    assert_eq!((&again.host, &again.path), (&levelled.host, &levelled.path));
    assert_eq!(again.parts.headers, levelled.parts.headers);
}

/// A route's prefix holds on segment borders, and what is left without it can't climb out of it.
fn stays_under_its_route(levelled: &Levelled) {
    let prefixes = ["/", "/a", "/a/b", "/admin"];
    let route = |(index, prefix): (usize, &&str)| {
        let path = PathPrefix::parse(prefix).expect("a prefix");
        (RouteMatch { path, strip_prefix: true, ..RouteMatch::to_host(HostPattern::Any) }, index)
    };
    let matcher = Matcher::new(prefixes.iter().enumerate().map(route));
    let parts = &levelled.parts;
    let matched = matcher.resolve(&RequestParts {
        host: &levelled.host,
        path: &levelled.path,
        method: &parts.method,
        headers: &parts.headers,
    });
    let matched = matched.expect("one is for every path");
    let is_under = |prefix: &str| {
        let rest = levelled.path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let longest = prefixes.iter().rposition(|prefix| is_under(prefix) && prefix.len() > 1).unwrap_or(0);
    // `/admin` comes last, and no path is under two that are not nested.
    assert_eq!(matched.service, longest, "{levelled:?}");
    let Some(rest) = without_prefix(&parts.uri, &levelled.path, matched.strip) else { return };
    assert!(rest.authority().is_none() && rest.path().starts_with('/'), "{rest}");
    assert_eq!(rest.query(), parts.uri.query(), "{levelled:?}");
    assert_eq!(rest.path().trim_start_matches('/'), levelled.path[matched.strip..].trim_start_matches('/'));
}

/// Unreserved characters as themselves, all other escapes in upper case.
fn unescaped(raw: &str) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while let Some(&byte) = raw.as_bytes().get(at) {
        let escaped = byte == b'%';
        let value = if escaped { u8::from_str_radix(&raw[at + 1..at + 3], 16).expect("hex") } else { byte };
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        if (escaped && !unreserved) || !value.is_ascii() {
            text.push_str(&format!("%{value:02X}"));
        } else {
            text.push(char::from(value));
        }
        at += if escaped { 3 } else { 1 };
    }
    text
}

fn merged(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

/// RFC 3986 section 5.2.4, to the letter.
fn without_dots(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or_default());
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |slash| slash + 1);
            output.push_str(&input[..end]);
            input.replace_range(..end, "");
        }
    }
    output
}
