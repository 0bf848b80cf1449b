//! A request's body on its way to an endpoint: streamed, watched for a client that stalls, and kept (a little of it)
//! in case it must be sent once more.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::headers::without_managed_trailers;
use super::size::of_trailers;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::proxy::alarm::Alarm;
use crate::proxy::client::body::ClientBody;
use crate::proxy::fault::{AttemptError, ClientFault};

/// A client that owes the next piece for so long is late.
const LATE: Duration = Duration::from_secs(1);
/// How much of a body is kept in case that its connection dies.
pub(crate) const KEPT: usize = 64 * 1024;

/// The body of a request as an endpoint gets it.
pub(crate) enum RequestBody {
    Empty,
    /// From the beginning, wherever the upload has got to: `at` bytes of what is kept have been given.
    Upload {
        upload: Rc<Upload>,
        at: usize,
    },
}

/// A client's upload, shared by the request that carries it and those who watch it.
pub(crate) struct Upload {
    clock: Clock,
    bounds: Bounds,
    flow: RefCell<Flow>,
    bytes: Cell<u64>,
    progress: Cell<Timestamp>,
    /// When its answer went on.
    answer: Cell<Option<Timestamp>>,
    waiting: Cell<bool>,
    /// Something of it was given away.
    touched: Cell<bool>,
    ended: Cell<bool>,
    fault: Cell<Option<ClientFault>>,
}

struct Flow {
    incoming: ClientBody,
    alarm: Alarm,
    keep: Keep,
    haste: Haste,
}

/// What a client may take with a request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// So much is kept in case it must be sent once more; 0: nothing is.
    pub(crate) kept: usize,
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// Bytes a second, while it is waited for.
    pub(crate) rate: Option<u64>,
    /// The largest.
    pub(crate) size: Option<u64>,
    pub(crate) trailers: usize,
}

/// How fast a body has come since the last time that somebody looked.
#[derive(Clone, Copy, Debug, Default)]
struct Haste {
    /// Since when the client is being waited for.
    since: Option<Timestamp>,
    /// How long it was waited for before.
    waited: Duration,
    came: u64,
}

/// What is kept of the body so far.
enum Keep {
    /// All of it.
    All(Vec<u8>),
    /// It was too much, or is not wanted.
    Nothing,
}

/// Whether a request may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Possible,
    Never,
}

impl Upload {
    pub(crate) fn new(incoming: ClientBody, bounds: Bounds, clock: &Clock) -> Rc<Self> {
        let keep = if bounds.kept > 0 { Keep::All(Vec::new()) } else { Keep::Nothing };
        Rc::new(Self {
            clock: clock.clone(),
            bounds,
            flow: RefCell::new(Flow {
                incoming,
                alarm: Alarm::new(clock.clone()),
                keep,
                haste: Haste::default(),
            }),
            bytes: Cell::new(0),
            progress: Cell::new(clock.now()),
            answer: Cell::new(None),
            waiting: Cell::new(false),
            touched: Cell::new(false),
            ended: Cell::new(false),
            fault: Cell::new(None),
        })
    }

    /// The body from its beginning. A second time only if [`Self::can_repeat`].
    pub(crate) fn body(self: &Rc<Self>) -> RequestBody {
        RequestBody::Upload { upload: self.clone(), at: 0 }
    }

    /// Whether everything read so far is still here.
    pub(crate) fn can_repeat(&self) -> bool {
        !self.touched.get() || matches!(self.flow.borrow().keep, Keep::All(_))
    }

    pub(crate) fn fault(&self) -> Option<ClientFault> {
        self.fault.get()
    }

    /// Bytes received.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether the client has sent all of it.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether the next step is the client's: it has been asked for more and nothing came.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waiting.get()
    }

    /// What the client has to do with a connection that ended now: it broke the rules, or it owed us the next piece.
    pub(crate) fn why_unfinished(&self) -> Option<ClientFault> {
        let owes = self.waits_for_client() && !self.has_ended();
        self.fault().or_else(|| owes.then(|| self.how_late()))
    }

    fn how_late(&self) -> ClientFault {
        if self.clock.now() - self.progress() >= LATE { ClientFault::Stalled } else { ClientFault::Outwaited }
    }

    /// When the last piece was passed on.
    pub(crate) fn progress(&self) -> Timestamp {
        self.progress.get()
    }

    /// Both sides talk at once: while one does, the other may be silent.
    pub(crate) fn answer_went_on(&self) {
        self.answer.set(Some(self.clock.now()));
    }

    fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        let mut flow = self.flow.borrow_mut();
        let flow = &mut *flow;
        let polled = Pin::new(&mut flow.incoming).poll_frame(cx);
        self.waiting.set(polled.is_pending());
        match polled {
            Poll::Pending => {
                if !flow.alarm.is_set() {
                    let now = self.clock.now();
                    let idle = now + self.bounds.idle;
                    let slow = self.bounds.rate.map_or(idle, |rate| flow.haste.waits(now, rate));
                    flow.alarm.set(idle.min(slow));
                }
                while flow.alarm.poll(cx).is_ready() {
                    let sign = self.answer.get().map(|at| at + self.bounds.idle);
                    match sign.filter(|until| *until > self.clock.now()) {
                        Some(until) => flow.alarm.set(until),
                        None => return Poll::Ready(Some(Err(self.blame(ClientFault::Stalled)))),
                    }
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let frame = without_managed_trailers(frame);
                Poll::Ready(Some(self.pass(flow, &frame).map(|()| frame).map_err(|fault| self.blame(fault))))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(self.blame(ClientFault::BrokenBody)))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn pass(&self, flow: &mut Flow, frame: &Frame<Bytes>) -> Result<(), ClientFault> {
        flow.alarm.clear();
        self.touched.set(true);
        let now = self.clock.now();
        self.progress.set(now);
        self.check(flow, frame, now)?;
        match (frame.data_ref(), &mut flow.keep) {
            (Some(data), Keep::All(kept)) if kept.len() + data.len() <= self.bounds.kept => {
                kept.extend_from_slice(data)
            }
            // Trailers are not kept: a body with them is sent once.
            _ => flow.keep = Keep::Nothing,
        }
        if flow.incoming.is_end_stream() {
            self.end();
        }
        Ok(())
    }

    /// Counts a piece, and refuses what is too large or came too slowly.
    fn check(&self, flow: &mut Flow, frame: &Frame<Bytes>, now: Timestamp) -> Result<(), ClientFault> {
        if frame.trailers_ref().is_some_and(|trailers| of_trailers(trailers) > self.bounds.trailers) {
            return Err(ClientFault::TrailersTooLarge);
        }
        let Some(data) = frame.data_ref() else { return Ok(()) };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.bytes.set(self.bytes.get() + length);
        if self.bounds.size.is_some_and(|most| self.bytes.get() > most) {
            return Err(ClientFault::BodyTooLarge);
        }
        match self.bounds.rate {
            Some(rate) if flow.haste.is_too_slow(length, now, rate) => Err(ClientFault::Stalled),
            Some(_) | None => Ok(()),
        }
    }

    fn end(&self) {
        if !self.ended.replace(true) {
            self.progress.set(self.clock.now());
        }
    }

    fn blame(&self, fault: ClientFault) -> AttemptError {
        self.fault.set(Some(fault));
        AttemptError::Client(fault)
    }

    /// How many bytes are kept beyond the first `at`.
    fn kept_beyond(&self, at: usize) -> usize {
        match &self.flow.borrow().keep {
            Keep::All(kept) => kept.len().saturating_sub(at),
            Keep::Nothing => 0,
        }
    }

    /// What is kept beyond the first `at` bytes.
    fn kept_from(&self, at: usize) -> Option<Bytes> {
        match &self.flow.borrow().keep {
            Keep::All(kept) => kept.get(at..).filter(|rest| !rest.is_empty()).map(Bytes::copy_from_slice),
            Keep::Nothing => None,
        }
    }
}

impl Haste {
    /// So much waiting is looked at as one: what is slow for a moment is not slow.
    const WINDOW: Duration = Duration::from_secs(10);

    /// The client is waited for. The time until which something must have come: what came quickly earns a pause.
    fn waits(&mut self, now: Timestamp, rate: u64) -> Timestamp {
        let since = *self.since.get_or_insert(now);
        let earned = Duration::from_secs(self.came / rate.max(1));
        since + Self::WINDOW.max(earned).saturating_sub(self.waited)
    }

    /// A piece came. Only time that the client let us wait counts: an endpoint that takes slowly is not its doing.
    fn is_too_slow(&mut self, bytes: u64, now: Timestamp, rate: u64) -> bool {
        self.waited += self.since.take().map_or(Duration::ZERO, |since| now - since);
        self.came = self.came.saturating_add(bytes);
        if self.waited < Self::WINDOW {
            return false;
        }
        let wanted = rate.saturating_mul(self.waited.as_secs());
        let came = std::mem::take(self).came;
        came < wanted
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = AttemptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AttemptError>>> {
        let Self::Upload { upload, at } = &mut *self else { return Poll::Ready(None) };
        if let Some(kept) = upload.kept_from(*at) {
            *at += kept.len();
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        let polled = upload.poll_incoming(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            *at += frame.data_ref().map_or(0, Bytes::len);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload { upload, at } => {
                upload.flow.borrow().incoming.is_end_stream() && upload.kept_beyond(*at) == 0
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Self::Upload { upload, at } = self else { return SizeHint::with_exact(0) };
        let kept = u64::try_from(upload.kept_beyond(*at)).unwrap_or(u64::MAX);
        let incoming = upload.flow.borrow().incoming.size_hint();
        match incoming.exact() {
            Some(rest) => SizeHint::with_exact(rest.saturating_add(kept)),
            None => SizeHint::default(),
        }
    }
}
