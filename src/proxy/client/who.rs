//! Who is at the other end of a connection.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use http::HeaderValue;
use http::uri::Scheme;
use tokio::net::TcpStream;

use super::life::Life;
use super::relayed::{NoHeader, read_header};
use super::tls::Session;
use crate::domain::proxy_protocol::ProxyHeader;
use crate::proxy::Listener;
use crate::proxy::tunnel::Opening;
use crate::proxy::worker::Worker;

/// Who is at the other end.
pub(crate) struct Client {
    /// Where it connected.
    pub(crate) listener: Rc<Listener>,
    /// Its end of the connection, and the end that it meant to reach.
    pub(crate) peer: SocketAddr,
    pub(crate) reached: SocketAddr,
    pub(crate) ip: IpAddr,
    /// Its address as a field value.
    pub(crate) name: HeaderValue,
    /// The port it connected to.
    pub(crate) port: HeaderValue,
    /// How it speaks to us.
    pub(crate) scheme: Scheme,
    /// What was agreed on in its handshake; `None`: it speaks in the clear.
    pub(crate) tls: Option<Box<Session>>,
    pub(crate) life: Rc<Life>,
    /// What this connection is about to become.
    pub(crate) opening: RefCell<Option<Box<Opening>>>,
}

/// Who connected, and where, before anything is said.
pub(crate) struct Arrival {
    pub(crate) listener: Rc<Listener>,
    pub(crate) peer: SocketAddr,
    pub(crate) reached: SocketAddr,
    /// Of `reached`.
    pub(crate) port: HeaderValue,
    pub(crate) life: Rc<Life>,
}

impl Arrival {
    /// Whose connection it is, if a header says that before all else: not who connected, but whom that relays.
    pub(super) async fn heed_header(
        &mut self,
        worker: &Worker,
        stream: &mut TcpStream,
    ) -> Result<(), NoHeader> {
        if !worker.view().snapshot.trusted.trusts(self.peer.ip().to_canonical()) {
            return Err(NoHeader::Untrusted);
        }
        if let ProxyHeader::Relayed { source, destination } = read_header(stream).await? {
            (self.peer, self.reached) = (source, destination);
            self.port = HeaderValue::from(destination.port());
        }
        Ok(())
    }

    /// `tls`: what was agreed on in its handshake, if there was one.
    pub(crate) fn client(self, tls: Option<Session>) -> Client {
        let Self { listener, peer, reached, port, life } = self;
        let ip = peer.ip().to_canonical();
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let (tls, opening) = (tls.map(Box::new), RefCell::default());
        Client { listener, peer, reached, ip, name: name(ip), port, scheme, tls, life, opening }
    }
}

/// An address as a field value.
fn name(ip: IpAddr) -> HeaderValue {
    let written = match ip {
        IpAddr::V4(ip) => {
            let (text, length) = dotted(ip);
            HeaderValue::from_bytes(&text[..length])
        }
        IpAddr::V6(ip) => HeaderValue::from_bytes(ip.to_string().as_bytes()),
    };
    written.unwrap_or(HeaderValue::from_static("unknown"))
}

/// As `Display` has it, in a tenth of the time: every connection needs it.
fn dotted(ip: Ipv4Addr) -> ([u8; 15], usize) {
    let (mut text, mut length) = ([b'.'; 15], 0);
    for octet in ip.octets() {
        for (least, one) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text[length] = b'0' + octet / one % 10;
                length += 1;
            }
        }
        // The dot behind it; the last one is not meant.
        length += 1;
    }
    (text, length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_as_everybody_writes_it() {
        for octet in 0..=255 {
            let ip = Ipv4Addr::new(octet, 255 - octet, 0, octet);
            assert_eq!(name(ip.into()), ip.to_string());
        }
        assert_eq!(name("2001:db8::1".parse().unwrap()), "2001:db8::1");
    }
}
