//! Whoever waits for an endpoint hears when it is lost. Nobody else would tell: a frozen container's kernel keeps its
//! connections, and packets to one that was removed come to nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::forward::Destination;
use super::pool::Pool;
use crate::domain::routing::EndpointId;
use crate::proxy::worker::Worker;

/// Those who wait for an endpoint.
#[derive(Default)]
pub(super) struct Waiters(RefCell<Places>);

#[derive(Default)]
struct Places {
    all: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// One of them, from its first turn of waiting on.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    place: Option<usize>,
}

/// Where a request is, and where else it could be.
pub(super) struct Whereabouts<'a> {
    pub(super) worker: Rc<Worker>,
    pub(super) to: &'a Destination,
    pub(super) pool: &'a Pool,
    pub(super) tried: &'a [EndpointId],
    /// How often it may still be sent elsewhere because its endpoint was lost.
    pub(super) moves: u8,
}

impl Waiters {
    /// Those who wait look whether they should.
    pub(super) fn wake(&self) {
        for waker in self.0.borrow().all.iter().flatten() {
            waker.wake_by_ref();
        }
    }
}

impl Waiter<'_> {
    /// Ready if it `leaves`; else it is woken when the endpoint is lost.
    pub(super) fn wait_unless(&mut self, leaves: bool, cx: &Context<'_>) -> Poll<()> {
        if leaves {
            return Poll::Ready(());
        }
        self.wait(cx);
        Poll::Pending
    }

    fn wait(&mut self, cx: &Context<'_>) {
        let mut places = self.waiters.0.borrow_mut();
        let place = *self.place.get_or_insert_with(|| {
            places.free.pop().unwrap_or_else(|| {
                places.all.push(None);
                places.all.len() - 1
            })
        });
        match &mut places.all[place] {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut places = self.waiters.0.borrow_mut();
            places.all[place] = None;
            places.free.push(place);
        }
    }
}

impl Whereabouts<'_> {
    pub(super) fn waiter(&self) -> Waiter<'_> {
        Waiter { waiters: &self.pool.waiters, place: None }
    }

    /// What `work` comes to; `None` as soon as the endpoint is lost.
    pub(super) async fn unless_lost<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut waiter = self.waiter();
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => waiter.wait_unless(self.pool.is_lost(), cx).map(|()| None),
        })
        .await
    }

    /// Whether there is somebody else who may answer what was sent: another endpoint, if it is safe to repeat; or another
    /// version, if that helps out.
    pub(super) fn has_another(&self) -> bool {
        self.to.is_aided || self.moves > 0 && self.to.pick(&self.worker, self.tried).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_to_the_next_one() {
        let waiters = Waiters::default();
        let cx = &Context::from_waker(Waker::noop());
        for _ in 0..100 {
            let mut both = [(); 2].map(|()| Waiter { waiters: &waiters, place: None });
            both.iter_mut().for_each(|waiter| waiter.wait(cx));
            both[0].wait(cx);
            waiters.wake();
        }
        assert_eq!(waiters.0.borrow().all.len(), 2);
        assert!(waiters.0.borrow().all.iter().all(Option::is_none));
    }
}
