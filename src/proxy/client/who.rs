//! Who is at the other end of a connection.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
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

impl Client {
    pub(crate) fn new(listener: Rc<Listener>, peer: SocketAddr, local: SocketAddr, life: Rc<Life>) -> Self {
        let ip = peer.ip().to_canonical();
        let name = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        let (reached, port, scheme) = (local, HeaderValue::from(local.port()), Scheme::HTTP);
        let opening = RefCell::default();
        Self { listener, peer, reached, ip, name, port, scheme, tls: None, life, opening }
    }

    /// The client that this connection is from: who connected, or whom that relays.
    pub(super) async fn said_by(self, worker: &Worker, stream: &mut TcpStream) -> Result<Self, NoHeader> {
        if !self.listener.proxy_protocol {
            return Ok(self);
        }
        if !worker.view().snapshot.trusted.trusts(self.ip) {
            return Err(NoHeader::Untrusted);
        }
        Ok(match read_header(stream).await? {
            ProxyHeader::Own => self,
            ProxyHeader::Relayed { source, destination } => {
                Self::new(self.listener, source, destination, self.life)
            }
        })
    }

    pub(super) fn speaks_tls(&mut self, session: Session) {
        self.scheme = Scheme::HTTPS;
        self.tls = Some(Box::new(session));
    }
}
