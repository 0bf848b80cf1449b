//! Who may ask. Three doors: a browser that was led here under a foreign name (DNS rebinding), a page of another
//! origin that sends writes, and whoever lacks the token.

use std::fmt;
use std::hint::black_box;
use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method};

use super::problem::{Code, Problem};
use crate::config::spec::AdminAddress;

/// The protection of one admin address.
#[derive(Debug)]
pub(super) struct Guard {
    names: Names,
    token: Option<Token>,
}

/// Under which names the API may be addressed.
#[derive(Debug)]
enum Names {
    /// Any: the token or the socket's mode protects it.
    Any,
    /// Loopback, or this very address.
    Local(IpAddr),
}

/// The secret that callers show.
pub(super) struct Token(Box<[u8]>);

impl Guard {
    pub(super) fn new(address: &AdminAddress, token: Option<Token>) -> Self {
        let names = match (address, &token) {
            (AdminAddress::Tcp(address), None) => Names::Local(address.ip()),
            (AdminAddress::Tcp(_), Some(_)) | (AdminAddress::Unix(_), _) => Names::Any,
        };
        Self { names, token }
    }

    /// Whether this request comes from where requests may come from. Says nothing about the token.
    pub(super) fn admit(&self, request: &Parts) -> Result<(), Problem> {
        self.check_names(request)?;
        if request.method.is_safe() || request.method == Method::OPTIONS {
            return Ok(());
        }
        check_origin(&request.headers)
    }

    /// Whether the caller has shown the token, if there is one.
    pub(super) fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(bearer);
        if shown.is_some_and(|shown| token.is(shown)) {
            return Ok(());
        }
        Err(Problem::new(
            Code::Unauthorized,
            match shown {
                Some(_) => "this is not the admin API's token: it is in the `token_file` that [admin] names",
                None => {
                    "the admin API wants its token: send `Authorization: Bearer TOKEN`, or give the CLI `--token-file`"
                }
            },
        ))
    }

    fn check_names(&self, request: &Parts) -> Result<(), Problem> {
        let Names::Local(bound) = self.names else { return Ok(()) };
        let host = host(&request.headers)?;
        let authority = request.uri.authority();
        if is_local(&host, bound) && authority.is_none_or(|authority| is_local(authority, bound)) {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!(
                "the admin API answers to `localhost` and its own address only, not to `{}`; for other names set a \
                 `token_file` in [admin]",
                authority.unwrap_or(&host)
            ),
        ))
    }
}

impl Token {
    /// `None` when it is empty or can't be sent in a header: printable ASCII without spaces.
    pub(super) fn new(text: &str) -> Option<Self> {
        let sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        sendable.then(|| Self(text.as_bytes().into()))
    }

    /// Compares in a time that depends on the lengths alone.
    fn is(&self, shown: &[u8]) -> bool {
        let differing = self.0.iter().zip(shown).fold(0, |differing, (ours, theirs)| {
            black_box(differing | (ours ^ theirs)) // black_box: or else the compiler may leave early
        });
        differing == 0 && self.0.len() == shown.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The one Host field.
fn host(headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut fields = headers.get_all(HOST).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(Problem::new(Code::BadRequest, "a request has exactly one Host field"));
    };
    Authority::try_from(field.as_bytes())
        .map_err(|_| Problem::new(Code::BadRequest, "the Host field is not a host with an optional port"))
}

/// The port does not matter: it may be forwarded, and rebinding needs a name.
fn is_local(authority: &Authority, bound: IpAddr) -> bool {
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == bound,
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Browsers send Origin with every write; other clients never do.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let host = host(headers)?;
    let same = origins.next().is_none()
        && [b"http://".as_slice(), b"https://"]
            .iter()
            .filter_map(|scheme| origin.as_bytes().strip_prefix(*scheme))
            .any(|authority| authority.eq_ignore_ascii_case(host.as_str().as_bytes()));
    if same {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "commands from a web page are taken from the dashboard's own origin only",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn guard(address: &str, token: Option<&str>) -> Guard {
        Guard::new(&AdminAddress::Tcp(address.parse().unwrap()), token.and_then(Token::new))
    }

    fn code(outcome: Result<(), Problem>) -> Option<Code> {
        outcome.err().map(|problem| problem.code)
    }

    #[test]
    fn on_loopback_only_local_names_are_answered() {
        let guard = guard("127.0.0.1:9900", None);
        for (host, expected) in [
            ("127.0.0.1:9900", None),
            ("localhost", None),
            ("LocalHost:1234", None),
            ("127.0.0.53", None),
            ("[::1]:9900", None),
            ("evil.example", Some(Code::Forbidden)),
            ("localhost.evil.example:9900", Some(Code::Forbidden)),
            ("127.0.0.1.evil.example", Some(Code::Forbidden)),
            ("10.0.0.1:9900", Some(Code::Forbidden)),
            ("", Some(Code::BadRequest)),
            ("a b", Some(Code::BadRequest)),
        ] {
            let request = request(Method::GET, "/v1/status", &[("host", host)]);
            assert_eq!(code(guard.admit(&request)), expected, "Host: {host}");
        }
    }

    #[test]
    fn a_foreign_name_in_the_request_line_is_refused() {
        let request = request(Method::GET, "http://evil.example/v1/status", &[("host", "localhost")]);
        assert_eq!(code(guard("127.0.0.1:9900", None).admit(&request)), Some(Code::Forbidden));
    }

    #[test]
    fn a_request_without_exactly_one_host_is_refused() {
        let guard = guard("127.0.0.1:9900", None);
        let none = request(Method::GET, "/", &[]);
        let two = request(Method::GET, "/", &[("host", "localhost"), ("host", "evil.example")]);
        assert_eq!([none, two].map(|request| code(guard.admit(&request))), [Some(Code::BadRequest); 2]);
    }

    #[test]
    fn with_a_token_any_name_will_do() {
        let request = request(Method::GET, "/v1/status", &[("host", "adit.example")]);
        assert_eq!(code(guard("127.0.0.1:9900", Some("secret")).admit(&request)), None);
    }

    #[test]
    fn writes_from_another_origin_are_refused() {
        let guard = guard("127.0.0.1:9900", None);
        for (origin, expected) in [
            ("http://localhost:9900", None),
            ("https://LOCALHOST:9900", None),
            ("http://localhost:8000", Some(Code::Forbidden)),
            ("http://evil.example", Some(Code::Forbidden)),
            ("null", Some(Code::Forbidden)),
            ("", Some(Code::Forbidden)),
        ] {
            let request = request(Method::POST, "/", &[("host", "localhost:9900"), ("origin", origin)]);
            assert_eq!(code(guard.admit(&request)), expected, "Origin: {origin}");
        }
    }

    #[test]
    fn writes_from_another_origin_are_refused_even_where_any_name_will_do() {
        let request =
            request(Method::POST, "/", &[("host", "adit.example"), ("origin", "http://evil.example")]);
        let guard = Guard::new(&AdminAddress::Unix("/run/adit.sock".into()), None);
        assert_eq!(code(guard.admit(&request)), Some(Code::Forbidden));
    }

    #[test]
    fn only_the_token_opens() {
        let guard = guard("0.0.0.0:9900", Some("s3cret"));
        for (shown, expected) in [
            ("Bearer s3cret", None),
            ("bearer  s3cret ", None),
            ("Bearer s3cre", Some(Code::Unauthorized)),
            ("Bearer s3cret2", Some(Code::Unauthorized)),
            ("Bearer S3cret", Some(Code::Unauthorized)),
            ("Bearer ", Some(Code::Unauthorized)),
            ("Basic s3cret", Some(Code::Unauthorized)),
            ("s3cret", Some(Code::Unauthorized)),
        ] {
            let headers = request(Method::GET, "/", &[("authorization", shown)]).headers;
            assert_eq!(code(guard.check_token(&headers)), expected, "Authorization: {shown}");
        }
        assert_eq!(code(guard.check_token(&HeaderMap::new())), Some(Code::Unauthorized));
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_none() {
        for text in ["", "two words", "naïve", "line\nbreak"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_token_never_shows_in_debug_output() {
        assert!(!format!("{:?}", guard("127.0.0.1:1", Some("s3cret"))).contains("s3cret"));
    }
}
