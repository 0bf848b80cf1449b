//! A client's socket: notes what happens on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::life::Life;
use super::tls::Encrypted;

/// A client's socket: tells its [`Life`] what arrives and what gets stuck, gives back first the bytes that were read
/// ahead, and leaves the stream behind when it is dropped.
pub(crate) struct ClientSocket {
    /// `Some` until dropped.
    stream: Option<Transport>,
    /// What was read to find out the protocol.
    ahead: BytesMut,
    life: Rc<Life>,
}

/// How bytes come and go. Plain or encrypted, both are the socket's own: nothing is boxed on the plain way.
pub(crate) enum Transport {
    Plain(TcpStream),
    /// Notes by itself what gets stuck: below, where that is the client's doing.
    Tls(Box<Encrypted>),
}

/// Reads what is there by way of `scratch`, and appends it: whoever waits holds no buffer. 0: the stream has ended.
pub(crate) fn poll_read_by<R: AsyncRead>(
    stream: Pin<&mut R>,
    cx: &mut Context<'_>,
    scratch: &mut [u8],
    into: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(scratch);
    ready!(stream.poll_read(cx, &mut buffer))?;
    into.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

impl ClientSocket {
    pub(crate) fn new(stream: Transport, ahead: BytesMut, life: Rc<Life>) -> Self {
        Self { stream: Some(stream), ahead, life }
    }

    /// The bytes that were read ahead, for whoever has a place for them.
    pub(crate) fn take_ahead(&mut self) -> BytesMut {
        std::mem::take(&mut self.ahead)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Some(Transport::Tls(_)))
    }

    fn transport(&mut self) -> &mut Transport {
        self.stream.as_mut().expect("taken by drop alone")
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = buf.remaining().min(self.ahead.len());
            buf.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(self.transport()).poll_read(cx, buf))?;
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
