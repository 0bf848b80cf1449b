//! A client's socket: notes what happens on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::life::Life;
use super::tls::Encrypted;

/// A client's socket: tells its [`Life`] what arrives and what gets stuck, gives back first the bytes that were read
/// ahead, and leaves the stream behind when it is dropped.
pub(crate) struct ClientSocket {
    /// `Some` until dropped.
    stream: Option<Transport>,
    ahead: Ahead,
    /// What had been read beyond that.
    beyond: Bytes,
    life: Rc<Life>,
}

/// How bytes come and go. Plain or encrypted, both are the socket's own: nothing is boxed on the plain way.
pub(crate) enum Transport {
    Plain(TcpStream),
    /// Notes by itself what gets stuck: below, where that is the client's doing.
    Tls(Box<Encrypted>),
}

/// Bytes that were read to find out the protocol.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ahead {
    bytes: [u8; Ahead::MOST],
    from: usize,
    to: usize,
}

impl Ahead {
    /// As long as the preface of HTTP/2.
    pub(crate) const MOST: usize = 24;

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// Reads more of them; 0 at the end of the stream.
    pub(crate) async fn read(&mut self, transport: &mut Transport) -> io::Result<usize> {
        let into = &mut self.bytes[self.to..];
        let read = match transport {
            Transport::Plain(stream) => stream.read(into).await?,
            Transport::Tls(stream) => stream.read(into).await?,
        };
        self.to += read;
        Ok(read)
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let count = buf.remaining().min(self.to - self.from);
        buf.put_slice(&self.bytes[self.from..self.from + count]);
        self.from += count;
    }
}

impl ClientSocket {
    pub(crate) fn new(stream: Transport, ahead: Ahead, life: Rc<Life>) -> Self {
        Self { stream: Some(stream), ahead, beyond: Bytes::new(), life }
    }

    /// Gives back bytes that somebody had read too many.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.beyond = bytes;
    }

    /// Waits until there is something to read; `false`: the stream has ended.
    pub(crate) async fn has_more(&mut self) -> bool {
        if !self.ahead.bytes().is_empty() || !self.beyond.is_empty() {
            return true;
        }
        self.ahead = Ahead::default();
        let Some(stream) = &mut self.stream else { return false };
        let read = self.ahead.read(stream).await;
        let came = read.is_ok_and(|read| read > 0);
        if came {
            self.life.received();
        }
        came
    }

    fn transport(&mut self) -> &mut Transport {
        self.stream.as_mut().expect("taken by drop alone")
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.bytes().is_empty() {
            self.ahead.give(buf);
            return Poll::Ready(Ok(()));
        }
        if !self.beyond.is_empty() {
            let count = buf.remaining().min(self.beyond.len());
            buf.put_slice(&self.beyond[..count]);
            self.beyond.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        if buf.filled().len() > before {
            self.life.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => return Pin::new(stream).poll_write(cx, buf),
        };
        self.life.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => return Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.life.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            // Says goodbye first (RFC 8446 section 6.1): a client can tell an end from a cut.
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        match self.stream.take() {
            Some(Transport::Plain(stream)) => self.life.leave(stream),
            Some(Transport::Tls(stream)) => self.life.leave(stream.into_inner().0.stream),
            None => {}
        }
    }
}
