//! Where clients come in: a listener's socket on one worker.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::Worker;
use super::listed::Listed;
use crate::proxy::client::connection;
use crate::proxy::client::drive::poll_again;
use crate::proxy::client::life::{Ending, Life};
use crate::proxy::client::who::Arrival;
use crate::proxy::fault::is_our_lack;
use crate::proxy::{Listener, Turned};

/// When the machine has no more sockets to give, or we have enough: try again after this.
const BACK_OFF: Duration = Duration::from_millis(50);
/// So much is read of those who are turned away: more than a request's head or a handshake has.
const MOST_UNREAD: u64 = 64 * 1024;

/// A listener's socket, and what all who connect to it have in common.
pub(in crate::proxy) struct Door {
    listener: Rc<Listener>,
    socket: TcpListener,
    bound: SocketAddr,
    port: HeaderValue,
    /// The last try failed for want of something of ours.
    lacking: bool,
}

impl Door {
    /// Of a bound socket, on the runtime of the worker that runs on this thread.
    pub(in crate::proxy) fn open(listener: Listener, socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (bound, socket) = (socket.local_addr()?, TcpListener::from_std(socket)?);
        let port = HeaderValue::from(bound.port());
        Ok(Self { listener: Rc::new(listener), socket, bound, port, lacking: false })
    }

    /// Takes in who connects, until the worker is told to drain; then those who connected before, and nobody else.
    pub(super) async fn take_in_all(mut self, worker: Rc<Worker>) {
        // In this order: what begins after the look is heard of.
        let mut leaving = pin!(worker.draining_began());
        let mut is_open = !worker.is_draining();
        loop {
            while worker.is_full() {
                worker.clock.sleep_until(worker.clock.now() + BACK_OFF).await;
            }
            let accepted = if is_open {
                let next = poll_fn(|cx| match self.socket.poll_accept(cx) {
                    Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                    Poll::Pending => leaving.as_mut().poll(cx).map(|()| None),
                });
                next.await
            } else {
                poll_again(pin!(self.socket.accept())).await
            };
            match accepted {
                Some(accepted) => self.take_in(&worker, accepted).await,
                None if is_open => is_open = false,
                None => return,
            }
        }
    }

    async fn take_in(&mut self, worker: &Rc<Worker>, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => {
                self.lacking = false;
                self.let_in(worker, stream, peer);
            }
            Err(error) if is_our_lack(&error) => {
                worker.common.vitals.turned(Turned::NoResources);
                // Once, and not twenty times a second.
                if !std::mem::replace(&mut self.lacking, true) {
                    tracing::warn!(%error, "no more connections can be accepted for now");
                }
                worker.clock.sleep_until(worker.clock.now() + BACK_OFF).await;
            }
            // The client gave up before we came to it.
            Err(_) => {}
        }
    }

    fn let_in(&self, worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
        let view = worker.view();
        let (snapshot, limits) = (&view.snapshot, &view.snapshot.limits);
        // A trusted proxy brings many clients.
        let is_client = !snapshot.trusted.trusts(peer.ip().to_canonical());
        let admitted = if is_client { worker.common.admit(peer.ip(), limits) } else { Ok(None) };
        let Ok(present) = admitted else { return turn_away(&stream) };
        // Fails only on a connection that is gone already.
        let Ok(reached) = self.reached_by(&stream) else { return };
        let life = Rc::new(Life::new(worker.clock.now(), fastrand::f64(), limits.clone()));
        if worker.draining.get() {
            life.end(Ending::Gently);
        }
        let listed = Listed::new(worker, life.clone(), present);
        let (listener, port) = (self.listener.clone(), self.port.clone());
        let arrival = Arrival { listener, peer, reached, port, life };
        // Boxed once: each future around it would hold its whole state, some twice.
        let served = Box::pin(connection::serve(worker.clone(), arrival, stream));
        worker.spawn(async move {
            let _listed = listed;
            served.await;
        });
    }

    /// The end of a connection that is ours. The system is asked only where it may be any of this machine's addresses.
    fn reached_by(&self, stream: &TcpStream) -> io::Result<SocketAddr> {
        if self.bound.ip().to_canonical().is_unspecified() { stream.local_addr() } else { Ok(self.bound) }
    }
}

impl Worker {
    /// Whether no more clients may connect; they wait in the kernel's queue. Workers may look at the same moment, and so take
    /// in a few more than that together.
    fn is_full(&self) -> bool {
        let most = u64::from(self.view().snapshot.limits.connections).min(self.common.room);
        self.common.vitals.connections() >= most
    }
}

/// Closes a connection that is one too many. What its client sent by now is read, up to a limit, so that it sees an end and no reset.
fn turn_away(stream: &TcpStream) {
    // The runtime has not heard yet that there is anything to read: the system is asked.
    let socket = SockRef::from(stream);
    let mut said = (&*socket).take(MOST_UNREAD);
    while said.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn who_is_turned_away_sees_an_end_and_no_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&[b'x'; 8_000]).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        turn_away(&stream);
        drop(stream);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
}
