//! What operators told services and endpoints to do until they say otherwise: it outlives the process.

use std::net::SocketAddr;
use std::time::Duration;

use rusqlite::params;

use super::{By, Store, StoreError, micros, timestamp};
use crate::domain::routing::HoldTerms;
use crate::domain::{ServiceName, Timestamp, VersionName};

/// A service that is held.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HoldRecord {
    pub(crate) service: ServiceName,
    pub(crate) since: Timestamp,
    pub(crate) terms: HoldTerms,
    pub(crate) by: By,
}

/// An endpoint that gets nothing new.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DrainRecord {
    pub(crate) service: ServiceName,
    pub(crate) version: VersionName,
    pub(crate) address: SocketAddr,
    /// The id of the container that was there, if one was: then it is drained, wherever it is.
    pub(crate) container: Option<String>,
    pub(crate) since: Timestamp,
    pub(crate) by: By,
}

impl Store {
    /// All services that are held.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn holds(&self) -> Result<Vec<HoldRecord>, StoreError> {
        self.read("SELECT service, since, max_wait_micros, max_waiting, who, why FROM holds", [], |row| {
            let max_wait = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            Ok(HoldRecord {
                service: row.get::<_, String>(0)?.as_str().into(),
                since: timestamp(row.get(1)?),
                terms: HoldTerms { max_wait: Duration::from_micros(max_wait), max_waiting: row.get(3)? },
                by: By { who: row.get(4)?, why: row.get(5)? },
            })
        })
    }

    /// Keeps that a service is held, instead of what was kept of it before.
    ///
    /// # Errors
    /// When it could not be kept.
    pub(crate) fn keep_hold(&mut self, hold: &HoldRecord) -> Result<(), StoreError> {
        let max_wait = i64::try_from(hold.terms.max_wait.as_micros()).unwrap_or(i64::MAX);
        self.execute(
            "INSERT OR REPLACE INTO holds (service, since, max_wait_micros, max_waiting, who, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                hold.service.as_str(),
                micros(hold.since),
                max_wait,
                hold.terms.max_waiting,
                hold.by.who,
                hold.by.why
            ],
        )
    }

    /// Forgets that a service is held.
    ///
    /// # Errors
    /// When it could not be forgotten.
    pub(crate) fn forget_hold(&mut self, service: &ServiceName) -> Result<(), StoreError> {
        self.execute("DELETE FROM holds WHERE service = ?1", params![service.as_str()])
    }

    /// All endpoints that are being drained. An address that can't be understood is left out: no endpoint has it.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn drains(&self) -> Result<Vec<DrainRecord>, StoreError> {
        let rows = self.read(
            "SELECT service, version, address, since, who, why, container FROM drains",
            [],
            |row| {
                let address = row.get::<_, String>(2)?;
                Ok(address
                    .parse()
                    .ok()
                    .map(|address| (address, row.get::<_, String>(0), row.get::<_, String>(1)))
                    .map(|(address, service, version)| -> rusqlite::Result<DrainRecord> {
                        Ok(DrainRecord {
                            service: service?.as_str().into(),
                            version: version?.as_str().into(),
                            address,
                            container: Some(row.get::<_, String>(6)?).filter(|id| !id.is_empty()),
                            since: timestamp(row.get(3)?),
                            by: By { who: row.get(4)?, why: row.get(5)? },
                        })
                    }))
            },
        )?;
        rows.into_iter()
            .flatten()
            .collect::<rusqlite::Result<_>>()
            .map_err(|cause| StoreError::sqlite(&self.path, cause))
    }

    /// Keeps that endpoints are being drained: all of them or none.
    ///
    /// # Errors
    /// When it could not be kept.
    pub(crate) fn keep_drains(&mut self, drains: &[DrainRecord]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for drain in drains {
                transaction.execute(
                    "INSERT OR REPLACE INTO drains (service, version, address, since, who, why, container)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        drain.service.as_str(),
                        drain.version.as_str(),
                        drain.address.to_string(),
                        micros(drain.since),
                        drain.by.who,
                        drain.by.why,
                        drain.container.as_deref().unwrap_or_default()
                    ],
                )?;
            }
            Ok(())
        })
    }

    /// Forgets that endpoints are being drained: all of them or none.
    ///
    /// # Errors
    /// When it could not be forgotten.
    pub(crate) fn forget_drains(&mut self, drains: &[DrainRecord]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for drain in drains {
                transaction.execute(
                    "DELETE FROM drains WHERE service = ?1 AND version = ?2 AND address = ?3 AND container = ?4",
                    params![
                        drain.service.as_str(),
                        drain.version.as_str(),
                        drain.address.to_string(),
                        drain.container.as_deref().unwrap_or_default()
                    ],
                )?;
            }
            Ok(())
        })
    }
}
