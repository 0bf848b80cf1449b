//! Clients of the demo: keep-alive connections that together send requests at a steady rate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clock::Clock;

/// Enough that requests which hang do not slow the others down.
const CLIENTS: u32 = 50;

/// What users saw so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Requests that ended, one way or the other.
    pub(super) requests: u64,
    /// Those without a good answer: 5xx, or no whole answer at all.
    pub(super) failures: u64,
}

/// Counts what users see. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Users(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
}

/// One user's connection.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

impl Users {
    /// Starts the clients, in `tasks`.
    pub(super) fn start(&self, to: SocketAddr, rate: u32, clock: &Clock, tasks: &mut JoinSet<()>) {
        let period = Duration::from_secs(1) * CLIENTS / rate;
        for number in 0..CLIENTS {
            let offset = period * number / CLIENTS;
            tasks.spawn(self.clone().client(to, offset, period, clock.clone()));
        }
    }

    /// What users saw so far.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            requests: self.0.requests.load(Ordering::Relaxed),
            failures: self.0.failures.load(Ordering::Relaxed),
        }
    }

    async fn client(self, to: SocketAddr, offset: Duration, period: Duration, clock: Clock) {
        let mut due = clock.now() + offset;
        let mut connection = None;
        loop {
            clock.sleep_until(due).await;
            due = due + period;
            let good = match ask(&mut connection, to).await {
                Ok(good) => good,
                Err(_) => {
                    connection = None;
                    false
                }
            };
            self.0.requests.fetch_add(1, Ordering::Relaxed);
            self.0.failures.fetch_add(u64::from(!good), Ordering::Relaxed);
        }
    }
}

impl Seen {
    /// What was seen since an earlier moment.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { requests: self.requests - earlier.requests, failures: self.failures - earlier.failures }
    }
}

/// One request with its whole answer; says whether it was a good one.
async fn ask(connection: &mut Option<Connection>, to: SocketAddr) -> io::Result<bool> {
    if connection.as_ref().is_none_or(|open| open.sender.is_closed()) {
        *connection = Some(connect(to).await?);
    }
    let Some(open) = connection else { return Ok(false) };
    open.sender.ready().await.map_err(io::Error::other)?;
    let mut request = Request::new(Empty::new());
    request.headers_mut().insert(HOST, http::HeaderValue::from_static("demo.example"));
    let response = open.sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    response.into_body().collect().await.map_err(io::Error::other)?;
    Ok(!status.is_server_error())
}

async fn connect(to: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let mut driver = JoinSet::new();
    // How it ends shows in the requests on it.
    driver.spawn(async move { drop(connection.await) });
    Ok(Connection { sender, _driver: driver })
}
