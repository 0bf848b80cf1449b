//! From an endpoint's address to a socket that can be spoken on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::socket::{EndpointSocket, Line};
use crate::clock::Clock;
use crate::proxy::fault::AttemptError;

/// How to reach an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) address: SocketAddr,
}

impl Dial {
    /// A socket.
    pub(super) async fn socket(&self) -> Result<(EndpointSocket, Rc<Line>), AttemptError> {
        let stream =
            TcpStream::connect(self.address).await.map_err(|error| AttemptError::of_connect(&error))?;
        // An error here means that the connection is gone already; sending will tell.
        let _nodelay = stream.set_nodelay(true);
        let line = Rc::<Line>::default();
        Ok((EndpointSocket::new(stream, line.clone()), line))
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
