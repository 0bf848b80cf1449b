//! A real small HTTP service, of which the demo runs several versions.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock::Clock;

/// Where its health is asked for.
pub(super) const HEALTH: &str = "/healthz";
/// Longer than the proxy waits.
const HANG: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptors left): time for others to close some.
const BREATH: Duration = Duration::from_millis(50);

/// How a version behaves, health checks apart (bad versions pass those, as in life).
#[derive(Clone, Copy, Debug)]
pub(super) struct Character {
    /// Share of requests answered 500: 0 to 1.
    pub(super) errors: f64,
    /// Share of requests answered far too late: 0 to 1.
    pub(super) hangs: f64,
}

/// One process of the service, in spirit: a version at an address.
#[derive(Clone, Copy, Debug)]
struct Process {
    version: &'static str,
    character: Character,
}

impl Character {
    /// Answers well.
    pub(super) const GOOD: Self = Self { errors: 0.0, hangs: 0.0 };
}

/// Starts one endpoint of a version on a free port, in `tasks`.
pub(super) async fn start(
    version: &'static str,
    character: Character,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tasks.spawn(serve(listener, Process { version, character }, clock.clone()));
    Ok(address)
}

async fn serve(listener: TcpListener, process: Process, clock: Clock) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let clock = clock.clone();
                    let service = service_fn(move |request| process.answer(request, clock.clone()));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    // A connection that breaks is the client's to notice.
                    connections.spawn(async move { drop(connection.await) });
                }
                Err(_) => clock.sleep_until(clock.now() + BREATH).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

impl Process {
    async fn answer(
        self,
        request: Request<Incoming>,
        clock: Clock,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut status = StatusCode::OK;
        if request.uri().path() != HEALTH {
            let fate = fastrand::f64();
            let work = Duration::from_micros(fastrand::u64(500..3000));
            clock.sleep_until(clock.now() + work).await;
            if fate < self.character.errors {
                status = StatusCode::INTERNAL_SERVER_ERROR;
            } else if fate < self.character.errors + self.character.hangs {
                clock.sleep_until(clock.now() + HANG).await;
            }
        }
        let body = format!("{} says {status}\n", self.version);
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
        Ok(response)
    }
}
