//! From a 101 to a tunnel: what is counted, who can find it, and what its task and the worker tell each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderValue, Response};
use http_body_util::Empty;

use crate::domain::Timestamp;
use crate::domain::routing::Role;
use crate::domain::stats::ErrorReason;
use crate::proxy::answer::Download;
use crate::proxy::endpoint::pool::{Connection, Pool};
use crate::proxy::observe::Exchange;
use crate::proxy::view::{Place, ServiceView, View};

/// From the goodbye until it is cut: for the rest of a frame, and for the other sides' goodbyes.
const GRACE: Duration = Duration::from_secs(3);
/// Clients of an aborted canary are back on stable soon.
const SOON: Duration = Duration::from_secs(2);
/// An endpoint that leaves has this long at the least, and nobody is in a hurry for a version that did well.
const UNHURRIED: Duration = Duration::from_secs(5);

/// A tunnel as the worker knows it.
pub(crate) struct Tunnel {
    pool: Rc<Pool>,
    service: Rc<ServiceView>,
    version: usize,
    /// What its version was; `None`: it was chosen by hand.
    role: Option<Role>,
    worker: usize,
    idle: Duration,
    up: Cell<u64>,
    down: Cell<u64>,
    /// How much had been passed on when it was looked at, and since when it is so.
    seen: Cell<(u64, Timestamp)>,
    /// When it will be told to end, or was.
    farewell: Cell<Option<Timestamp>>,
    told: Cell<Told>,
    waker: RefCell<Option<Waker>>,
}

/// What a tunnel was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// Nothing: it goes on.
    Nothing,
    /// Say goodbye.
    Goodbye,
    /// It took too long.
    Cut,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// To the endpoint.
    Up,
    /// To the client.
    Down,
}

/// A tunnel that waits for the 101 to go out. Its counts and its line in the log are settled when it is dropped,
/// whatever became of it.
pub(crate) struct Opening {
    pub(super) tunnel: Rc<Tunnel>,
    pub(super) exchange: Box<Exchange>,
    /// Until its socket was taken over.
    pub(super) connection: Option<Connection>,
    pub(super) protocol: HeaderValue,
    pub(super) error: Option<ErrorReason>,
}

/// Makes a tunnel of an exchange that was answered 101. The client's connection takes it over once the answer is out.
pub(crate) fn open(response: Response<Download>, mut exchange: Box<Exchange>) -> Response<Empty<Bytes>> {
    let (head, download) = response.into_parts();
    if let Some(tunnel) = Tunnel::of(&mut exchange, download.pool) {
        let (worker, client) = (exchange.worker.clone(), exchange.client.clone());
        worker.tunnels.add(&tunnel, worker.is_draining().then(|| worker.clock.now()));
        let named = head.headers.get(UPGRADE);
        let protocol = named.cloned().unwrap_or(HeaderValue::from_static(""));
        let opening = Opening { tunnel, exchange, connection: download.connection, protocol, error: None };
        client.opening.replace(Some(Box::new(opening)));
    }
    Response::from_parts(head, Empty::new())
}

impl Tunnel {
    fn of(exchange: &mut Exchange, pool: Rc<Pool>) -> Option<Rc<Self>> {
        let switched = exchange.switched()?;
        let worker = exchange.worker.index;
        let tunnel = Self {
            idle: switched.service.policy.timeouts.tunnel,
            service: switched.service,
            version: switched.version,
            role: switched.role,
            pool,
            worker,
            up: Cell::new(0),
            down: Cell::new(0),
            seen: Cell::new((0, exchange.worker.clock.now())),
            farewell: Cell::new(None),
            told: Cell::new(Told::Nothing),
            waker: RefCell::new(None),
        };
        tunnel.count(1);
        Some(Rc::new(tunnel))
    }

    fn count(&self, change: i64) {
        self.service.versions[self.version].cells[self.worker].tunnels.add(change);
        self.pool.counts(self.worker).tunnels.add(change);
    }

    /// So many bytes were passed on.
    pub(super) fn passed(&self, bound: Bound, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let cells = &self.service.versions[self.version].cells[self.worker];
        let (total, count) = match bound {
            Bound::Up => (&self.up, &cells.request_bytes),
            Bound::Down => (&self.down, &cells.response_bytes),
        };
        total.set(total.get() + bytes);
        count.add(bytes);
    }

    pub(super) fn told(&self) -> Told {
        self.told.get()
    }

    /// Who is to be woken when it is told something: its task.
    pub(super) fn on_told(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn tell(&self, told: Told) {
        if told > self.told.get() {
            self.told.set(told);
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether it has been given a moment at which it ends.
    pub(super) fn is_leaving(&self) -> bool {
        self.farewell.get().is_some()
    }

    /// It is to end at this moment.
    pub(super) fn leaves_at(&self, moment: Timestamp) {
        self.farewell.set(Some(moment));
    }

    /// Over what time all tunnels that end for the same cause may be spread, if this one has a cause to end.
    pub(super) fn cause_to_end(&self, view: &View) -> Option<Duration> {
        if self.pool.cells.is_dismissed() {
            return Some(UNHURRIED);
        }
        match (self.role?, view.place(&self.service, self.version)) {
            (_, Place::Share) => None,
            // It was aborted, or gets nothing at the moment, because none of its endpoints is ready or by an operator's word.
            (_, Place::CanaryWithoutShare) | (Role::Canary, Place::Outside) => Some(SOON),
            (Role::Stable, Place::Outside) => Some(UNHURRIED),
        }
    }

    /// Looks whether its time has come: its moment to end, or too long without a byte.
    pub(super) fn look(&self, now: Timestamp) {
        let passed = self.up.get() + self.down.get();
        let (seen, since) = self.seen.get();
        if passed != seen {
            self.seen.set((passed, now));
        } else if !self.is_leaving() && now - since >= self.idle {
            self.leaves_at(now);
        }
        match self.farewell.get() {
            Some(moment) if now >= moment + GRACE => self.tell(Told::Cut),
            Some(moment) if now >= moment => self.tell(Told::Goodbye),
            Some(_) | None => {}
        }
    }
}

impl Opening {
    /// The connection is the endpoint's fault no more, but people may want to know.
    pub(super) fn broke(&mut self) {
        self.error = Some(ErrorReason::ConnectionTerminated);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.tunnel.count(-1);
        self.exchange.tunnel_ended((self.tunnel.up.get(), self.tunnel.down.get()), self.error);
    }
}
