//! Draining of single endpoints: nothing new for them, what is in flight ends. It lasts until it is cancelled or the
//! endpoint leaves the config, across restarts. That of a container goes with the container: also when it is started again and has
//! another address, until it is removed.

mod seats;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tracing::warn;

use super::control::{Control, Scope};
use super::describe;
use super::endpoints::EndpointState;
use super::handle::CommandError;
use super::report::{DrainStatus, DrainedEndpoint, EndpointStatus};
use super::store::{By, DrainRecord, Store, StoreError};
use crate::config::spec::{EndpointAddress, VersionSpec};
use crate::domain::Weight;
use crate::domain::container::{Engine, Sighting};
use seats::Seat;

/// An operator's word about an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainOrder {
    /// As configured, or as `ip:port`: one that several services (or a name with several addresses) have stands for all
    /// of them. Or a container: its name, its id, or enough of its id.
    pub endpoint: String,
    /// What it is about.
    pub verb: DrainVerb,
    /// Who says so, and why.
    pub by: By,
}

/// What an endpoint is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainVerb {
    /// It gets nothing new, unless users would be left without an endpoint.
    Drain,
    /// It gets nothing new, whatever that means for users.
    DrainByForce,
    /// It gets requests again.
    Cancel,
    /// Nothing: only how it stands.
    Look,
}

/// The endpoints that are being drained.
#[derive(Default)]
pub(crate) struct Drains {
    drains: BTreeMap<Seat, DrainRecord>,
}

impl Drains {
    /// As the store has them.
    pub(crate) fn recorded(store: &Store) -> Result<Self, StoreError> {
        let drains = store.drains()?.into_iter().map(|record| (Seat::recorded(&record), record)).collect();
        Ok(Self { drains })
    }

    fn of_container(&self, id: &str) -> impl Iterator<Item = &DrainRecord> {
        self.drains.values().filter(move |record| record.container.as_deref() == Some(id))
    }

    /// The drain of this container, or of what has no container here.
    fn of(&self, seat: &Seat) -> Option<&DrainRecord> {
        let by_address = || self.drains.get(&Seat { container: None, ..seat.clone() });
        let container = seat.container.as_ref().and_then(|id| self.of_container(id).next());
        container.or_else(by_address)
    }
}

/// What status says of an endpoint that is being drained.
pub(crate) fn reason(by: &By) -> String {
    match &by.why {
        Some(why) => format!("gets nothing new: drained by {}: {why}", by.who),
        None => format!("gets nothing new: drained by {}", by.who),
    }
}

impl Control {
    /// Takes an endpoint out of use, or back into it, and says how it stands.
    pub(crate) fn drain(&mut self, order: &DrainOrder) -> Result<DrainStatus, CommandError> {
        let seats = self.seats(&order.endpoint)?;
        if let (true, Some(seat)) = (order.verb != DrainVerb::Look, seats.first()) {
            let verb = format!("{} {}", order.verb.as_str(), order.endpoint);
            self.on_record(&seat.service, verb, &order.by, |control| control.carry_out_drain(order, &seats))?;
        }
        Ok(DrainStatus { endpoints: seats.iter().filter_map(|seat| self.drained_endpoint(seat)).collect() })
    }

    fn carry_out_drain(&mut self, order: &DrainOrder, seats: &[Seat]) -> Result<(), CommandError> {
        match order.verb {
            DrainVerb::Look => Ok(()),
            DrainVerb::Cancel => self.cancel_drain(&order.endpoint, seats),
            DrainVerb::DrainByForce => self.begin_drain(seats, &order.by),
            DrainVerb::Drain => {
                self.refuse_to_drain_the_last(seats)?;
                self.begin_drain(seats, &order.by)
            }
        }
    }

    fn begin_drain(&mut self, seats: &[Seat], by: &By) -> Result<(), CommandError> {
        let since = self.around.clock.now();
        let fresh = seats.iter().filter(|seat| self.drains.of(seat).is_none());
        let records: Vec<_> = fresh
            .map(|seat| DrainRecord {
                service: seat.service.clone(),
                version: seat.version.clone(),
                address: seat.address,
                container: seat.container.clone(),
                since,
                by: by.clone(),
            })
            .collect();
        self.store.keep_drains(&records).map_err(not_saved)?;
        self.drains.drains.extend(records.into_iter().map(|record| (Seat::recorded(&record), record)));
        self.show_drains();
        Ok(())
    }

    fn cancel_drain(&mut self, endpoint: &str, seats: &[Seat]) -> Result<(), CommandError> {
        let records: Vec<_> = seats.iter().filter_map(|seat| self.drains.of(seat)).cloned().collect();
        if records.is_empty() {
            return Err(CommandError::Conflict(format!("{endpoint} is not being drained")));
        }
        self.store.forget_drains(&records).map_err(not_saved)?;
        for record in &records {
            self.drains.drains.remove(&Seat::recorded(record));
        }
        self.show_drains();
        Ok(())
    }

    fn show_drains(&mut self) {
        self.take_up_drains();
        self.turn(Scope::Changed);
    }

    /// Tells all endpoints whether they are being drained, and forgets the drains of those that have left.
    pub(crate) fn take_up_drains(&mut self) {
        let gone: Vec<_> =
            self.drains.drains.values().filter(|record| self.has_left(record)).cloned().collect();
        if !gone.is_empty() {
            // What could not be forgotten in the store is found there again after a restart, and forgotten then.
            if let Err(error) = self.store.forget_drains(&gone) {
                warn!(%error, "drains of endpoints that left the config stay recorded");
            }
            for record in &gone {
                self.drains.drains.remove(&Seat::recorded(record));
            }
        }
        let drains = &self.drains;
        for (name, service) in &mut self.services {
            for (version, state) in &mut service.versions {
                for endpoint in &mut state.endpoints {
                    let drain = if drains.drains.is_empty() {
                        None
                    } else {
                        drains.of(&Seat::of(name, version, endpoint))
                    };
                    let draining = drain.map(|record| record.by.clone());
                    service.dirty |= endpoint.draining.is_some() != draining.is_some();
                    endpoint.draining = draining;
                    endpoint.tell_workers();
                }
            }
        }
    }

    /// Whether the config has no such endpoint any more, or the engine no such container. An endpoint behind a name may
    /// not have been found yet, a container may be about to be started again.
    fn has_left(&self, record: &DrainRecord) -> bool {
        if let Some(id) = &record.container {
            let behind = || self.endpoint(&Seat::recorded(record)).is_some();
            return !behind() && is_gone(id, self.sighting.as_ref(), self.spec.docker.is_some());
        }
        let Some(service) = self.services.get(&record.service) else { return true };
        let Some(version) = service.versions.get(&record.version) else { return true };
        if version.endpoints.iter().any(|endpoint| endpoint.address == record.address) {
            return false;
        }
        !may_come(&version.spec, record.address, |name| self.names.contains_key(name))
    }

    /// The endpoint that is meant by a seat, wherever it is now.
    fn endpoint(&self, seat: &Seat) -> Option<(Seat, &EndpointState)> {
        self.services.iter().find_map(|(name, service)| {
            service.versions.iter().find_map(|(version, state)| {
                let endpoint = state.endpoints.iter().find(|it| seat.is(name, version, it))?;
                Some((Seat::of(name, version, endpoint), endpoint))
            })
        })
    }

    fn drained_endpoint(&self, seat: &Seat) -> Option<DrainedEndpoint> {
        let Some((seat, endpoint)) = self.endpoint(seat) else {
            // A container that was stopped while it was drained is drained.
            let record = self.drains.of(seat)?;
            let Seat { service, version, .. } = seat.clone();
            return Some(DrainedEndpoint { service, version, endpoint: stopped(record) });
        };
        let endpoint = describe::endpoint(endpoint);
        Some(DrainedEndpoint { service: seat.service, version: seat.version, endpoint })
    }

    /// A version that users get keeps an endpoint, unless force says otherwise.
    fn refuse_to_drain_the_last(&self, seats: &[Seat]) -> Result<(), CommandError> {
        for Seat { service: name, version, address, .. } in seats {
            let Some(service) = self.services.get(name) else { continue };
            let Some(state) = service.versions.get(version) else { continue };
            let (_, weight) = describe::role(version, service);
            let meant = |endpoint: &EndpointState| seats.iter().any(|seat| seat.is(name, version, endpoint));
            let left = state.endpoints.iter().any(|endpoint| endpoint.usable() && !meant(endpoint));
            let taken = state.endpoints.iter().any(|endpoint| endpoint.usable() && meant(endpoint));
            if taken && !left && weight > Weight::ZERO {
                let it = state.endpoints.iter().find(|endpoint| endpoint.address == *address);
                let it = it.and_then(|endpoint| Some(endpoint.container.as_ref()?.name.clone()));
                let it = it.unwrap_or_else(|| address.to_string());
                return Err(CommandError::Conflict(format!(
                    "{it} is the last ready endpoint of {name} {version}, which gets {weight} of the traffic; add another \
                     endpoint first, or say that you mean it: `adit drain {it} --force`"
                )));
            }
        }
        Ok(())
    }
}

impl DrainVerb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::DrainByForce => "drain --force",
            Self::Cancel => "drain --cancel",
            Self::Look => "look",
        }
    }
}

/// Whether this address may still turn up: as an address in the config, or behind a name that was not `found` yet.
fn may_come(spec: &VersionSpec, address: SocketAddr, found: impl Fn(&str) -> bool) -> bool {
    spec.endpoints.iter().any(|endpoint| match endpoint {
        EndpointAddress::Ip(configured) => *configured == address,
        EndpointAddress::Dns { name, port } => *port == address.port() && !found(name),
    })
}

/// Whether a container is gone for good. An engine that does not answer says nothing about that.
fn is_gone(id: &str, sighting: Option<&Sighting>, configured: bool) -> bool {
    match sighting {
        Some(Sighting { engine: Engine::Connected { .. }, containers, .. }) => !containers.contains_key(id),
        Some(Sighting { engine: Engine::Lost { .. }, .. }) | None => !configured,
    }
}

/// A drained container that has no endpoint now.
fn stopped(record: &DrainRecord) -> EndpointStatus {
    EndpointStatus {
        endpoint: record.address.to_string(),
        address: None,
        container: None,
        state: "drained".to_owned(),
        reason: reason(&record.by),
        last_check: None,
        last_check_at: None,
        streak: 0,
        in_flight: 0,
    }
}

fn not_saved(error: StoreError) -> CommandError {
    CommandError::NotSaved(format!("not done, because it can't be saved: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::Build;

    #[test]
    fn an_address_may_come_from_the_config_or_from_a_name_that_was_not_found_yet() {
        let spec = |endpoint: &str| VersionSpec::at(vec![endpoint.parse().unwrap()], Build::default());
        let address: SocketAddr = "10.0.0.5:80".parse().unwrap();
        for (endpoint, found, comes) in [
            ("10.0.0.5:80", true, true),
            ("10.0.0.6:80", false, false),
            ("web.internal:80", false, true),
            ("web.internal:80", true, false),
            ("web.internal:81", false, false),
        ] {
            assert_eq!(may_come(&spec(endpoint), address, |_| found), comes, "{endpoint} {found}");
        }
    }
}
