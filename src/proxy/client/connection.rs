//! One client's connection from its beginning to its end: whom it is from, what is spoken on it, and who serves that.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::drive::{or_told, unless_cut};
use super::life::{Ending, Life};
use super::socket::{ClientSocket, Transport, poll_read_by};
use super::tls::Session;
use super::who::{Arrival, Client};
use super::{http1, http2, tls};
use crate::clock::Clock;
use crate::domain::routing::Spoken;
use crate::proxy::Handshake;
use crate::proxy::worker::Worker;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// So much is read at first: most often it is the first request.
const FIRST: usize = 16 * 1024;
/// What nobody wants is read for so long, so that the answer is not lost to a reset; as nginx does (`lingering_time`).
const LINGER: Duration = Duration::from_secs(30);
/// Nothing came for so long: nothing will (`lingering_timeout`).
const SILENCE: Duration = Duration::from_secs(5);
/// The same where somebody waits for the end of it.
pub(crate) const LINGER_BRIEFLY: Duration = Duration::from_secs(1);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Serves a connection until its end. Not `async` itself, and boxed, here and below: what is handed over would be part of the
/// state for good, and what waits for its client's next request is little else than that.
pub(crate) fn serve(worker: Rc<Worker>, arrival: Arrival, stream: TcpStream) -> impl Future<Output = ()> {
    let life = arrival.life.clone();
    let received = Box::pin(receive(worker.clone(), arrival, stream));
    async move {
        poll_fn(|cx| {
            life.on_ending(cx.waker());
            Poll::Ready(())
        })
        .await;
        let Some((client, socket, protocol)) = received.await else { return };
        match protocol {
            Protocol::Http1 => http1::serve(worker.clone(), client, socket).await,
            Protocol::Http2 => Box::pin(http2::serve(worker.clone(), client, socket)).await,
        }
        if let Some(stream) = life.take_left() {
            Box::pin(linger_unless_told(stream, &life, &worker.clock)).await;
        }
    }
}

/// What comes before the first request: a PROXY header and a handshake, where the listener wants them, and the first
/// bytes. `None`: it came to nothing.
async fn receive(
    worker: Rc<Worker>,
    mut arrival: Arrival,
    mut stream: TcpStream,
) -> Option<(Rc<Client>, ClientSocket, Protocol)> {
    let life = arrival.life.clone();
    if arrival.listener.proxy_protocol {
        let peer = arrival.peer.ip().to_canonical();
        let heard = or_told(&life, Ending::Not, pin!(arrival.heed_header(&worker, &mut stream))).await?;
        heard.map_err(|why| worker.disbelieve(peer, &why)).ok()?;
    }
    let (mut transport, session) = establish(&worker, &arrival, stream).await?;
    let mut ahead = BytesMut::new();
    let protocol = find_out(&worker, &mut transport, &mut ahead, &arrival).await?;
    let socket = ClientSocket::new(transport, ahead, life);
    if arrival.listener.protocol == Spoken::Http2 && protocol == Protocol::Http1 {
        refuse_http1(socket).await;
        return None;
    }
    Some((Rc::new(arrival.client(session)), socket, protocol))
}

/// Shakes hands, if TLS is spoken here. `None`: it came to nothing.
async fn establish(
    worker: &Worker,
    arrival: &Arrival,
    stream: TcpStream,
) -> Option<(Transport, Option<Session>)> {
    let Some(keyring) = &arrival.listener.tls else { return Some((Transport::Plain(stream), None)) };
    match tls::accept(keyring, stream, &arrival.life, &worker.clock).await {
        Ok((encrypted, session)) => {
            worker.handshake(Handshake::Done);
            Some((Transport::Tls(encrypted), Some(session)))
        }
        Err(unshaken) => {
            worker.handshake(unshaken.why);
            unshaken.part(&worker.clock).await;
            None
        }
    }
}

/// Which protocol is spoken: what both sides agreed on, else what the first bytes say. `None`: it never came to that.
async fn find_out(
    worker: &Worker,
    transport: &mut Transport,
    ahead: &mut BytesMut,
    arrival: &Arrival,
) -> Option<Protocol> {
    let life = &arrival.life;
    let spoken = match transport {
        Transport::Plain(_) => {
            or_told(life, Ending::Not, pin!(sniff(worker, transport, ahead, life))).await.flatten()
        }
        Transport::Tls(encrypted) => match tls::agreed(encrypted) {
            Some(agreed) => Some(agreed),
            // Whoever shook hands while we were told to end has a request on its way.
            None => unless_cut(life, pin!(sniff(worker, transport, ahead, life))).await.flatten(),
        },
    };
    // The preface of HTTP/2 is no request of HTTP/1: it is closed without a word.
    if arrival.listener.protocol == Spoken::Http1 { spoken.map(|_| Protocol::Http1) } else { spoken }
}

/// Reads until it is clear which protocol is spoken. `None`: the client left.
async fn sniff(
    worker: &Worker,
    transport: &mut Transport,
    ahead: &mut BytesMut,
    life: &Life,
) -> Option<Protocol> {
    loop {
        let read = poll_fn(|cx| {
            let mut scratch = worker.scratch.borrow_mut();
            poll_read_by(Pin::new(&mut *transport), cx, &mut scratch[..FIRST], ahead)
        });
        if read.await.ok()? == 0 {
            return None;
        }
        life.received();
        if ahead.starts_with(PREFACE) {
            return Some(Protocol::Http2);
        }
        if !PREFACE.starts_with(ahead) {
            return Some(Protocol::Http1);
        }
    }
}

/// Says in the client's own words that they are not understood here.
async fn refuse_http1(mut socket: ClientSocket) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    // Whoever has gone does not hear it. The answer fits into any socket's buffer.
    let _gone = socket.write_all(ANSWER).await;
    let _gone = socket.shutdown().await;
}

/// Lingers, but only briefly once the connection is told to end.
async fn linger_unless_told(stream: TcpStream, life: &Life, clock: &Clock) {
    let mut lingering = pin!(linger(stream, clock, LINGER));
    if or_told(life, Ending::Not, lingering.as_mut()).await.is_none() {
        tokio::select! {
            () = lingering => {}
            () = clock.sleep_until(clock.now() + LINGER_BRIEFLY) => {}
        }
    }
}

/// Closing a socket with unread bytes makes a reset, which can overtake the answer, or what of it the system has not sent yet:
/// reads on until the client has closed, is silent, or `longest` is over.
pub(crate) async fn linger(mut stream: TcpStream, clock: &Clock, longest: Duration) {
    let mut unwanted = [0; 4096];
    let end = clock.now() + longest;
    // The end of the answer is to be seen before what follows is read.
    let _gone = stream.shutdown().await;
    while clock.now() < end {
        let silent = (clock.now() + SILENCE).min(end);
        tokio::select! {
            read = stream.read(&mut unwanted) => if !matches!(read, Ok(1..)) { return },
            () = clock.sleep_until(silent) => return,
        }
    }
}
