//! The streams of one connection that are being served, each in its place. Only those are polled that were woken.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use http_body::Body;
use tokio::task::coop;

use super::bell::{Bell, PlaceBell};
use super::exchange::{Exchange, Shared};
use crate::proxy::worker::Worker;

/// Places that an idle connection keeps.
const KEPT: usize = 4;

pub(super) struct Streams<F, B> {
    places: Vec<Place<F, B>>,
    free: Vec<usize>,
    /// What is polled now; kept for its capacity.
    woken: Vec<usize>,
    bell: Arc<Bell>,
    shared: Rc<Shared>,
}

struct Place<F, B> {
    exchange: Option<Exchange<F, B>>,
    bell: Arc<PlaceBell>,
    /// The same bell: kept for all streams that have this place one after the other.
    waker: Waker,
}

impl<F, B> Streams<F, B>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(bell: Arc<Bell>, shared: Rc<Shared>) -> Self {
        Self { places: Vec::new(), free: Vec::new(), woken: Vec::new(), bell, shared }
    }

    /// Has another request answered, from the next poll on.
    pub(super) fn push(&mut self, answer: Pin<Box<F>>, respond: SendResponse<Bytes>) {
        let exchange = Exchange::new(answer, respond, &self.shared);
        let place = self.free.pop().unwrap_or_else(|| self.add_place());
        self.places[place].exchange = Some(exchange);
        self.places[place].waker.wake_by_ref();
    }

    /// Polls the streams that were woken, each once. A panic in one of them ends that one.
    pub(super) fn poll(&mut self, worker: &Worker) {
        let mut woken = std::mem::take(&mut self.woken);
        self.bell.take_places(&mut woken);
        for (done, place) in woken.iter().enumerate() {
            if !coop::has_budget_remaining() {
                // Others on this worker want to run as well.
                self.bell.put_back(&woken[done..]);
                break;
            }
            self.poll_place(*place, worker);
        }
        woken.clear();
        self.woken = woken;
    }

    fn poll_place(&mut self, number: usize, worker: &Worker) {
        // A place that is gone may still be rung for.
        let Some(place) = self.places.get_mut(number) else { return };
        place.bell.heard();
        let Some(exchange) = &mut place.exchange else { return };
        let cx = &mut Context::from_waker(&place.waker);
        let ended = worker.guarded(|| exchange.poll(cx)).is_none_or(|polled| polled.is_ready());
        if ended {
            self.shared.life.within(None);
            place.exchange = None;
            self.free.push(number);
            self.tidy();
        }
    }

    fn add_place(&mut self) -> usize {
        let number = self.places.len();
        let bell = PlaceBell::new(&self.bell, number);
        self.places.push(Place { exchange: None, waker: bell.clone().into(), bell });
        number
    }

    /// A connection without requests keeps little.
    fn tidy(&mut self) {
        if self.free.len() == self.places.len() && self.places.len() > KEPT {
            self.places.truncate(KEPT);
            self.places.shrink_to_fit();
            self.free = (0..KEPT).collect();
        }
    }
}
