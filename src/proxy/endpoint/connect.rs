//! From an endpoint's address to a socket that can be spoken on.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::socket::{EndpointSocket, Line};
use crate::clock::Clock;
use crate::domain::routing::{Connection, Endpoint, Protocol};
use crate::proxy::fault::AttemptError;
use crate::tls::outgoing::{Fault, Outgoing};

/// How the endpoints of a service are spoken to, with what is made of it once.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) connection: Connection,
    tls: Option<Result<Outgoing, String>>,
}

/// How to reach an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    address: SocketAddr,
    protocol: Protocol,
    /// `Err`: it should be spoken to in TLS, and can't.
    tls: Option<Result<(Outgoing, ServerName<'static>), ()>>,
}

/// A socket, and what is known of it.
pub(super) struct Socket {
    pub(super) io: EndpointSocket,
    pub(super) line: Rc<Line>,
    /// Which version of HTTP was agreed on; never [`Protocol::Auto`].
    pub(super) spoken: Protocol,
}

impl Speech {
    pub(crate) fn new(connection: &Connection) -> Rc<Self> {
        let tls = connection.tls.as_ref().map(|tls| Outgoing::new(tls, connection.protocol));
        if let Some(Err(why)) = &tls {
            // Whoever read the config has made one of the same: it can be made.
            tracing::error!(why, "TLS to endpoints can't be spoken");
        }
        Rc::new(Self { connection: connection.clone(), tls })
    }

    pub(super) fn dial(&self, endpoint: &Endpoint) -> Dial {
        let named =
            |tls: &Outgoing| tls.name_of(&endpoint.declared).map(|name| (tls.clone(), name)).map_err(drop);
        let tls = self.tls.as_ref().map(|tls| tls.as_ref().map_err(|_| ()).and_then(named));
        Dial { address: endpoint.address, protocol: self.connection.protocol, tls }
    }
}

impl Dial {
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    async fn introduce(&self, header: &[u8]) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        if !header.is_empty() {
            stream.write_all(header).await?;
        }
        Ok(stream)
    }

    /// A socket. `offered`: the version of HTTP, if that is not what the service wants in the first place. `header`: says
    /// whom the connection is for, before anything else.
    pub(super) async fn socket(
        &self,
        offered: Option<Protocol>,
        header: &[u8],
    ) -> Result<Socket, AttemptError> {
        let stream = self.introduce(header).await.map_err(|error| AttemptError::of_connect(&error))?;
        // An error here means that the connection is gone already; sending will tell.
        let _nodelay = stream.set_nodelay(true);
        let line = Rc::<Line>::default();
        let Some(tls) = &self.tls else {
            let io = EndpointSocket::plain(stream, line.clone());
            return Ok(Socket { io, line, spoken: self.protocol });
        };
        let (tls, name) = tls.as_ref().map_err(|()| AttemptError::TlsProtocol)?;
        let offered = offered.unwrap_or(self.protocol);
        let (stream, spoken) =
            tls.connect(stream, name.clone(), offered).await.map_err(|error| of_handshake(&error))?;
        Ok(Socket { io: EndpointSocket::tls(stream, line.clone()), line, spoken })
    }
}

/// What becomes of a failed handshake.
fn of_handshake(error: &io::Error) -> AttemptError {
    Fault::of(error).map_or(AttemptError::Terminated, AttemptError::from)
}

impl From<Fault> for AttemptError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Certificate(_) => Self::TlsCertificate,
            Fault::Protocol(_) => Self::TlsProtocol,
        }
    }
}

/// What `connecting` comes to, if it comes to it in time.
pub(super) async fn in_time<T>(
    connecting: impl Future<Output = Result<T, AttemptError>>,
    clock: &Clock,
    limit: Duration,
) -> Result<T, AttemptError> {
    tokio::select! {
        biased;
        connected = connecting => connected,
        () = clock.sleep_until(clock.now() + limit) => Err(AttemptError::ConnectTimeout),
    }
}
