//! The worker's list of its connections.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::Worker;
use crate::proxy::client::crowd::Present;
use crate::proxy::client::life::Life;

/// A connection in the worker's list; leaves it when dropped.
pub(super) struct Listed {
    worker: Rc<Worker>,
    number: u64,
    _present: Option<Present>,
}

impl Listed {
    pub(super) fn new(worker: &Rc<Worker>, life: Rc<Life>, present: Option<Present>) -> Self {
        let number = worker.next.replace(worker.next.get() + 1);
        worker.connections.borrow_mut().insert(number, life);
        worker.common.vitals.connections.fetch_add(1, Ordering::Relaxed);
        Self { worker: worker.clone(), number, _present: present }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.worker.common.vitals.connections.fetch_sub(1, Ordering::Relaxed);
        let mut connections = self.worker.connections.borrow_mut();
        connections.remove(&self.number);
        if connections.is_empty() {
            self.worker.emptied.notify_one();
        }
    }
}
