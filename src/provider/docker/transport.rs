//! One connection per call to the engine. It lets nothing but questions through (and the one order there is), says when
//! the events are being listened to, and reads no answer without end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard::BollardRequest;
use bollard::errors::Error;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

use super::address::Address;

/// The longest answer that is read; 500 containers are listed in about 1 MB.
const LONGEST: u64 = 64 * 1024 * 1024;

/// How calls reach the engine.
#[derive(Clone)]
pub(super) struct Transport {
    pub(super) address: Address,
    /// The API's version, `1.41`, as agreed; `None`: the engine's own.
    pub(super) api: Option<String>,
    /// Notified when the engine has begun to tell events.
    pub(super) listening: Arc<Notify>,
}

impl Transport {
    /// Asks, on a connection of its own.
    pub(super) async fn ask(self, mut request: BollardRequest) -> Result<Response<Incoming>, Error> {
        if !is_allowed(request.method(), request.uri().path()) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
        }
        let events = request.uri().path().ends_with("/events");
        *request.uri_mut() = self.origin_form(request.uri());
        request.headers_mut().insert(HOST, self.host());
        let io = Bounded { io: self.connect().await?, left: if events { u64::MAX } else { LONGEST } };
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
        // It ends with its one answer: read to its end, or dropped by whoever asked.
        tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        if events && response.status().is_success() {
            self.listening.notify_one();
        }
        Ok(response)
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(authority) => Box::new(TcpStream::connect(authority).await?),
        })
    }

    /// The path with the version that was agreed on; bollard names none, or its own.
    fn origin_form(&self, uri: &Uri) -> Uri {
        let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let bare = whole.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| &rest[slash..]));
        let bare = bare.unwrap_or(whole);
        let path = match &self.api {
            Some(api) => format!("/v{api}{bare}"),
            None => bare.to_owned(),
        };
        path.parse().unwrap_or(Uri::from_static("/"))
    }

    fn host(&self) -> HeaderValue {
        let host = match &self.address {
            Address::Unix(_) => "docker",
            Address::Tcp(authority) => authority,
        };
        HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static("docker"))
    }
}

/// Questions, and the one order.
fn is_allowed(method: &Method, path: &str) -> bool {
    match *method {
        Method::GET => true,
        Method::POST => path.contains("/containers/") && path.ends_with("/restart"),
        _ => false,
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that breaks when it was sent more than it may.
struct Bounded {
    io: Box<dyn Stream>,
    left: u64,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let length = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Err(io::Error::other(format!("the answer is longer than {LONGEST} bytes"))));
        };
        self.left = left;
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_questions_and_restarts_reach_the_engine() {
        let cases = [
            (Method::GET, "/v1.41/containers/json", true),
            (Method::GET, "/events", true),
            (Method::POST, "/v1.41/containers/0a1b/restart", true),
            (Method::POST, "/v1.41/containers/0a1b/stop", false),
            (Method::POST, "/v1.41/containers/create", false),
            (Method::DELETE, "/v1.41/containers/0a1b", false),
            (Method::PUT, "/v1.41/containers/0a1b/archive", false),
        ];
        for (method, path, allowed) in cases {
            assert_eq!(is_allowed(&method, path), allowed, "{method} {path}");
        }
    }
}
