//! TLS on a client's connection: the handshake, and what it told of the client.

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderValue;
use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{LINGER_BRIEFLY, Protocol, linger};
use super::drive::unless_cut;
use super::life::Life;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::proxy::Handshake;
use crate::tls::{ClientCertificate, Keyring, Terms};

/// What a handshake agreed on.
pub(crate) struct Session {
    terms: Arc<Terms>,
    /// The host that the client named, in lower case.
    name: Option<Box<str>>,
    /// What it showed of itself, as endpoints are told; `None`: it was not asked.
    pub(crate) shown: Option<Shown>,
}

/// What a client that was asked for a certificate showed.
pub(crate) struct Shown {
    pub(crate) verified: HeaderValue,
    pub(crate) subject: Option<HeaderValue>,
    pub(crate) certificate: Option<HeaderValue>,
}

/// A connection that speaks TLS: encrypted below, plain above.
pub(crate) type Encrypted = TlsStream<Below>;

/// The socket under TLS: notes what gets stuck there. (What arrives counts once it is decrypted.)
pub(crate) struct Below {
    pub(crate) stream: TcpStream,
    life: Rc<Life>,
}

impl Session {
    /// Whether a request for this host (lower case, without port) belongs on another connection.
    pub(crate) fn misdirects(&self, host: &str) -> bool {
        self.terms.misdirects(self.name.as_deref(), host)
    }
}

/// A handshake that came to nothing.
pub(crate) struct Unshaken {
    pub(crate) why: Handshake,
    /// Where an alert was sent.
    alerted: Option<TcpStream>,
}

/// Shakes hands.
pub(crate) async fn accept(
    keyring: &Keyring,
    stream: TcpStream,
    life: &Rc<Life>,
    clock: &Clock,
) -> Result<(Box<Encrypted>, Session), Unshaken> {
    let terms = keyring.terms();
    let below = Below { stream, life: life.clone() };
    life.handshake_began();
    // Boxed: what a handshake needs is large, and most of a connection's life comes after it.
    let shaken = Box::pin(TlsAcceptor::from(terms.config()).accept(below).into_fallible());
    let outcome = unless_cut(life, pin!(shaken)).await;
    life.handshake_ended();
    match outcome {
        None => Err(Unshaken { why: Handshake::TimedOut, alerted: None }),
        Some(Err((error, below))) => {
            let client = below.stream.peer_addr().map_or_else(|_| String::new(), |peer| peer.to_string());
            tracing::debug!(%error, client, "no TLS handshake");
            Err(Unshaken { why: reason(&error), alerted: Some(below.stream) })
        }
        Some(Ok(encrypted)) => match Session::of(terms, &encrypted, clock.now()) {
            Some(session) => Ok((Box::new(encrypted), session)),
            None => Err(Unshaken { why: Handshake::ClientCertificate, alerted: None }),
        },
    }
}

impl Unshaken {
    /// The client is to read the alert before the socket's reset can overtake it.
    pub(crate) async fn part(self, clock: &Clock) {
        let Some(mut stream) = self.alerted else { return };
        if stream.shutdown().await.is_ok() {
            // Boxed: few handshakes fail, and all connections carry this function's state.
            Box::pin(linger(stream, clock, LINGER_BRIEFLY)).await;
        }
    }
}

/// What both sides agreed to speak; `None`: the client did not say.
pub(crate) fn agreed(encrypted: &Encrypted) -> Option<Protocol> {
    match encrypted.get_ref().1.alpn_protocol()? {
        b"h2" => Some(Protocol::Http2),
        _ => Some(Protocol::Http1),
    }
}

impl Session {
    /// `None`: the client resumed a session with a certificate that is over by now.
    fn of(terms: Arc<Terms>, encrypted: &Encrypted, now: Timestamp) -> Option<Self> {
        let (_, connection) = encrypted.get_ref();
        let name = connection.server_name().map(|name| name.to_ascii_lowercase().into());
        let shown = match connection.peer_certificates().and_then(<[_]>::first) {
            Some(certificate) => Some(Shown::new(&ClientCertificate::read(certificate, now)?)),
            None => terms.asks_clients().then(Shown::nothing),
        };
        Some(Self { terms, name, shown })
    }
}

impl Shown {
    fn new(certificate: &ClientCertificate) -> Self {
        Self {
            verified: HeaderValue::from_static("true"),
            subject: HeaderValue::from_str(&certificate.subject).ok(),
            certificate: HeaderValue::from_str(&certificate.whole).ok(),
        }
    }

    fn nothing() -> Self {
        Self { verified: HeaderValue::from_static("false"), subject: None, certificate: None }
    }
}

fn reason(error: &io::Error) -> Handshake {
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Handshake::ClientCertificate,
        Some(_) | None => Handshake::Failed,
    }
}

impl AsyncRead for Below {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Below {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.life.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.life.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
