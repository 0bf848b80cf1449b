//! What a route asks of host and path, as it is written in a config.

use std::fmt;
use std::net::Ipv6Addr;

/// A host, or a family of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host, and no host.
    Any,
    /// `*.shop.example`: any number of labels before this suffix, at least one. Lower case, without `*.`.
    Under(Box<str>),
    /// This one. Lower case, without port or trailing dot.
    Exact(Box<str>),
}

/// A path prefix that ends on a segment border: `/api` holds for `/api` and `/api/x`, not for `/apix`.
/// Stored without a trailing slash; `/` is stored as the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Box<str>);

/// A host or path that no route can have: what was written, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern(String);

impl HostPattern {
    /// `shop.example`, `*.shop.example`, `[::1]`; `*` or nothing is every host. Case does not matter.
    ///
    /// # Errors
    /// With a port, a trailing dot, a `*` elsewhere, or what can't stand in a host name (RFC 1123 section 2.1, and `_`).
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let lower = text.to_ascii_lowercase();
        if lower.is_empty() || lower == "*" {
            return Ok(Self::Any);
        }
        if let Some(suffix) = lower.strip_prefix("*.") {
            check_name(text, suffix)?;
            return Ok(Self::Under(suffix.into()));
        }
        if lower.starts_with('[') {
            check_ipv6(text, &lower)?;
        } else {
            check_name(text, &lower)?;
        }
        Ok(Self::Exact(lower.into()))
    }
}

impl PathPrefix {
    /// `/api`, `/api/` (the same) or `/`.
    ///
    /// # Errors
    /// When it does not start with `/`, has an empty, `.` or `..` segment, or a character that no path has
    /// (RFC 3986 section 3.3).
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let bad = |what: &str| Err(BadPattern(format!("path `{text}` {what}")));
        let Some(rest) = text.strip_prefix('/') else { return bad("does not start with `/`") };
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() || r#"?#\"<>^`{|}"#.contains(*c)) {
            return bad(&format!("has {odd:?}, which no request's path has"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return if text.len() <= 1 { Ok(Self("".into())) } else { bad("has an empty segment") };
        }
        match rest.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
            Some("") => bad("has an empty segment"),
            Some(dots) => bad(&format!("has a `{dots}` segment")),
            None => Ok(Self(text[..=rest.len()].into())),
        }
    }

    /// Without a trailing slash; empty for `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_name(text: &str, name: &str) -> Result<(), BadPattern> {
    let bad = |what: &str| Err(BadPattern(format!("host `{text}` {what}")));
    if name.contains(':') {
        return bad("has a port; a route holds for every port");
    }
    if name.ends_with('.') {
        return bad("ends with a dot; leave it out");
    }
    if name.contains('*') {
        return bad("has a `*` that is not `*.` at its start");
    }
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return bad("is no host name: a label is empty or too long");
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c)) {
        Some(odd) => bad(&format!("has {odd:?}, which no host name has (write it in Punycode)")),
        None => Ok(()),
    }
}

fn check_ipv6(text: &str, lower: &str) -> Result<(), BadPattern> {
    let address = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address.map(str::parse::<Ipv6Addr>) {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => {
            Err(BadPattern(format!("host `{text}` is not an IPv6 address in brackets without a port")))
        }
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_reads_as_people_write_it() {
        let exact = |name: &str| HostPattern::Exact(name.into());
        for (text, expected) in [
            ("", HostPattern::Any),
            ("*", HostPattern::Any),
            ("Shop.Example", exact("shop.example")),
            ("my_shop", exact("my_shop")),
            ("10.0.0.1", exact("10.0.0.1")),
            ("[::1]", exact("[::1]")),
            ("*.Shop.example", HostPattern::Under("shop.example".into())),
        ] {
            assert_eq!(HostPattern::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(64);
        let texts = [
            "shop:80", "shop.", ".shop", "a..b", "*.", "*shop", "a.*.b", "*.*", "a b", "é", "[::1]:80", "[x]",
        ];
        for text in texts.into_iter().chain([long.as_str()]) {
            let error = HostPattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(text), "{error} names {text}");
        }
    }

    #[test]
    fn a_path_is_kept_without_its_trailing_slash() {
        for (text, expected) in
            [("/", ""), ("/api", "/api"), ("/api/", "/api"), ("/a/b.c/~d", "/a/b.c/~d"), ("/...", "/...")]
        {
            assert_eq!(PathPrefix::parse(text).as_ref().map(PathPrefix::as_str), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "", "api", "//", "/a//", "/a//b", "//a", "/.", "/a/../b", "/a/..", "/a?b", "/a#b", "/a b", "/é",
            "/a\\b",
        ] {
            let error = PathPrefix::parse(text).expect_err(text).to_string();
            assert!(error.contains("path `"), "{error}");
        }
    }
}
