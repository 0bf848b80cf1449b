//! The parts of a route that people write as text: hosts and path prefixes.

use std::fmt;
use std::net::Ipv6Addr;

use super::RouteMatch;

/// A host, or a family of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Every host, and no host.
    Any,
    /// `*.shop.example`: any number of labels before this suffix, at least one. Lower case, without `*.`.
    Under(Box<str>),
    /// This one. Lower case, without port or trailing dot; an IPv6 address in its shortest form, in brackets.
    Exact(Box<str>),
}

/// A path prefix that ends on a segment border: `/api` holds for `/api` and `/api/x`, not for `/apix`.
/// Stored without a trailing slash; `/` (the default) is stored as the empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Box<str>);

/// A text that is neither a host nor a family of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAHost(String);

/// A text that is not the start of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAPathPrefix(String);

impl RouteMatch {
    /// Holds for every request to `host`.
    pub fn to_host(host: HostPattern) -> Self {
        Self {
            host,
            path: PathPrefix::default(),
            methods: Vec::new(),
            headers: Vec::new(),
            strip_prefix: false,
        }
    }
}

impl HostPattern {
    /// `*`, `*.shop.example`, `shop.example`, `10.0.0.1` or `[::1]`; upper case and one trailing dot are levelled.
    ///
    /// # Errors
    /// When it is something else; the error says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, NotAHost> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address =
                address.parse::<Ipv6Addr>().map_err(|_| NotAHost::new(text, "not an IPv6 address"))?;
            return Ok(Self::Exact(format!("[{address}]").into()));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(NotAHost(format!("an IPv6 address as host goes in brackets: write `[{text}]`")));
        }
        match text.strip_prefix("*.") {
            Some(suffix) => Ok(Self::Under(dns_name(suffix).map_err(|why| NotAHost::new(text, why))?)),
            None => Ok(Self::Exact(dns_name(text).map_err(|why| NotAHost::new(text, why))?)),
        }
    }
}

impl PathPrefix {
    /// `/`, `/api` or `/api/`. Levelled as request paths are: unreserved characters decoded (RFC 3986 section
    /// 6.2.2), other escapes in upper case, what is not ASCII escaped.
    ///
    /// # Errors
    /// When no request path could start so; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NotAPathPrefix> {
        let wrong = |why: &str| Err(NotAPathPrefix(format!("`{text}` is not a path prefix: {why}")));
        if !text.starts_with('/') {
            return wrong("it starts with `/`");
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || " ?#\\\"<>^`{|}".contains(*c)) {
            return wrong(&format!("{bad:?} can't be in a path"));
        }
        let Some(levelled) = level_escapes(text) else {
            return wrong("`%` is followed by two hexadecimal digits, and not by 00, 2F or 5C");
        };
        let prefix = levelled.strip_suffix('/').unwrap_or(&levelled);
        match prefix.split('/').skip(1).find(|segment| ["", ".", ".."].contains(segment)) {
            Some("") => wrong("it has an empty segment"),
            Some(_) => wrong("`.` and `..` are resolved before paths are compared; write where they lead"),
            None => Ok(Self(prefix.into())),
        }
    }

    /// The prefix as stored: without a trailing slash, empty for `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name in lower case without its trailing dot; else what is wrong with it. Underscores are let through:
/// container names have them.
fn dns_name(text: &str) -> Result<Box<str>, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.contains("://") || name.contains('/') {
        return Err("a host is written without scheme and path");
    }
    if name.contains(':') {
        return Err("a host is written without port");
    }
    if name.contains('*') {
        return Err("`*` only stands at the start, for whole labels: `*.shop.example`");
    }
    if !name.is_ascii() {
        return Err("an international name is written in its ASCII form (`xn--…`)");
    }
    if name.is_empty() || name.len() > 253 {
        return Err("a name has 1 to 253 characters");
    }
    let well_formed = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(well_formed) {
        return Err("a label has 1 to 63 letters, digits, hyphens or underscores, no hyphen at its ends");
    }
    Ok(name.to_ascii_lowercase().into())
}

/// `None` when an escape is broken or stands for a byte that must not hide in a path.
fn level_escapes(text: &str) -> Option<String> {
    let mut levelled = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = byte == b'%';
        let byte = if escaped { hex_digit(bytes.next()?)? * 16 + hex_digit(bytes.next()?)? } else { byte };
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match byte {
            0 | b'/' | b'\\' if escaped => return None,
            _ if unreserved || (byte.is_ascii() && !escaped) => levelled.push(char::from(byte)),
            _ => levelled.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(levelled)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl NotAHost {
    fn new(text: &str, why: &str) -> Self {
        Self(format!("`{text}` is not a host: {why}"))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Under(suffix) => write!(f, "*.{suffix}"),
            Self::Exact(host) => f.write_str(host),
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Display for NotAHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotAPathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAHost {}

impl std::error::Error for NotAPathPrefix {}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn hosts_are_levelled() {
        for (text, shown) in [
            ("*", "*"),
            ("Shop.Example.", "shop.example"),
            ("*.SHOP.example", "*.shop.example"),
            ("my_service", "my_service"),
            ("10.0.0.1", "10.0.0.1"),
            ("[0:0::1]", "[::1]"),
        ] {
            assert_eq!(HostPattern::parse(text).map(|host| host.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_what_to_write() {
        for (text, advice) in [
            ("shop.example:8080", "without port"),
            ("http://shop.example", "without scheme"),
            ("shop.*.example", "only stands at the start"),
            ("*shop.example", "only stands at the start"),
            ("shop..example", "1 to 63"),
            ("-shop.example", "hyphen"),
            ("bücher.example", "xn--"),
            ("", "1 to 253"),
            ("*.", "1 to 253"),
            ("::1", "write `[::1]`"),
            ("[::x]", "IPv6"),
            ("shop example", "letters"),
        ] {
            let error = HostPattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn path_prefixes_are_levelled_as_request_paths_are() {
        for (text, stored) in [
            ("/", ""),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/%61pi", "/api"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/a:b@c", "/a:b@c"),
        ] {
            assert_eq!(PathPrefix::parse(text).as_ref().map(PathPrefix::as_str), Ok(stored), "{text}");
        }
    }

    #[test]
    fn what_no_path_starts_with_is_refused() {
        for text in [
            "",
            "api",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\\b",
            "/a\n",
            "/%",
            "/%4",
            "/%zz",
            "/%00",
            "/a%2Fb",
            "/%5c",
            "//",
            "/a//b",
            "/a/../b",
            "/./a",
            "/%2e%2e/a",
            "/a//",
        ] {
            assert!(PathPrefix::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_levelled_stays_as_it_is(text in any::<String>()) {
            if let Ok(host) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&host.to_string()), Ok(host));
            }
            if let Ok(prefix) = PathPrefix::parse(&format!("/{text}")) {
                prop_assert_eq!(PathPrefix::parse(&prefix.to_string()), Ok(prefix));
            }
        }
    }
}
