//! Addresses as people write them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::spec::{AdminAddress, EndpointAddress};
use crate::domain::routing::HostPattern;

/// The longest path of a unix socket on Linux (`sun_path` in unix(7), without its closing zero).
const LONGEST_SOCKET_PATH: usize = 107;

/// A text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnAddress(String);

impl FromStr for EndpointAddress {
    type Err = NotAnAddress;

    /// `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let wrong = |why: &str| NotAnAddress(format!("`{text}` is not an endpoint: {why}"));
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(wrong("a port is 1 to 65535"))
            } else {
                Ok(Self::Ip(address))
            };
        }
        if text.contains("://") {
            return Err(wrong("write `host:port`, without a scheme"));
        }
        if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
            return Err(wrong(&format!("an IPv6 address goes in brackets, with a port: `[{text}]:8080`")));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(wrong(&format!("the port is missing: write `{text}:8080`")));
        };
        let port = port.parse::<u16>().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| wrong("a port is 1 to 65535"))?;
        match HostPattern::parse(host) {
            Ok(HostPattern::Exact(name)) if !looks_like_an_address(&name) => {
                Ok(Self::Dns { name: name.into(), port })
            }
            Ok(HostPattern::Exact(_)) => Err(wrong("the address is not valid")),
            Ok(HostPattern::Any | HostPattern::Under(_)) => Err(wrong("`*` names no host")),
            Err(why) => Err(wrong(&why.to_string())),
        }
    }
}

impl TryFrom<String> for EndpointAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl From<EndpointAddress> for String {
    fn from(endpoint: EndpointAddress) -> Self {
        endpoint.to_string()
    }
}

impl FromStr for AdminAddress {
    type Err = NotAnAddress;

    /// `address:port`, `localhost:port` or `unix:/path`.
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                1..=LONGEST_SOCKET_PATH => Ok(Self::Unix(PathBuf::from(path))),
                _ => Err(NotAnAddress(format!(
                    "`{text}`: the path of a unix socket has 1 to {LONGEST_SOCKET_PATH} bytes"
                ))),
            };
        }
        let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        listen(address.as_deref().unwrap_or(text))
            .map(Self::Tcp)
            .map_err(|NotAnAddress(why)| NotAnAddress(format!("{why} (or `unix:/path/to/socket`)")))
    }
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, NotAnAddress> {
    text.parse().map_err(|_| {
        let wrong = |why: &str| NotAnAddress(format!("`{text}` is not an address to listen on: {why}"));
        match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            Ok(port) => wrong(&format!("write `0.0.0.0:{port}`, or `[::]:{port}` for IPv6 too")),
            Err(_) if text.parse::<IpAddr>().is_ok() => wrong("the port is missing"),
            Err(_) => wrong("write an IP address and a port, as `0.0.0.0:8080` or `[::1]:8080`"),
        }
    })
}

/// `300.1.1.1`, `[::1`: meant as an address. No top-level domain is a number (RFC 3696 section 2).
fn looks_like_an_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    name.starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAnAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_as_they_are_shown() {
        for text in ["127.0.0.1:80", "[::1]:65535", "web:8080", "web-1.internal:1", "my_app:3000"] {
            assert_eq!(text.parse::<EndpointAddress>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_name_is_levelled() {
        let levelled = EndpointAddress::Dns { name: "web.internal".to_owned(), port: 80 };
        assert_eq!("Web.Internal.:80".parse(), Ok(levelled));
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_what_to_write() {
        for (text, advice) in [
            ("http://web:80", "without a scheme"),
            ("web", "write `web:8080`"),
            ("127.0.0.1", "write `127.0.0.1:8080`"),
            ("::1", "`[::1]:8080`"),
            ("web:0", "1 to 65535"),
            ("127.0.0.1:0", "1 to 65535"),
            ("web:http", "1 to 65535"),
            ("web:70000", "1 to 65535"),
            (":80", "1 to 253"),
            ("*:80", "names no host"),
            ("300.1.1.1:80", "not valid"),
            ("a b:80", "letters"),
            ("web/x:80", "without scheme and path"),
        ] {
            let error = text.parse::<EndpointAddress>().expect_err(text).to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn admin_addresses_are_tcp_or_unix() {
        for (text, shown) in [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:1", "[::1]:1"),
            ("unix:/run/adit.sock", "unix:/run/adit.sock"),
        ] {
            assert_eq!(text.parse::<AdminAddress>().map(|it| it.to_string()), Ok(shown.to_owned()));
        }
        for text in ["", "unix:", "9900", "example.com:1", &format!("unix:/{}", "x".repeat(107))] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_port_is_told_what_to_write() {
        for text in ["8080", ":8080"] {
            let error = listen(text).expect_err(text).to_string();
            assert!(error.contains("write `0.0.0.0:8080`"), "{error}");
        }
    }
}
