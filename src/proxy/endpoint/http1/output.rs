//! What is still to be written to an endpoint.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::HeaderName;
use tokio::io::AsyncWrite;

use crate::proxy::endpoint::socket::EndpointSocket;
use crate::proxy::http1::write::{CHUNK_END, chunk_head, last_chunk};

/// Pieces up to this size are put together with what stands before them; larger ones are passed on as they are.
const SMALL: usize = 4 * 1024;
/// No more is put together before it is written.
const ROOM: usize = 16 * 1024;
/// So much is kept for the next request's head.
const KEPT: usize = 2 * 1024;

/// What is still to be written: bytes that were put together, and at most one large piece behind them. Goes out in one call if
/// the socket takes it.
#[derive(Default)]
pub(super) struct Output {
    glued: Vec<u8>,
    /// How much of that was written.
    written: usize,
    piece: Bytes,
    /// What follows the piece.
    tail: &'static [u8],
    /// TLS may hold something back.
    unflushed: bool,
    /// Whether anything was written since the beginning of the request.
    pub(super) began: bool,
}

impl Output {
    /// For a new request, whose head is written to what this gives.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        self.began = false;
        &mut self.glued
    }

    /// Whether another piece may be added.
    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty() && self.tail.is_empty() && self.glued.len() < ROOM
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written == self.glued.len() && self.piece.is_empty() && self.tail.is_empty() && !self.unflushed
    }

    /// Adds a piece of a body that is not chunked.
    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() <= SMALL { self.glued.extend_from_slice(&data) } else { self.piece = data }
    }

    /// Adds a piece as a chunk.
    pub(super) fn push_chunk(&mut self, data: Bytes) {
        chunk_head(&mut self.glued, data.len());
        if data.len() <= SMALL {
            self.glued.extend_from_slice(&data);
            self.glued.extend_from_slice(CHUNK_END);
        } else {
            (self.piece, self.tail) = (data, CHUNK_END);
        }
    }

    /// Adds the end of a chunked body; of `trailers` go those that were announced.
    pub(super) fn push_last_chunk(&mut self, trailers: Option<&HeaderMap>, announced: &[HeaderName]) {
        if self.tail.is_empty() {
            last_chunk(&mut self.glued, trailers, announced);
        } else {
            // Behind a large piece, and so without trailers: those come by themselves.
            self.tail = b"\r\n0\r\n\r\n";
        }
    }

    /// Ready when all of it is written.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut EndpointSocket,
    ) -> Poll<io::Result<()>> {
        let mut io = Pin::new(io);
        while !self.is_written() {
            let glued = &self.glued[self.written..];
            let count = if self.piece.is_empty() && self.tail.is_empty() {
                ready!(io.as_mut().poll_write(cx, glued))?
            } else {
                let parts = [glued, &self.piece, self.tail].map(IoSlice::new);
                let from = if glued.is_empty() { 1 } else { 0 };
                ready!(io.as_mut().poll_write_vectored(cx, &parts[from..]))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            (self.began, self.unflushed) = (true, true);
            self.advance(count);
        }
        if self.unflushed {
            ready!(io.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// No large buffer is kept between two requests.
    pub(super) fn rest(&mut self) {
        if self.glued.capacity() > KEPT {
            self.glued = Vec::new();
        }
    }

    fn is_written(&self) -> bool {
        self.glued.is_empty() && self.piece.is_empty() && self.tail.is_empty()
    }

    fn advance(&mut self, mut count: usize) {
        let glued = count.min(self.glued.len() - self.written);
        self.written += glued;
        count -= glued;
        if self.written == self.glued.len() {
            self.glued.clear();
            self.written = 0;
        }
        let piece = count.min(self.piece.len());
        self.piece.advance(piece);
        if self.piece.is_empty() {
            self.piece = Bytes::new();
        }
        self.tail = &self.tail[(count - piece).min(self.tail.len())..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all of it in pieces of this size, as a socket would.
    fn taken(mut output: Output, size: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while !output.is_written() {
            let rest = [&output.glued[output.written..], &output.piece, output.tail].concat();
            let count = size.min(rest.len());
            taken.extend_from_slice(&rest[..count]);
            output.advance(count);
        }
        taken
    }

    #[test]
    fn what_was_added_comes_out_in_order_however_much_a_socket_takes() {
        let large = vec![b'a'; SMALL + 1];
        for size in [1, 2, 3, 4096, 5000, usize::MAX] {
            let mut output = Output::default();
            output.begin().extend_from_slice(b"head");
            output.push_chunk(Bytes::from_static(b"hello"));
            output.push_chunk(large.clone().into());
            assert!(!output.has_room(), "a large piece is written before the next is taken");
            output.push_last_chunk(None, &[]);
            let expected = [&b"head5\r\nhello\r\n1001\r\n"[..], &large, b"\r\n0\r\n\r\n"].concat();
            assert!(taken(output, size) == expected, "in pieces of {size}");
        }
    }

    #[test]
    fn little_is_kept_between_two_requests() {
        let mut output = Output::default();
        output.begin().resize(KEPT * 10, b'x');
        output.advance(KEPT * 10);
        output.rest();
        assert!(output.is_written() && output.glued.capacity() <= KEPT);
    }
}
