//! Which other protocols a connection may change to on the way through.

use http::HeaderValue;

/// The protocols that a service's clients may ask for with `Upgrade`, as endpoints are asked for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrades(Vec<HeaderValue>);

/// A name that can't be on the list: why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAProtocol {
    /// It is not a name of RFC 9110 section 7.8.
    Malformed,
    /// Behind it come requests of HTTP again, which nobody would look at: neither routes, nor limits, nor fields.
    IsHttp,
    /// Behind it comes encryption that only the endpoint could read.
    IsTls,
}

impl Upgrades {
    /// None at all.
    pub const NONE: Self = Self(Vec::new());

    /// A name as `Upgrade` has it, in lower case: `websocket`, `name/1.0`.
    ///
    /// # Errors
    /// For what is no name, and for protocols that would carry requests past the proxy.
    pub fn protocol(name: &str) -> Result<HeaderValue, NotAProtocol> {
        let name = name.to_ascii_lowercase();
        let token = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        let (base, version) =
            name.split_once('/').map_or((name.as_str(), None), |(base, version)| (base, Some(version)));
        if !token(base) || !version.is_none_or(token) {
            return Err(NotAProtocol::Malformed);
        }
        match base {
            "h2c" | "h2" | "h3" | "http" | "https" => Err(NotAProtocol::IsHttp),
            "tls" | "ssl" => Err(NotAProtocol::IsTls),
            _other => HeaderValue::try_from(name).map_err(|_| NotAProtocol::Malformed),
        }
    }

    /// Exactly these.
    pub fn of(protocols: Vec<HeaderValue>) -> Self {
        Self(protocols)
    }

    /// The one that a client asked for, if it is on the list.
    pub fn find(&self, asked: &[u8]) -> Option<&HeaderValue> {
        self.0.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(asked))
    }
}

impl Default for Upgrades {
    /// WebSocket, and nothing else.
    fn default() -> Self {
        Self(vec![HeaderValue::from_static("websocket")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_is_the_only_one_unless_said_otherwise() {
        let default = Upgrades::default();
        assert_eq!(default.find(b"WebSocket").unwrap(), "websocket");
        for other in [&b"h2c"[..], b"websocket, h2c", b"websocket/13", b""] {
            assert_eq!(default.find(other), None, "{}", String::from_utf8_lossy(other));
        }
        assert_eq!(Upgrades::NONE.find(b"websocket"), None);
    }

    #[test]
    fn what_would_carry_requests_past_the_proxy_is_no_protocol() {
        for (name, why) in [
            ("h2c", NotAProtocol::IsHttp),
            ("H2C", NotAProtocol::IsHttp),
            ("HTTP/2.0", NotAProtocol::IsHttp),
            ("TLS/1.0", NotAProtocol::IsTls),
            ("", NotAProtocol::Malformed),
            ("a b", NotAProtocol::Malformed),
            ("a, b", NotAProtocol::Malformed),
            ("a/", NotAProtocol::Malformed),
        ] {
            assert_eq!(Upgrades::protocol(name), Err(why), "{name}");
        }
        assert_eq!(Upgrades::protocol("SPDY/3").unwrap(), "spdy/3");
    }
}
