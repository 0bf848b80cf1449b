//! One client's connection: which protocol it speaks, and serving it until it ends or is told to.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::life::{Ending, Life};
use super::relayed::{NoHeader, read_header};
use super::socket::{Ahead, ClientSocket, Transport};
use super::stream::Stream;
use super::tls::{self, Session};
use crate::clock::Clock;
use crate::domain::proxy_protocol::ProxyHeader;
use crate::domain::routing::Spoken;
use crate::proxy::handler::handle;
use crate::proxy::tunnel::Opening;
use crate::proxy::worker::Worker;
use crate::proxy::{Handshake, Listener};

const PREFACE: &[u8; Ahead::MOST] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest request head, and what is buffered per connection and direction.
const BUFFER: usize = 32 * 1024;
const HEADER_LIST: u32 = 32 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const STREAMS: u32 = 100;
const LOCAL_RESETS: usize = 256;
/// What is buffered of a response that its client does not take.
const STREAM_BUFFER: usize = 64 * 1024;
const PING: Duration = Duration::from_secs(20);
/// How much of a body that nobody wants is read, and for how long, so that the answer is not lost to a reset.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);

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
    /// `None`: in the clear.
    pub(crate) tls: Option<Box<Session>>,
    pub(crate) life: Rc<Life>,
    /// What the connection becomes once its last answer is out.
    pub(crate) opening: RefCell<Option<Opening>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Runs the streams of a connection on its own worker.
#[derive(Clone)]
struct Streams {
    worker: Rc<Worker>,
    life: Rc<Life>,
}

impl Client {
    pub(crate) fn new(listener: Rc<Listener>, peer: SocketAddr, local: SocketAddr, life: Rc<Life>) -> Self {
        let ip = peer.ip().to_canonical();
        let name = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        let (reached, port, scheme) = (local, HeaderValue::from(local.port()), Scheme::HTTP);
        Self { listener, peer, reached, ip, name, port, scheme, tls: None, life, opening: RefCell::default() }
    }

    fn speaks_tls(&mut self, session: Session) {
        self.scheme = Scheme::HTTPS;
        self.tls = Some(Box::new(session));
    }

    /// The client that this connection is from: who connected, or whom that relays.
    async fn said_by(self, worker: &Worker, stream: &mut TcpStream) -> Result<Self, NoHeader> {
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
}

/// Serves a connection until its end.
pub(crate) async fn serve(worker: Rc<Worker>, client: Client, mut stream: TcpStream) {
    let (life, clock) = (client.life.clone(), worker.clock.clone());
    poll_fn(|cx| {
        life.on_ending(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut client = {
        let peer = client.ip;
        let said = pin!(client.said_by(&worker, &mut stream));
        match or_told(&life, Ending::Not, said).await {
            Some(Ok(client)) => client,
            Some(Err(why)) => return worker.turn_away(peer, &why),
            None => return,
        }
    };
    let Some(mut transport) = establish(&worker, &mut client, stream).await else { return };
    let mut ahead = Ahead::default();
    let Some(protocol) = find_out(&mut transport, &mut ahead, &client).await else { return };
    let socket = ClientSocket::new(transport, ahead, life.clone());
    if client.listener.protocol == Spoken::Http2 && protocol == Protocol::Http1 {
        return refuse_http1(socket).await;
    }
    let (client, socket) = (Rc::new(client), TokioIo::new(socket));
    match protocol {
        Protocol::Http1 => serve_http1(worker, client, socket).await,
        Protocol::Http2 => serve_http2(worker, client, socket).await,
    }
    if let Some(stream) = life.take_left() {
        linger(stream, &clock).await;
    }
}

/// What comes before the first request. `None`: it came to nothing.
async fn establish(worker: &Worker, client: &mut Client, stream: TcpStream) -> Option<Transport> {
    let Some(keyring) = &client.listener.tls else { return Some(Transport::Plain(stream)) };
    match tls::accept(keyring, stream, &client.life, &worker.clock).await {
        Ok((encrypted, session)) => {
            worker.handshake(Handshake::Done);
            client.speaks_tls(session);
            Some(Transport::Tls(encrypted))
        }
        Err(unshaken) => {
            worker.handshake(unshaken.why);
            unshaken.part(&worker.clock).await;
            None
        }
    }
}

/// Which protocol is spoken: what both sides agreed on, else what the first bytes say. `None`: it never came to that.
async fn find_out(transport: &mut Transport, ahead: &mut Ahead, client: &Client) -> Option<Protocol> {
    let life = &client.life;
    let spoken = match transport {
        Transport::Plain(_) => {
            or_told(life, Ending::Not, pin!(sniff(transport, ahead, life))).await.flatten()
        }
        Transport::Tls(encrypted) => match tls::agreed(encrypted) {
            Some(agreed) => Some(agreed),
            // Whoever shook hands while we were told to end has a request on its way.
            None => unless_cut(life, pin!(sniff(transport, ahead, life))).await.flatten(),
        },
    };
    // The preface of HTTP/2 is no request of HTTP/1: hyper closes.
    if client.listener.protocol == Spoken::Http1 { spoken.map(|_| Protocol::Http1) } else { spoken }
}

/// Reads until it is clear which protocol is spoken. `None`: the client left.
async fn sniff(transport: &mut Transport, ahead: &mut Ahead, life: &Life) -> Option<Protocol> {
    loop {
        if ahead.read(transport).await.ok()? == 0 {
            return None;
        }
        life.received();
        if ahead.bytes() == PREFACE {
            return Some(Protocol::Http2);
        }
        if !PREFACE.starts_with(ahead.bytes()) {
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

async fn serve_http1(worker: Rc<Worker>, client: Rc<Client>, socket: TokioIo<ClientSocket>) {
    let (life, caller) = (client.life.clone(), client.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = handle(worker.clone(), caller.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // hyper's own limit on heads also ends idle connections; `Life` tells the two apart.
    let mut connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        .header_read_timeout(None)
        .keep_alive(life.ending() == Ending::Not)
        .serve_connection(socket, service);
    let well = drive(&life, &mut connection, |connection| {
        Pin::new(&mut **connection.get_mut()).graceful_shutdown();
    });
    let well = well.await;
    // Taken out in any case: whatever it was, it goes no further than this.
    let opening = client.opening.take();
    if let Some(opening) = opening.filter(|_| well) {
        let left = connection.into_parts();
        opening.run(left.io.into_inner(), left.read_buf, &life).await;
    }
}

async fn serve_http2(worker: Rc<Worker>, client: Rc<Client>, socket: TokioIo<ClientSocket>) {
    let life = client.life.clone();
    life.speaks_http2();
    let streams = Streams { worker: worker.clone(), life: life.clone() };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = handle(worker.clone(), client.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(STREAM_BUFFER)
        .max_header_list_size(HEADER_LIST)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(socket, service);
    drive(&life, connection, http2::Connection::graceful_shutdown).await;
}

/// Polls a connection until it ends, and passes on what its [`Life`] is told. Whether it ended well, and by itself.
async fn drive<C, E>(life: &Life, connection: C, bid_farewell: impl Fn(Pin<&mut C>)) -> bool
where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = pin!(connection);
    // Whoever came while the worker was draining was told to close after its first request.
    let mut told = life.ending();
    loop {
        // An error ends the connection; what it cost is in the record of the exchange it broke.
        if let Some(ended) = or_told(life, told, connection.as_mut()).await {
            return ended.is_ok();
        }
        told = life.ending();
        if told == Ending::Now {
            return false;
        }
        bid_farewell(connection.as_mut());
    }
}

/// Polls `future` until it ends, or until the connection is told something else than `told`. Then `None`; what had
/// arrived by that time has still been seen by `future`.
async fn or_told<F: Future>(life: &Life, told: Ending, mut future: Pin<&mut F>) -> Option<F::Output> {
    let ended = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if life.ending() == told => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    });
    match ended.await {
        Some(output) => Some(output),
        None => poll_again(future).await,
    }
}

/// Polls `future` until it ends, or until the connection is cut: then `None`. Being told to end gently is no reason to
/// break off.
pub(crate) async fn unless_cut<F: Future>(life: &Life, mut future: Pin<&mut F>) -> Option<F::Output> {
    while life.ending() != Ending::Now {
        if let Some(output) = or_told(life, life.ending(), future.as_mut()).await {
            return Some(output);
        }
    }
    None
}

/// Polls `future` once, after the runtime has asked the system what has arrived.
pub(crate) async fn poll_again<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    tokio::task::yield_now().await;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Closing a socket with unread bytes makes a reset, which can overtake the answer: read a little more first.
pub(crate) async fn linger(mut stream: TcpStream, clock: &Clock) {
    let mut unwanted = [0; 4096];
    // hyper leaves this to whom it takes for the heir of an upgrade.
    let _gone = stream.shutdown().await;
    let reading = async {
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut unwanted).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = clock.sleep_until(clock.now() + LINGER) => {}
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.worker.spawn(Stream::run(self.life.clone(), stream));
    }
}
