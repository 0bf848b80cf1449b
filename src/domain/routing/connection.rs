//! How a service's endpoints are spoken to.

use std::fmt;
use std::sync::Arc;

use crate::domain::proxy_protocol::ProxyProtocol;

/// How a service's endpoints are spoken to.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Which version of HTTP.
    pub protocol: Protocol,
    /// `None`: without TLS.
    pub tls: Option<Arc<Tls>>,
    /// How they are told whom a connection is for; `None`: not by the connection. HTTP/1.1 alone.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: a connection carries one request at a time.
    #[default]
    Http1,
    /// HTTP/2, without asking: a connection carries many.
    Http2,
    /// What the endpoint chooses when TLS begins (ALPN).
    Auto,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Who may vouch for an endpoint's certificate.
    pub roots: Roots,
    /// The name it must be for; `None`: the endpoint's own, as it was declared.
    pub server_name: Option<String>,
    /// What we show when we are asked who we are.
    pub identity: Option<Identity>,
}

/// Certificate authorities.
#[derive(Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those that the machine trusts.
    System,
    /// These certificates (DER).
    These(Vec<Vec<u8>>),
}

/// A certificate with its key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and those that lead to its authority (DER).
    pub chain: Vec<Vec<u8>>,
    /// The private key (DER).
    pub key: Vec<u8>,
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            // Compared for every endpoint of every snapshot: most often they are the very same.
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one == two,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        (self.protocol, self.proxy_protocol) == (other.protocol, other.proxy_protocol) && same_tls
    }
}

impl Eq for Connection {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::These(these) => write!(f, "These({})", these.len()),
        }
    }
}

/// A key is never printed.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let identity = Identity { chain: vec![vec![1]], key: vec![222, 173, 190, 239] };
        let tls = Tls { roots: Roots::These(vec![vec![222]]), server_name: None, identity: Some(identity) };
        let text = format!("{:?}", Connection { tls: Some(Arc::new(tls)), ..Connection::default() });
        assert!(!text.contains("222"), "{text}");
    }
}
