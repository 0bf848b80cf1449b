//! A worker's open tunnels: who has to end, and when. No timer per tunnel: the worker looks at all of them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::Tunnel;
use crate::domain::Timestamp;
use crate::proxy::view::View;

/// Tunnels that end together end no faster than one in this time, unless there are too many for the time there is: a few
/// are not made to wait.
const APART: Duration = Duration::from_millis(10);

/// The open tunnels of a worker.
#[derive(Default)]
pub(crate) struct OpenTunnels {
    open: RefCell<Vec<Weak<Tunnel>>>,
    /// The view that all of them were last held against.
    judged: RefCell<Weak<View>>,
    /// Whether any has been given a moment to end.
    leaving: Cell<bool>,
}

impl OpenTunnels {
    /// One more. `leaves`: when it ends again, if that is known.
    pub(super) fn add(&self, tunnel: &Rc<Tunnel>, leaves: Option<Timestamp>) {
        if let Some(moment) = leaves {
            tunnel.leaves_at(moment);
            self.leaving.set(true);
        }
        self.open.borrow_mut().push(Rc::downgrade(tunnel));
    }

    /// Looks at all of them if routing has changed, if any is about to end, or if it is `time_for_all`.
    pub(crate) fn look(&self, view: &Rc<View>, now: Timestamp, time_for_all: bool) {
        let changed = !std::ptr::eq(self.judged.borrow().as_ptr(), Rc::as_ptr(view));
        if changed || time_for_all {
            *self.judged.borrow_mut() = Rc::downgrade(view);
            self.end_those_with_cause(view, now);
        }
        if changed || time_for_all || self.leaving.get() {
            self.look_at_each(now);
        }
    }

    /// All of them are to end within this time.
    pub(crate) fn end_all(&self, now: Timestamp, within: Duration) {
        let all: Vec<_> = self.staying().collect();
        self.spread(&all, now, within);
        self.look_at_each(now);
    }

    fn end_those_with_cause(&self, view: &View, now: Timestamp) {
        let mut causes: Vec<(Duration, Vec<Rc<Tunnel>>)> = Vec::new();
        for tunnel in self.staying() {
            let Some(within) = tunnel.cause_to_end(view) else { continue };
            match causes.iter_mut().find(|(known, _)| *known == within) {
                Some((_, tunnels)) => tunnels.push(tunnel),
                None => causes.push((within, vec![tunnel])),
            }
        }
        for (within, tunnels) in causes {
            self.spread(&tunnels, now, within);
        }
    }

    /// Gives each a moment of its own, at random: whoever comes back comes back spread as well.
    fn spread(&self, tunnels: &[Rc<Tunnel>], now: Timestamp, within: Duration) {
        let enough = APART.saturating_mul(u32::try_from(tunnels.len()).unwrap_or(u32::MAX));
        for tunnel in tunnels {
            tunnel.leaves_at(now + within.min(enough).mul_f64(fastrand::f64()));
            self.leaving.set(true);
        }
    }

    /// Those that have not been given a moment to end.
    fn staying(&self) -> impl Iterator<Item = Rc<Tunnel>> {
        let open: Vec<_> = self.open.borrow().iter().filter_map(Weak::upgrade).collect();
        open.into_iter().filter(|tunnel| !tunnel.is_leaving())
    }

    fn look_at_each(&self, now: Timestamp) {
        let mut leaving = false;
        self.open.borrow_mut().retain(|tunnel| {
            let tunnel = tunnel.upgrade();
            tunnel
                .inspect(|tunnel| {
                    tunnel.look(now);
                    leaving |= tunnel.is_leaving();
                })
                .is_some()
        });
        self.leaving.set(leaving);
    }
}
