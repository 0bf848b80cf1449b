//! Draining of single endpoints: nothing new for them, what is in flight ends. It lasts until it is cancelled or the
//! endpoint leaves the config, across restarts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tracing::warn;

use super::control::{Control, Scope};
use super::describe;
use super::endpoints::EndpointState;
use super::handle::CommandError;
use super::report::{DrainStatus, DrainedEndpoint};
use super::store::{By, DrainRecord, Store, StoreError};
use crate::config::spec::{EndpointAddress, VersionSpec};
use crate::domain::{ServiceName, VersionName, Weight};

/// An operator's word about an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainOrder {
    /// As configured, or as `ip:port`. One that several services (or a name with several addresses) have stands for all
    /// of them.
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

/// Where an endpoint is: an address may serve several services.
type Seat = (ServiceName, VersionName, SocketAddr);

/// The endpoints that are being drained.
#[derive(Default)]
pub(crate) struct Drains {
    drains: BTreeMap<Seat, DrainRecord>,
}

impl Drains {
    /// As the store has them.
    pub(crate) fn recorded(store: &Store) -> Result<Self, StoreError> {
        let drains = store.drains()?.into_iter().map(|record| (seat(&record), record)).collect();
        Ok(Self { drains })
    }
}

fn seat(record: &DrainRecord) -> Seat {
    (record.service.clone(), record.version.clone(), record.address)
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
        let seats = self.seats(&order.endpoint);
        if seats.is_empty() {
            return Err(CommandError::UnknownEndpoint(self.all_endpoints()));
        }
        if let (true, Some((service, ..))) = (order.verb != DrainVerb::Look, seats.first()) {
            let verb = format!("{} {}", order.verb.as_str(), order.endpoint);
            self.on_record(service, verb, &order.by, |control| control.carry_out_drain(order, &seats))?;
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
        let fresh = seats.iter().filter(|seat| !self.drains.drains.contains_key(seat));
        let records: Vec<_> = fresh
            .map(|(service, version, address)| DrainRecord {
                service: service.clone(),
                version: version.clone(),
                address: *address,
                since,
                by: by.clone(),
            })
            .collect();
        self.store.keep_drains(&records).map_err(not_saved)?;
        self.drains.drains.extend(records.into_iter().map(|record| (seat(&record), record)));
        self.show_drains();
        Ok(())
    }

    fn cancel_drain(&mut self, endpoint: &str, seats: &[Seat]) -> Result<(), CommandError> {
        let records: Vec<_> = seats.iter().filter_map(|seat| self.drains.drains.get(seat)).cloned().collect();
        if records.is_empty() {
            return Err(CommandError::Conflict(format!("{endpoint} is not being drained")));
        }
        self.store.forget_drains(&records).map_err(not_saved)?;
        for record in &records {
            self.drains.drains.remove(&seat(record));
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
                self.drains.drains.remove(&seat(record));
            }
        }
        let drains = &self.drains.drains;
        for (name, service) in &mut self.services {
            for (version, state) in &mut service.versions {
                for endpoint in &mut state.endpoints {
                    let drain = drains.get(&(name.clone(), version.clone(), endpoint.address));
                    let draining = drain.map(|record| record.by.clone());
                    service.dirty |= endpoint.draining.is_some() != draining.is_some();
                    endpoint.draining = draining;
                    endpoint.tell_workers();
                }
            }
        }
    }

    /// Whether the config has no such endpoint any more. One behind a name may not have been found yet.
    fn has_left(&self, record: &DrainRecord) -> bool {
        let Some(service) = self.services.get(&record.service) else { return true };
        let Some(version) = service.versions.get(&record.version) else { return true };
        if version.endpoints.iter().any(|endpoint| endpoint.address == record.address) {
            return false;
        }
        !may_come(&version.spec, record.address, |name| self.names.contains_key(name))
    }

    /// The endpoints that `endpoint` stands for.
    fn seats(&self, endpoint: &str) -> Vec<Seat> {
        let address = endpoint.parse::<SocketAddr>().ok();
        let meant = |state: &EndpointState| *state.declared == *endpoint || Some(state.address) == address;
        let mut seats = Vec::new();
        for (name, service) in &self.services {
            for (version, state) in &service.versions {
                let found = state.endpoints.iter().filter(|endpoint| meant(endpoint));
                seats.extend(found.map(|endpoint| (name.clone(), version.clone(), endpoint.address)));
            }
        }
        seats
    }

    fn all_endpoints(&self) -> String {
        let versions = self.services.values().flat_map(|service| service.versions.values());
        let mut all: Vec<_> = versions
            .flat_map(|version| &version.endpoints)
            .map(|endpoint| endpoint.declared.to_string())
            .collect();
        all.sort();
        all.dedup();
        all.join(", ")
    }

    fn drained_endpoint(&self, (service, version, address): &Seat) -> Option<DrainedEndpoint> {
        let state = self.services.get(service)?.versions.get(version)?;
        let endpoint = state.endpoints.iter().find(|endpoint| endpoint.address == *address)?;
        Some(DrainedEndpoint {
            service: service.clone(),
            version: version.clone(),
            endpoint: describe::endpoint(endpoint),
        })
    }

    /// A version that users get keeps an endpoint, unless force says otherwise.
    fn refuse_to_drain_the_last(&self, seats: &[Seat]) -> Result<(), CommandError> {
        for (name, version, address) in seats {
            let Some(service) = self.services.get(name) else { continue };
            let Some(state) = service.versions.get(version) else { continue };
            let (_, weight) = describe::role(version, service);
            let meant = |endpoint: &EndpointState| {
                seats.iter().any(|seat| *seat == (name.clone(), version.clone(), endpoint.address))
            };
            let left = state.endpoints.iter().any(|endpoint| endpoint.usable() && !meant(endpoint));
            let taken = state.endpoints.iter().any(|endpoint| endpoint.usable() && meant(endpoint));
            if taken && !left && weight > Weight::ZERO {
                return Err(CommandError::Conflict(format!(
                    "{address} is the last ready endpoint of {name} {version}, which gets {weight} of the traffic; add another \
                     endpoint first, or say that you mean it: `adit drain {address} --force`"
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
