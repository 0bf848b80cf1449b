//! Requests to a service that is held wait here: so many, and each for so long.

use std::pin::pin;
use std::sync::Arc;

use super::respond::Refusal;
use crate::domain::routing::Hold;
use crate::proxy::observe::Exchange;
use crate::proxy::worker::Worker;

/// A place among those who wait. Free again when dropped, for whatever reason the waiting ended.
struct Place<'a>(&'a Hold);

impl<'a> Place<'a> {
    fn take(hold: &'a Hold) -> Option<Self> {
        hold.enter().then(|| Self(hold))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Returns once this hold holds nobody any more.
pub(crate) async fn wait(exchange: &mut Exchange, hold: &Arc<Hold>) -> Result<(), Refusal> {
    let _place = Place::take(hold).ok_or(Refusal::Held)?;
    let worker = exchange.worker.clone();
    let began = worker.clock.now();
    let outcome = tokio::select! {
        biased;
        outcome = released(&worker, hold) => outcome,
        () = worker.clock.sleep_until(began + hold.terms.max_wait) => Err(Refusal::Held),
    };
    exchange.waited(worker.clock.now() - began);
    outcome
}

async fn released(worker: &Worker, hold: &Arc<Hold>) -> Result<(), Refusal> {
    loop {
        // Before looking: what happens in between is not missed.
        let (mut news, mut end) = (pin!(worker.published.notified()), pin!(worker.draining_began()));
        news.as_mut().enable();
        end.as_mut().enable();
        if worker.is_draining() {
            return Err(Refusal::Held);
        }
        if !worker.view().holds(hold) {
            return Ok(());
        }
        tokio::select! {
            () = news => {}
            () = end => {}
        }
    }
}
