//! Hold and release: a service's requests wait, and go on. It lasts until the release, across restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::control::{Control, Scope};
use super::describe;
use super::handle::CommandError;
use super::report::{HeldStatus, ServiceStatus, rfc3339};
use super::store::{By, HoldRecord, Store, StoreError};
use crate::domain::ServiceName;
use crate::domain::routing::{Hold, HoldTerms};

/// An operator's word about a service's requests.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldOrder {
    /// Which service.
    pub service: ServiceName,
    /// What its requests do.
    pub verb: HoldVerb,
    /// Who says so, and why.
    pub by: By,
}

/// What a service's requests are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldVerb {
    /// They wait from now on.
    Hold(HoldTerms),
    /// They go on.
    Release,
}

/// The services that are held.
#[derive(Default)]
pub(crate) struct Holds(BTreeMap<ServiceName, Held>);

struct Held {
    record: HoldRecord,
    hold: Arc<Hold>,
}

impl Holds {
    /// As the store has them.
    pub(crate) fn recorded(store: &Store) -> Result<Self, StoreError> {
        let held = |record: HoldRecord| (record.service.clone(), Held::new(record));
        Ok(Self(store.holds()?.into_iter().map(held).collect()))
    }

    /// What the data plane is told of this service.
    pub(crate) fn of(&self, service: &ServiceName) -> Option<Arc<Hold>> {
        self.0.get(service).map(|held| held.hold.clone())
    }

    /// What people are told of this service.
    pub(crate) fn status(&self, service: &ServiceName) -> Option<HeldStatus> {
        let Held { record, hold } = self.0.get(service)?;
        Some(HeldStatus {
            since: rfc3339(record.since),
            who: record.by.who.clone(),
            why: record.by.why.clone(),
            max_wait_seconds: record.terms.max_wait.as_secs_f64(),
            max_waiting: record.terms.max_waiting,
            waiting: hold.waiting(),
        })
    }
}

impl Held {
    fn new(record: HoldRecord) -> Self {
        let hold = Arc::new(Hold::new(record.terms));
        Self { record, hold }
    }
}

impl Control {
    /// Has a service's requests wait or go on, and says how the service stands then.
    pub(crate) fn hold(&mut self, order: &HoldOrder) -> Result<ServiceStatus, CommandError> {
        let HoldOrder { service, verb, by } = order;
        self.on_record(service, verb.as_str().to_owned(), by, |control| {
            if !control.services.contains_key(service) {
                let known: Vec<_> = control.services.keys().map(ServiceName::as_str).collect();
                return Err(CommandError::UnknownService(known.join(", ")));
            }
            match verb {
                HoldVerb::Hold(terms) => control.begin_hold(service, *terms, by),
                HoldVerb::Release => control.end_hold(service),
            }
        })?;
        describe::service_status(self, service)
            .ok_or_else(|| CommandError::UnknownService(service.to_string()))
    }

    /// Who is held already is held on, on the new terms.
    fn begin_hold(&mut self, service: &ServiceName, terms: HoldTerms, by: &By) -> Result<(), CommandError> {
        let since =
            self.holds.0.get(service).map_or_else(|| self.around.clock.now(), |held| held.record.since);
        let record = HoldRecord { service: service.clone(), since, terms, by: by.clone() };
        self.store.keep_hold(&record).map_err(|error| {
            CommandError::NotSaved(format!("not done, because it can't be saved: {error}"))
        })?;
        self.holds.0.insert(service.clone(), Held::new(record));
        self.show_hold(service);
        Ok(())
    }

    /// Users come first: they go on even if that can't be saved.
    fn end_hold(&mut self, service: &ServiceName) -> Result<(), CommandError> {
        if self.holds.0.remove(service).is_none() {
            return Err(CommandError::Conflict(format!(
                "{service} is not held; its requests don't wait for anything"
            )));
        }
        self.show_hold(service);
        self.store.forget_hold(service).map_err(|error| {
            CommandError::NotSaved(format!(
                "done, the requests of {service} go on, but not saved: {error}. After a restart they would wait again; then \
                 release it again"
            ))
        })
    }

    fn show_hold(&mut self, service: &ServiceName) {
        let hold = self.holds.of(service);
        if let Some(state) = self.services.get_mut(service) {
            state.hold = hold;
            state.dirty = true;
        }
        self.turn(Scope::Changed);
    }
}

impl HoldVerb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hold(_) => "hold",
            Self::Release => "release",
        }
    }
}
