//! What a version may still do for one request: attempts left, endpoints not asked yet, and its budget.

use std::time::Duration;

use super::forward::Destination;
use crate::domain::routing::{EndpointId, Retry};
use crate::proxy::observe::Exchange;

/// Endpoints that a request is offered to, however many of them are not there.
const MOST_OFFERED: usize = 10;

/// The attempts that a version has had with a request.
#[derive(Default)]
pub(crate) struct Tries {
    made: u32,
    /// The endpoints that had one, so many of these places.
    asked: usize,
    places: [EndpointId; MOST_OFFERED],
    /// How long one has for the head of its answer while another may follow.
    pub(crate) per_try: Option<Duration>,
}

impl Tries {
    pub(crate) fn may_go_on(&self, rule: &Retry) -> bool {
        self.made < rule.attempts && self.asked < MOST_OFFERED
    }

    pub(super) fn begin(&mut self, endpoint: EndpointId) {
        self.made += 1;
        if let Some(place) = self.places.get_mut(self.asked) {
            *place = endpoint;
            self.asked += 1;
        }
    }

    /// The endpoints that had an attempt; not asked again while there are others.
    pub(super) fn endpoints(&self) -> &[EndpointId] {
        &self.places[..self.asked]
    }

    /// The attempt under way was none: nobody was there. So it finds the endpoint that is left of many that vanish together.
    pub(super) fn was_none(&mut self) {
        self.made = self.made.saturating_sub(1);
    }

    /// How long the attempt under way has. The last one has all the time there is.
    pub(super) fn limit(&self, rule: &Retry) -> Option<Duration> {
        self.per_try.filter(|_| self.may_go_on(rule))
    }
}

impl Destination {
    /// Whether another attempt could be made now: at an endpoint that had none if there is one, else at any again.
    pub(crate) fn is_there(&self, exchange: &Exchange, tries: &mut Tries) -> bool {
        if self.pick(&exchange.worker, tries.endpoints()).is_none() {
            tries.asked = 0;
        }
        self.pick(&exchange.worker, tries.endpoints()).is_some()
    }

    /// Whether the budget has something left for sending again what was sent.
    pub(crate) fn may_spend(&self, exchange: &Exchange) -> bool {
        let rule = &self.service.policy.retry;
        self.service.retries(self.version).has(exchange.worker.clock.now(), rule.budget)
    }

    /// The same, and takes it.
    pub(crate) fn spend(&self, exchange: &Exchange) -> bool {
        let rule = &self.service.policy.retry;
        self.service.retries(self.version).take(exchange.worker.clock.now(), rule.budget)
    }
}
