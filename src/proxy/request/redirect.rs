//! Requests in the clear that belong on TLS: the same request, at the same host, with another scheme.

use http::HeaderValue;
use http::request::Parts;

use super::fields::Fields;
use super::normalize::asked;
use super::respond::Refusal;
use crate::proxy::ToHttps;

/// Where certificate authorities look, without TLS, for what proves that a host is ours (RFC 8555 section 8.3).
const ACME: &str = "/.well-known/acme-challenge/";
const HTTPS: u16 = 443;

/// Where a levelled request belongs; `None`: here. The host is the one that was checked, never the client's spelling of
/// it, and stands between `https://` and a path: nothing in the request can lead elsewhere.
pub(crate) fn location(parts: &Parts, fields: &Fields, to: ToHttps) -> Result<Option<HeaderValue>, Refusal> {
    let asked = asked(parts, fields)?;
    if asked.path.starts_with(ACME) {
        return Ok(None);
    }
    if asked.host.is_empty() {
        return Err(Refusal::BadHost);
    }
    let port = to.port.filter(|port| *port != HTTPS).map(|port| format!(":{port}")).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let location = format!("https://{}{port}{target}", asked.host);
    HeaderValue::try_from(location).map(Some).map_err(|_| Refusal::BadTarget)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn led(host: &str, target: &str, port: u16) -> Option<String> {
        let (parts, ()) = Request::get(target).header("host", host).body(()).unwrap().into_parts();
        let location = location(&parts, &Fields::of(&parts.headers), ToHttps { port: Some(port) }).ok()??;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_redirect_changes_the_scheme_and_nothing_else() {
        for (host, target, port, location) in [
            ("Shop.Example.:80", "/a%2Fb?q=1", 443, "https://shop.example/a%2Fb?q=1"),
            ("shop.example", "/", 8443, "https://shop.example:8443/"),
            ("[::1]:8080", "//evil.example/", 443, "https://[::1]//evil.example/"),
        ] {
            assert_eq!(led(host, target, port).as_deref(), Some(location), "{host}{target}");
        }
    }

    #[test]
    fn what_is_no_host_leads_nowhere() {
        for host in ["", "user@evil.example", "a/b", "a b", "a\\b"] {
            assert_eq!(led(host, "/", 443), None, "{host}");
        }
    }

    #[test]
    fn proofs_for_certificate_authorities_stay_in_the_clear() {
        assert_eq!(led("a", "/.well-known/acme-challenge/token", 443), None);
        let elsewhere = "/.well-known/acme-challenge/../../admin";
        assert_eq!(led("a", elsewhere, 443), Some(format!("https://a{elsewhere}")));
    }
}
