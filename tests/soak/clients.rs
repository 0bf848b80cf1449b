//! Clients that keep to the rules: each of their requests must be answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::tally::Tally;
use crate::world::{BIG, Front};

/// One client, which makes one connection after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: &'static str,
    pub(crate) service: &'static str,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
    /// Requests on a connection, so many of them at once.
    pub(crate) rounds: u32,
    pub(crate) at_once: u32,
    /// Between two rounds.
    pub(crate) pause: Duration,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<Response<Incoming>, hyper::Error>;

#[derive(Clone)]
enum Sender {
    Http1(Arc<tokio::sync::Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Plan {
    /// Goes on until the load stops.
    pub(crate) async fn run(self, front: Arc<Front>, tally: Arc<Tally>) {
        while !tally.is_stopped() {
            if let Err(error) = Box::pin(self.connection(&front, &tally)).await {
                tally.complain(format!("{} to {}: {error:?}", self.kind, self.service));
            }
        }
    }

    async fn connection(self, front: &Front, tally: &Arc<Tally>) -> Result<(), Failure> {
        let to = if self.tls { front.tls } else { front.plain };
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let mut running = JoinSet::new();
        let sender = if self.tls {
            let terms = front.terms(if self.http2 { b"h2" } else { b"http/1.1" });
            let name = ServerName::try_from(format!("{}.example", self.service))?;
            Box::pin(self.speak(TlsConnector::from(terms).connect(name, stream).await?, &mut running)).await?
        } else {
            self.speak(stream, &mut running).await?
        };
        // A rhythm, so that the load does not grow with how fast it is answered.
        let mut rhythm = tokio::time::interval(self.pause);
        for _ in 0..self.rounds {
            if tally.is_stopped() {
                break;
            }
            rhythm.tick().await;
            self.round(&sender, tally).await?;
        }
        drop(sender);
        // Clients that keep to the rules say goodbye and see the end.
        running.join_next().await.ok_or("no connection")??;
        Ok(())
    }

    async fn speak<S>(self, stream: S, running: &mut JoinSet<()>) -> Result<Sender, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        // How a connection ends after the last answer is of no interest; an early end fails requests.
        if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            running.spawn(async move { drop(connection.await) });
            Ok(Sender::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            running.spawn(async move { drop(connection.await) });
            Ok(Sender::Http1(Arc::new(tokio::sync::Mutex::new(sender))))
        }
    }

    async fn round(self, sender: &Sender, tally: &Arc<Tally>) -> Result<(), Failure> {
        let mut asking = JoinSet::new();
        for _ in 0..self.at_once {
            asking.spawn(self.exchange(sender.clone(), tally.clone()));
        }
        while let Some(asked) = asking.join_next().await {
            asked??;
        }
        Ok(())
    }

    async fn exchange(self, sender: Sender, tally: Arc<Tally>) -> Result<(), Failure> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = format!("/clean/{}/{number}", self.kind);
        let response = sender.send(self.request(&path, number)?).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        tally.add(self.kind, self.service, status, 1);
        if status != 200 || !self.is_whole(&body, &path) {
            tally.complain(format!(
                "{status} to {} of {path}: {}",
                self.service,
                String::from_utf8_lossy(&body)
            ));
        }
        Ok(())
    }

    fn request(self, path: &str, number: u64) -> Result<Request<Full<Bytes>>, http::Error> {
        let host = format!("{}.example", self.service);
        let scheme = if self.tls { "https" } else { "http" };
        // Only where nothing is killed: a POST may not be sent twice.
        let posts = self.service == "still" && number.is_multiple_of(3);
        let (method, body) =
            if posts { (Method::POST, Bytes::from(vec![b'p'; 3000])) } else { (Method::GET, Bytes::new()) };
        let request = Request::builder().method(method);
        let request = if self.http2 {
            request.uri(format!("{scheme}://{host}{path}"))
        } else {
            request.uri(path).header("host", host)
        };
        request.body(Full::new(body))
    }

    fn is_whole(self, body: &[u8], path: &str) -> bool {
        if self.service == "big" {
            return u64::try_from(body.len()) == Ok(BIG);
        }
        body.ends_with(format!(" answers {path}\n").as_bytes())
    }
}

impl Sender {
    async fn send(self, request: Request<Full<Bytes>>) -> Answer {
        match self {
            Self::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(mut sender) => sender.send_request(request).await,
        }
    }
}
