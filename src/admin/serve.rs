//! The admin API's connections: accepted, bounded, ended.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use super::bind::{Bound, Listener, SocketFile};
use super::events::STREAMS;
use super::guard::Guard;
use super::routes::{Api, TIME_LIMIT, router};
use crate::control::{Handle, Journal};
use crate::telemetry::Metrics;

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 256;
/// What is read ahead of a connection; a request's headers must fit.
const BUFFER: usize = 64 * 1024;
/// After an accept that failed (no file descriptors left): accepting again at once would spin.
const BREATH: Duration = Duration::from_millis(100);
/// How long requests under way may take to end once the API stops.
const LINGER: Duration = Duration::from_secs(1);
/// How long written bytes may stay unacknowledged: a reader that stalls must not keep its place.
const UNREAD: Duration = Duration::from_secs(30);

/// Serves the admin API until `stop` completes; then takes no more connections, gives requests under way a second
/// to end, and returns. Must run on a tokio runtime with I/O and time.
pub async fn serve(
    bound: Bound,
    handle: Handle,
    journal: Journal,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) {
    let address = bound.address().clone();
    let guard = Guard::new(&address, bound.token);
    let mut listener = match Acceptor::new(bound.listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "the admin API can't be served");
            return;
        }
    };
    let (closing, closes) = watch::channel(false);
    let streams = Arc::new(Semaphore::new(STREAMS));
    let router = router(Arc::new(Api { handle, metrics, guard, journal, streams, closing: closes }));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok(stream) => { connections.spawn(stream.talk(router.clone(), closing.subscribe())); }
                Err(error) => {
                    tracing::warn!(%address, %error, "the admin API could not take a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
    listener.close();
    closing.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LINGER, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests to the admin API were cut off");
    }
}

/// A listener that the runtime knows.
enum Acceptor {
    Tcp(TcpListener),
    Unix(SocketFile, UnixListener),
}

/// A connection of either kind.
enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Acceptor {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Listener::Unix(file, listener) => {
                UnixListener::from_std(listener).map(|listener| Self::Unix(file, listener))
            }
        }
    }

    /// Cancel-safe.
    async fn accept(&mut self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                #[cfg(target_os = "linux")]
                socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD))?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(_file, listener) => {
                listener.accept().await.map(|(stream, _from)| Stream::Unix(stream))
            }
        }
    }

    /// The name goes first: a successor that finds it would take us for alive, and one that finds none can start.
    fn close(self) {
        match self {
            Self::Tcp(listener) => drop(listener),
            Self::Unix(file, listener) => {
                drop(file);
                drop(listener);
            }
        }
    }
}

impl Stream {
    async fn talk(self, router: Router, closing: watch::Receiver<bool>) {
        match self {
            Self::Tcp(stream) => converse(stream, router, closing).await,
            Self::Unix(stream) => converse(stream, router, closing).await,
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(TIME_LIMIT) // also ends connections that idle
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let closed = async { drop(closing.wait_for(|closing| *closing).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin API broke");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection to the admin API panicked");
    }
}
