//! One direction of a tunnel: what is read at one side goes to the other, at that one's pace.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, Upto};

/// One direction. It reads only when nothing is left to be written: at most one read's bytes are held, and none while it
/// is idle.
pub(super) struct Way {
    left: Bytes,
    /// `None`: of what is passed on nothing is known.
    frames: Option<Frames>,
    /// What is read is thrown away: the last word has been said.
    said: bool,
    ended: bool,
    shut: bool,
    unflushed: bool,
}

/// Which side broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The one that is read.
    Source,
    /// The one that is written to.
    Sink,
}

/// Whether a direction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    GoesOn,
    /// What is left to be said is said as soon as a frame ends, and then nothing more.
    Ends {
        /// Whether the side that is written to has said goodbye too, or nothing more comes from it.
        other_ended: bool,
    },
}

impl Way {
    /// `early`: what was read already.
    pub(super) fn new(early: Bytes, frames: Option<Frames>) -> Self {
        let mut frames = frames;
        if let Some(frames) = &mut frames {
            frames.follow(&early, Upto::End);
        }
        Self { left: early, frames, said: false, ended: false, shut: false, unflushed: false }
    }

    /// Whether nothing can come this way any more.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.shut
    }

    /// Nothing is read or written any more.
    pub(super) fn give_up(&mut self) {
        (self.ended, self.shut, self.left) = (true, true, Bytes::new());
    }

    /// Nothing more is read; what was read is still passed on.
    pub(super) fn source_is_gone(&mut self) {
        self.ended = true;
    }

    /// Whether its source has ended, or has said goodbye in a frame that is whole.
    pub(super) fn has_heard_the_last(&self) -> bool {
        let goodbye = |frames: &Frames| frames.is_closing() && frames.at_boundary();
        self.ended || self.frames.as_ref().is_some_and(goodbye)
    }

    /// Moves what can be moved. Ready when nothing can come any more. `goodbye` makes a frame of our own; `moved` is told
    /// how much was passed on.
    pub(super) fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        (source, sink): (&mut R, &mut W),
        scratch: &mut [u8],
        (course, goodbye): (Course, &dyn Fn() -> Vec<u8>),
        moved: &mut dyn FnMut(usize),
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.write(cx, sink, moved).map_err(|_| Broken::Sink)?.is_pending() {
                return self.flush(cx, sink);
            }
            if let Course::Ends { .. } = course {
                self.say_the_last(goodbye);
            }
            if !self.left.is_empty() {
                continue;
            }
            if self.may_shut(course) {
                if Pin::new(&mut *sink).poll_shutdown(cx).map_err(|_| Broken::Sink)?.is_pending() {
                    return Poll::Pending;
                }
                self.shut = true;
            }
            if self.ended {
                return if self.shut { Poll::Ready(Ok(())) } else { self.flush(cx, sink) };
            }
            match self.read(cx, source, scratch, course) {
                Poll::Pending => return self.flush(cx, sink),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                Poll::Ready(Ok([])) => {}
                Poll::Ready(Ok(bytes)) => {
                    // Most of the time all of it is taken at once, and nothing is kept.
                    let taken = match Pin::new(&mut *sink).poll_write(cx, bytes) {
                        Poll::Ready(Ok(taken)) if taken > 0 => taken,
                        Poll::Ready(_) => return Poll::Ready(Err(Broken::Sink)),
                        Poll::Pending => 0,
                    };
                    self.left = Bytes::copy_from_slice(&bytes[taken..]);
                    self.unflushed = true;
                    moved(taken);
                }
            }
        }
    }

    /// Writes what is left.
    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
        moved: &mut dyn FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let taken = ready!(Pin::new(&mut *sink).poll_write(cx, &self.left))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.advance(taken);
            self.unflushed = true;
            moved(taken);
        }
        self.left = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Before waiting: what was written must not wait with us.
    fn flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<Result<(), Broken>> {
        if self.unflushed && Pin::new(sink).poll_flush(cx).map_err(|_| Broken::Sink)?.is_ready() {
            self.unflushed = false;
        }
        Poll::Pending
    }

    /// Says goodbye if that can be done now and has not been done.
    fn say_the_last(&mut self, goodbye: impl Fn() -> Vec<u8>) {
        if self.said || self.ended {
            return;
        }
        match &self.frames {
            None => self.said = true,
            Some(frames) if frames.at_boundary() => {
                self.said = true;
                if !frames.is_closing() {
                    self.left = goodbye().into();
                }
            }
            Some(_) => {}
        }
    }

    /// The end of one side is passed on to the other. After a goodbye, only when the other one has said its own: whoever
    /// sees the end of the stream first may take it for an accident.
    fn may_shut(&self, course: Course) -> bool {
        let answered = match course {
            Course::GoesOn => false,
            Course::Ends { other_ended } => other_ended || self.frames.is_none(),
        };
        !self.shut && (self.ended || (self.said && answered))
    }

    /// Reads what is to be passed on; nothing when all of it was thrown away, or at the end.
    fn read<'a, R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        scratch: &'a mut [u8],
        course: Course,
    ) -> Poll<io::Result<&'a [u8]>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(source).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        let bytes = &scratch[..count];
        self.ended = bytes.is_empty();
        let upto = match course {
            Course::Ends { .. } if !self.said => Upto::Boundary,
            Course::Ends { .. } | Course::GoesOn => Upto::End,
        };
        let followed = self.frames.as_mut().map_or(count, |frames| frames.follow(bytes, upto));
        Poll::Ready(Ok(if self.said { &[] } else { &bytes[..followed] }))
    }
}
