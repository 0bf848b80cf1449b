//! An endpoint's socket: notes what happens on it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::proxy::fault::AttemptError;
use crate::tls::outgoing::Fault;

/// An endpoint's socket: notes what happens on it.
pub(crate) struct EndpointSocket {
    stream: Transport,
    line: Rc<Line>,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What happens on a socket.
#[derive(Default)]
pub(crate) struct Line {
    /// How often something came.
    pub(crate) heard: Cell<u64>,
    /// Something was sent since somebody looked.
    pub(crate) spoke: Cell<bool>,
    /// What went wrong with TLS. Whether an endpoint takes our certificate shows only when it should answer.
    pub(crate) tls: Cell<Option<AttemptError>>,
}

impl EndpointSocket {
    pub(super) fn plain(stream: TcpStream, line: Rc<Line>) -> Self {
        Self { stream: Transport::Plain(stream), line }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, line: Rc<Line>) -> Self {
        Self { stream: Transport::Tls(Box::new(stream)), line }
    }
}

impl EndpointSocket {
    /// Whether nothing came, not even the end, as far as is known: the system is asked only if it has said that something did.
    /// What TLS itself has to say (session tickets) is nothing.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        match &mut self.stream {
            Transport::Plain(stream) => {
                stream.try_read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Transport::Tls(stream) => {
                let cx = &mut Context::from_waker(Waker::noop());
                Pin::new(&mut **stream).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl AsyncRead for EndpointSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.line.heard.set(self.line.heard.get().wrapping_add(1));
        }
        if let Poll::Ready(Err(error)) = &read
            && let Some(fault) = Fault::of(error)
        {
            self.line.tls.set(Some(fault.into()));
        }
        read
    }
}

impl AsyncWrite for EndpointSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.line.spoke.set(true);
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.spoke.set(true);
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
