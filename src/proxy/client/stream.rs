//! A stream of an HTTP/2 connection. Its client can hold it up by granting no window, without the connection standing
//! still; the body is not asked for then, so somebody else must notice.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::life::Life;
use crate::domain::Timestamp;

/// What a stream's task, its response and the worker tell each other.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    given: Cell<u64>,
    owing: Cell<bool>,
    seen: Cell<(u64, Timestamp)>,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Stream {
    /// Runs a stream's task until it ends or is cut: dropping it resets the stream and leaves the connection alone.
    pub(crate) async fn run(life: Rc<Life>, task: impl Future<Output = ()>) {
        let stream = Rc::new(Self::default());
        life.adopt(&stream);
        let mut task = pin!(task);
        poll_fn(|cx| {
            if stream.cut.get() {
                return Poll::Ready(());
            }
            stream.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            life.within(Some(stream.clone()));
            let polled = task.as_mut().poll(cx);
            life.within(None);
            polled
        })
        .await;
    }

    /// A piece of the response was handed over and more is to come: the next step is the client's.
    pub(crate) fn gave(&self) {
        self.given.set(self.given.get() + 1);
        self.owing.set(true);
    }

    /// The client takes what there is: the next step is the endpoint's.
    pub(crate) fn waits_for_more(&self) {
        self.owing.set(false);
    }

    /// Cuts the stream when its client has not made its step for too long.
    pub(crate) fn look(&self, now: Timestamp, patience: Duration) {
        let (given, since) = self.seen.get();
        if !self.owing.get() || given != self.given.get() {
            self.seen.set((self.given.get(), now));
        } else if now - since >= patience {
            self.cut.set(true);
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }
}
