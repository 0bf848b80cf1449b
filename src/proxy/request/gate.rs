//! How many requests of a service are answered at once. Others wait in the order they came, so many and each for so long;
//! whoever leaves gives up its place. A service without such a limit has no gate, and pays nothing.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

use super::respond::Refusal;
use crate::domain::ServiceName;
use crate::domain::routing::{Service, ServiceLimits};
use crate::proxy::observe::Exchange;
use crate::proxy::view::ServiceView;

/// The gates of all services, for all workers.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<ServiceName, Weak<Gate>>>);

/// One service's gate. It outlives the snapshots that speak of it.
#[derive(Debug)]
pub(crate) struct Gate {
    free: Semaphore,
    /// How many passes there are, given out or not.
    passes: Mutex<u32>,
    /// Passes given out that are to be no more once they come back.
    excess: AtomicU32,
    queued: AtomicU32,
}

/// Lets one request be answered. Comes back when dropped.
pub(crate) struct Pass(Arc<Gate>);

/// A place in the queue.
struct Place<'a>(&'a AtomicU32);

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    AtOnce,
    /// After a while, in which things may have changed.
    Later,
}

/// Returns once the request may be answered, with a pass that its exchange keeps to its end.
pub(crate) async fn enter(exchange: &mut Exchange, service: &ServiceView) -> Result<Entered, Refusal> {
    let Some(gate) = &service.gate else {
        exchange.pass = None;
        return Ok(Entered::AtOnce);
    };
    if exchange.pass.as_ref().is_some_and(|pass| Arc::ptr_eq(&pass.0, gate)) {
        return Ok(Entered::AtOnce);
    }
    exchange.pass = None;
    if let Some(pass) = gate.pass() {
        exchange.pass = Some(pass);
        return Ok(Entered::AtOnce);
    }
    Box::pin(queue(exchange, gate, &service.policy.limits)).await
}

async fn queue(
    exchange: &mut Exchange,
    gate: &Arc<Gate>,
    limits: &ServiceLimits,
) -> Result<Entered, Refusal> {
    let _place = gate.place(limits.queue).ok_or(Refusal::Busy)?;
    let clock = exchange.worker.clock.clone();
    let began = clock.now();
    let pass = tokio::select! {
        biased;
        pass = gate.next_pass() => pass,
        () = clock.sleep_until(began + limits.queue_wait) => None,
    };
    exchange.waited(clock.now() - began);
    exchange.pass = Some(pass.ok_or(Refusal::Busy)?);
    Ok(Entered::Later)
}

impl Gates {
    /// The gate of a service as it is now; `None`: everybody may come in.
    pub(crate) fn of(&self, service: &Service) -> Option<Arc<Gate>> {
        let wanted = service.policy.limits.max_in_flight?;
        // Nothing is left half done by a panic.
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&service.name).and_then(Weak::upgrade) {
            gate.resize(wanted);
            return Some(gate);
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Gate::new(wanted));
        gates.insert(service.name.clone(), Arc::downgrade(&gate));
        Some(gate)
    }
}

impl Gate {
    fn new(passes: u32) -> Self {
        Self {
            free: Semaphore::new(count(passes)),
            passes: Mutex::new(passes),
            excess: AtomicU32::new(0),
            queued: AtomicU32::new(0),
        }
    }

    /// A pass, if one is free and nobody waits for it.
    fn pass(self: &Arc<Self>) -> Option<Pass> {
        self.free.try_acquire().ok()?.forget();
        Some(Pass(self.clone()))
    }

    /// The pass that is this one's turn: tokio's semaphore is first come, first served, and forgets who leaves.
    async fn next_pass(self: &Arc<Self>) -> Option<Pass> {
        self.free.acquire().await.ok()?.forget();
        Some(Pass(self.clone()))
    }

    fn place(&self, most: u32) -> Option<Place<'_>> {
        let more = |queued: u32| (queued < most).then(|| queued + 1);
        let placed = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        placed.then(|| Place(&self.queued))
    }

    fn resize(&self, wanted: u32) {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = mem::replace(&mut *passes, wanted);
        if wanted < now {
            let unused = self.free.forget_permits(count(now - wanted));
            self.excess.fetch_add(now - wanted - u32::try_from(unused).unwrap_or(0), Ordering::Relaxed);
        } else {
            for _ in now..wanted {
                self.give_back();
            }
        }
    }

    fn give_back(&self) {
        let less = |excess: u32| excess.checked_sub(1);
        if self.excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            self.free.add_permits(1);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn count(passes: u32) -> usize {
    usize::try_from(passes).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_shrinks_takes_back_what_comes_back() {
        let gate = Arc::new(Gate::new(3));
        let mut passes: Vec<_> = (0..3).map(|_| gate.pass().unwrap()).collect();
        gate.resize(1);
        passes.truncate(1);
        assert!(gate.pass().is_none(), "one pass is out, and there is only one");
        passes.clear();
        let _only = gate.pass().unwrap();
        assert!(gate.pass().is_none());
        gate.resize(2);
        let _second = gate.pass().unwrap();
        assert!(gate.pass().is_none());
    }

    #[test]
    fn a_gate_that_grows_again_while_passes_are_out_has_as_many_as_it_says() {
        let gate = Arc::new(Gate::new(2));
        let passes: Vec<_> = (0..2).map(|_| gate.pass().unwrap()).collect();
        gate.resize(1);
        gate.resize(3);
        let third = gate.pass().unwrap();
        assert!(gate.pass().is_none());
        drop((passes, third));
        assert_eq!(gate.free.available_permits(), 3);
    }

    #[test]
    fn the_queue_is_bounded() {
        let gate = Gate::new(1);
        let place = gate.place(1).unwrap();
        assert!(gate.place(1).is_none());
        drop(place);
        assert!(gate.place(1).is_some() && gate.place(0).is_none());
    }
}
