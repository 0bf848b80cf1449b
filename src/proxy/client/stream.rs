//! A stream of an HTTP/2 connection. Its client can hold it up by granting no window, without the connection standing
//! still; the body is not asked for then, so somebody else must notice.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Duration;

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
    /// Whether it is to end now.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Who is to be woken when it is cut; always the same.
    pub(super) fn runs_in(&self, waker: &Waker) {
        self.waker.borrow_mut().get_or_insert_with(|| waker.clone());
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
