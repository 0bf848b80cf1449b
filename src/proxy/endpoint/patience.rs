//! How long an answer is waited for, and whose fault it is when none comes.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::pool::SendError;
use super::waiting::Whereabouts;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::proxy::alarm::Alarm;
use crate::proxy::fault::{AttemptError, ClientFault};
use crate::proxy::request::upload::Upload;

/// How long to wait for an answer, and where.
pub(crate) struct Patience<'a> {
    pub(super) at: Whereabouts<'a>,
    /// From the end of the request.
    pub(crate) response: Duration,
    /// The same, as long as the request could be sent again if this is over.
    pub(crate) per_try: Option<Duration>,
    /// When the whole exchange must be over.
    pub(crate) whole: Option<Timestamp>,
    pub(crate) upload: Option<Rc<Upload>>,
}

impl Patience<'_> {
    pub(super) fn clock(&self) -> &Clock {
        &self.at.worker.clock
    }

    /// When the time of a request is up that is sent `now`.
    pub(super) fn ends(&self, now: Timestamp) -> Timestamp {
        self.bounded(now + self.limit())
    }

    /// What `answer` comes to, unless time is up by this alarm or the endpoint is lost.
    pub(super) async fn wait<F: Future>(&self, alarm: &mut Alarm, answer: F) -> Result<F::Output, SendError> {
        let mut answer = pin!(answer);
        let mut waiter = self.at.waiter();
        let answer = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            while alarm.poll(cx).is_ready() {
                match self.longer() {
                    Some(until) => alarm.set(until),
                    None => return Poll::Ready(Err(SendError::Failed(self.ended()))),
                }
            }
            let leaves = self.at.pool.is_lost() && self.can_repeat() && self.at.has_another();
            waiter.wait_unless(leaves, cx).map(|()| Err(SendError::Lost))
        })
        .await;
        alarm.clear();
        answer
    }

    /// Asked when time is up: until when to wait further. An endpoint has its time from the end of the request, so
    /// while the request is still coming the clock starts anew with each piece that the endpoint takes.
    fn longer(&self) -> Option<Timestamp> {
        let now = self.clock().now();
        let upload = self.upload.as_ref().filter(|_| self.whole.is_none_or(|whole| now < whole))?;
        // What the client owes us has a limit of its own.
        let since = if upload.waits_for_client() { now } else { upload.progress() };
        Some(self.bounded(since + self.limit())).filter(|until| *until > now)
    }

    fn limit(&self) -> Duration {
        self.per_try.filter(|_| self.can_repeat()).map_or(self.response, |limit| limit.min(self.response))
    }

    /// Whether all of the request that was read is still here.
    fn can_repeat(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.can_repeat())
    }

    /// What the client did to its own request, if it did anything.
    pub(super) fn spoiled(&self) -> Option<AttemptError> {
        self.upload.as_ref().and_then(|upload| upload.fault()).map(AttemptError::Client)
    }

    /// What the client has to do with a request that the endpoint gave up on.
    pub(super) fn unfinished(&self) -> Option<AttemptError> {
        self.upload.as_ref().and_then(|upload| upload.why_unfinished()).map(AttemptError::Client)
    }

    /// What it means that the connection ended before the first byte of an answer.
    pub(crate) fn unheard(&self) -> AttemptError {
        self.unfinished().unwrap_or(AttemptError::Terminated)
    }

    /// Time is up. Whose fault it is depends on who let us wait.
    fn ended(&self) -> AttemptError {
        match &self.upload {
            Some(upload) if upload.waits_for_client() => AttemptError::Client(ClientFault::Stalled),
            _ if self.at.pool.is_lost() => AttemptError::Frozen,
            _ => AttemptError::ResponseTimeout,
        }
    }

    fn bounded(&self, at: Timestamp) -> Timestamp {
        self.whole.map_or(at, |whole| at.min(whole))
    }
}
