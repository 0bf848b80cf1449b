//! What is on its way to a client: heads and small pieces put together, large pieces as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName};
use tokio::io::AsyncWrite;

use crate::proxy::client::socket::ClientSocket;
use crate::proxy::http1::write::{CHUNK_END, chunk_head, last_chunk};

/// What a head and a small body take.
const USUAL: usize = 1024;
/// Pieces of so much are not copied.
const LARGE: usize = 4 * 1024;
/// With so much nothing more is taken in before some of it is sent.
const FULL: usize = 32 * 1024;
/// Large pieces at once, each with what stands before it; and what follows the last.
const PIECES: usize = 16;

/// What is on its way to a client.
#[derive(Default)]
pub(super) struct Outbox {
    /// What was put together, of which so much was sent.
    flat: Vec<u8>,
    sent: usize,
    /// Large pieces, and before which byte of `flat` each stands.
    large: VecDeque<(usize, Bytes)>,
    /// Bytes of all large ones.
    held: usize,
}

impl Outbox {
    /// Where a head is appended.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        self.flat.reserve(USUAL);
        &mut self.flat
    }

    /// Whether more may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.large.len() < PIECES && self.left() < FULL
    }

    pub(super) fn put(&mut self, data: Bytes) {
        if data.len() < LARGE {
            self.flat.extend_from_slice(&data);
        } else {
            self.held += data.len();
            self.large.push_back((self.flat.len(), data));
        }
    }

    pub(super) fn put_chunk(&mut self, data: Bytes) {
        chunk_head(&mut self.flat, data.len());
        self.put(data);
        self.flat.extend_from_slice(CHUNK_END);
    }

    pub(super) fn put_last_chunk(&mut self, trailers: Option<&HeaderMap>, announced: &[HeaderName]) {
        last_chunk(&mut self.flat, trailers, announced);
    }

    /// Sends all of it. Ready when it is empty.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut ClientSocket,
    ) -> Poll<io::Result<()>> {
        while self.left() > 0 {
            let sent = ready!(self.poll_write(cx, Pin::new(socket)))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(sent);
        }
        self.clear();
        Pin::new(socket).poll_flush(cx)
    }

    fn poll_write(&self, cx: &mut Context<'_>, socket: Pin<&mut ClientSocket>) -> Poll<io::Result<usize>> {
        if self.large.is_empty() {
            return socket.poll_write(cx, &self.flat[self.sent..]);
        }
        let mut slices = [IoSlice::new(&[]); 2 * PIECES + 1];
        let mut places = slices.iter_mut();
        let mut from = self.sent;
        for (to, piece) in &self.large {
            let runs = [&self.flat[from..*to], piece];
            for (run, place) in runs.into_iter().filter(|run| !run.is_empty()).zip(&mut places) {
                *place = IoSlice::new(run);
            }
            from = *to;
        }
        if let Some(place) = places.next() {
            *place = IoSlice::new(&self.flat[from..]);
        }
        let unused = places.len();
        let used = slices.len() - unused;
        socket.poll_write_vectored(cx, &slices[..used])
    }

    fn left(&self) -> usize {
        self.flat.len() - self.sent + self.held
    }

    /// So many bytes were sent.
    fn advance(&mut self, mut sent: usize) {
        while sent > 0 {
            let Some((before, piece)) = self.large.front_mut() else {
                self.sent += sent;
                return;
            };
            let run = sent.min(*before - self.sent);
            let taken = (sent - run).min(piece.len());
            self.sent += run;
            piece.advance(taken);
            self.held -= taken;
            sent -= run + taken;
            if piece.is_empty() {
                self.large.pop_front();
            }
        }
    }

    fn clear(&mut self) {
        self.sent = 0;
        if self.flat.capacity() > LARGE {
            self.flat = Vec::new();
        }
        self.flat.clear();
    }
}
