//! The worker's list of its connections.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::Worker;
use crate::proxy::client::crowd::Present;
use crate::proxy::client::life::Life;

/// A connection in the worker's list; leaves it when dropped.
pub(super) struct Listed {
    worker: Rc<Worker>,
    life: Rc<Life>,
    _present: Option<Present>,
}

impl Listed {
    pub(super) fn new(worker: &Rc<Worker>, life: Rc<Life>, present: Option<Present>) -> Self {
        let mut connections = worker.connections.borrow_mut();
        life.place.set(connections.len());
        connections.push(life.clone());
        worker.common.vitals.connections.fetch_add(1, Ordering::Relaxed);
        Self { worker: worker.clone(), life, _present: present }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.worker.common.vitals.connections.fetch_sub(1, Ordering::Relaxed);
        let mut connections = self.worker.connections.borrow_mut();
        let place = self.life.place.get();
        connections.swap_remove(place);
        if let Some(moved) = connections.get(place) {
            moved.place.set(place);
        }
        if connections.is_empty() {
            self.worker.emptied.notify_one();
        }
    }
}
