//! One client's connection: which protocol it speaks, and serving it until it ends or is told to.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::life::{Ending, Life};
use super::socket::{Ahead, ClientSocket};
use super::stream::Stream;
use crate::clock::Clock;
use crate::proxy::Listener;
use crate::proxy::handler::handle;
use crate::proxy::observe::unread;
use crate::proxy::worker::Worker;

const PREFACE: &[u8; Ahead::MOST] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is buffered per connection and direction; more if a head may be longer.
const BUFFER: usize = 32 * 1024;
/// What hyper counts up to without putting fields on the heap.
const FIELDS: usize = 100;
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
    #[expect(dead_code, reason = "what a listener says of its clients comes with the next changes")]
    pub(crate) listener: Rc<Listener>,
    pub(crate) ip: IpAddr,
    /// Its address as a field value.
    pub(crate) name: HeaderValue,
    /// The port it connected to.
    pub(crate) port: HeaderValue,
    /// How it speaks to us.
    pub(crate) scheme: Scheme,
    pub(crate) life: Rc<Life>,
}

enum Protocol {
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
        Self { listener, ip, name, port: HeaderValue::from(local.port()), scheme: Scheme::HTTP, life }
    }
}

/// Serves a connection until its end.
pub(crate) async fn serve(worker: Rc<Worker>, client: Rc<Client>, mut stream: TcpStream) {
    let (life, clock) = (client.life.clone(), worker.clock.clone());
    poll_fn(|cx| {
        life.on_ending(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut ahead = Ahead::default();
    let protocol = {
        let sniffed = pin!(sniff(&mut stream, &mut ahead, &life));
        or_told(&life, Ending::Not, sniffed).await.flatten()
    };
    let Some(protocol) = protocol else { return };
    let socket = ClientSocket::new(stream, ahead, life.clone());
    // Boxed, here and below: what waits for its client's next request is little else than this function's state.
    match protocol {
        Protocol::Http1 => serve_http1(worker, client, socket).await,
        Protocol::Http2 => Box::pin(serve_http2(worker, client, socket)).await,
    }
    if let Some(stream) = life.take_left() {
        Box::pin(linger(stream, &clock)).await;
    }
}

/// Reads until it is clear which protocol is spoken. `None`: the client left.
async fn sniff(stream: &mut TcpStream, ahead: &mut Ahead, life: &Life) -> Option<Protocol> {
    loop {
        if ahead.read(stream).await.ok()? == 0 {
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

/// Serves requests as they come. Between two of them, after a while, nothing is kept but the socket: hyper and its buffers
/// come back with the next one.
async fn serve_http1(worker: Rc<Worker>, client: Rc<Client>, mut socket: ClientSocket) {
    let life = client.life.clone();
    while let Some(dozing) = Box::pin(serve_awake(worker.clone(), client.clone(), socket)).await {
        socket = dozing;
        let woken = pin!(socket.has_more());
        if or_told(&life, Ending::Not, woken).await != Some(true) {
            return;
        }
    }
}

/// Serves requests until the connection ends, or has been idle for a while: then its socket.
async fn serve_awake(worker: Rc<Worker>, client: Rc<Client>, socket: ClientSocket) -> Option<ClientSocket> {
    let life = client.life.clone();
    let counts = (worker.clone(), client.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = handle(worker.clone(), client.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let head = usize::try_from(life.limits().header_bytes).unwrap_or(BUFFER);
    let mut builder = http1::Builder::new();
    // hyper's own limit on the time of heads also ends idle connections; `Life` tells the two apart.
    builder.max_buf_size(head.max(BUFFER)).max_header_size(head).header_read_timeout(None);
    builder.keep_alive(life.ending() == Ending::Not);
    if life.limits().header_fields != FIELDS {
        builder.max_headers(life.limits().header_fields);
    }
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    match drive(&life, &mut connection, http1::Connection::graceful_shutdown).await {
        Some(Ok(())) => None,
        Some(Err(error)) => {
            // Answered by hyper: there was no request yet that we could have answered.
            if let Some(status) = status_of(&error).filter(|_| life.is_between_requests()) {
                unread(&counts.0, &counts.1, status);
            }
            None
        }
        None if life.ending() == Ending::Now => None,
        None => {
            let parts = connection.into_parts();
            let mut socket = parts.io.into_inner();
            if !parts.read_buf.is_empty() {
                // The beginning of a head, which came while the request before it was being answered.
                life.received();
                socket.put_back(parts.read_buf);
            }
            Some(socket)
        }
    }
}

/// What hyper answers to a head that it can't read.
fn status_of(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    (error.is_parse() && !error.is_parse_version_h2()).then_some(StatusCode::BAD_REQUEST)
}

async fn serve_http2(worker: Rc<Worker>, client: Rc<Client>, socket: ClientSocket) {
    let life = client.life.clone();
    life.speaks_http2();
    let streams = Streams { worker: worker.clone(), life: life.clone() };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = handle(worker.clone(), client.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let limits = life.limits();
    let mut connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.http2_stream_window)
        .initial_connection_window_size(limits.http2_connection_window)
        .max_concurrent_streams(limits.http2_streams)
        .max_send_buf_size(STREAM_BUFFER)
        .max_header_list_size(limits.header_bytes)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(socket), service);
    // An error ends the connection; what it cost is in the records of the exchanges it broke.
    let _ended = drive(&life, &mut connection, http2::Connection::graceful_shutdown).await;
}

/// Polls a connection until it ends, and passes on what its [`Life`] is told. `None`: it dozes, or was told to end now.
async fn drive<C>(
    life: &Life,
    connection: &mut C,
    bid_farewell: impl Fn(Pin<&mut C>),
) -> Option<hyper::Result<()>>
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    // Whoever came while the worker was draining was told to close after its first request.
    let mut told = life.ending();
    while life.ending() != Ending::Now {
        let ended = or_told(life, told, Pin::new(&mut *connection)).await;
        if ended.is_some() {
            return ended;
        }
        if life.ending() == told {
            // What came at the last moment is served first.
            if life.is_idle() {
                return None;
            }
            continue;
        }
        told = life.ending();
        if told == Ending::Gently {
            bid_farewell(Pin::new(&mut *connection));
        }
    }
    None
}

/// Polls `future` until it ends, until the connection is told something else than `told`, or until it may doze. Then `None`;
/// what had arrived by that time has still been seen by `future`.
async fn or_told<F: Future>(life: &Life, told: Ending, mut future: Pin<&mut F>) -> Option<F::Output> {
    let ended = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if life.ending() == told && !life.may_doze() => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    });
    match ended.await {
        Some(output) => Some(output),
        None => poll_again(future).await,
    }
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
async fn linger(mut stream: TcpStream, clock: &Clock) {
    let mut unwanted = [0; 4096];
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
