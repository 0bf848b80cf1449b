//! The sockets that clients connect to: bound before anything starts, one per worker and address.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use http::HeaderValue;
use socket2::{Domain, Protocol, Socket, Type};

use crate::domain::routing::Spoken;
use crate::tls::Keyring;

/// Connections that wait to be accepted, per socket. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that clients connect to, and how they are received there.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Port 0: any free port.
    pub address: SocketAddr,
    /// What clients may speak there.
    pub protocol: Spoken,
    /// Whether a connection begins with a header of the PROXY protocol. It is taken from the trusted proxies alone.
    pub proxy_protocol: bool,
    /// What TLS is spoken with there; `None`: it is not.
    pub tls: Option<Arc<Keyring>>,
    /// Requests are sent on to where TLS is spoken.
    pub redirect: Option<ToHttps>,
    /// `Strict-Transport-Security` of answers that have none.
    pub hsts: Option<HeaderValue>,
}

/// Where TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToHttps {
    /// `None`: the port of the first listener with TLS.
    pub port: Option<u16>,
}

/// An address that can't be listened on.
#[derive(Debug)]
pub struct BindError {
    /// Which one.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Whether others of this program's user may bind the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Alone,
    AmongWorkers,
}

/// One socket per worker on this address.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    bind_all(address, workers).map_err(|source| BindError { address, source })
}

fn bind_all(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Sockets with SO_REUSEPORT share a port even between programs, without a word: look first whether it is free.
        open(address, Sharing::Alone)?;
    }
    let first = open(address, Sharing::AmongWorkers)?;
    // Port 0: the first socket decides.
    let address = first.local_addr()?;
    let others = (1..workers).map(|_| open(address, Sharing::AmongWorkers));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// Fills in the ports that redirects lead to: now they are known.
pub(crate) fn lead_on(sockets: &mut [(Listener, Vec<TcpListener>)]) {
    let with_tls = sockets.iter().find(|(listener, _)| listener.tls.is_some());
    let port = with_tls.and_then(|(_, sockets)| Some(sockets.first()?.local_addr().ok()?.port()));
    for redirect in sockets.iter_mut().filter_map(|(listener, _)| listener.redirect.as_mut()) {
        redirect.port = redirect.port.or(port);
    }
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run may still be closing.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::AmongWorkers)?;
    // Of the connections, which have it from here: no answer waits for an acknowledgement of what was sent before it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Listener {
    /// Without TLS and without anything special.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, protocol: Spoken::Any, proxy_protocol: false, tls: None, redirect: None, hsts: None }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen on {}", self.address)?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str(" (another process has that port: stop it, or choose another)")
            }
            io::ErrorKind::PermissionDenied => {
                f.write_str(" (choose a port above 1023, or give us the right to it)")
            }
            io::ErrorKind::AddrNotAvailable => f.write_str(" (this machine does not have that address)"),
            _other => Ok(()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const ANY: &str = "127.0.0.1:0";

    #[test]
    fn all_workers_listen_on_the_port_that_the_first_one_got() {
        let sockets = bind(ANY.parse().unwrap(), 3).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn connections_have_it_from_their_listener_that_nothing_waits_to_be_sent() {
        let listener = bind(ANY.parse().unwrap(), 1).unwrap().remove(0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn a_port_that_another_program_shares_is_taken() {
        let other = bind(ANY.parse().unwrap(), 1).unwrap();
        let taken = other[0].local_addr().unwrap();
        let error = bind(taken, 1).unwrap_err();
        assert_eq!((error.address, error.source.kind()), (taken, io::ErrorKind::AddrInUse));
    }
}
