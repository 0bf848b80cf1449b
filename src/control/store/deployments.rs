//! What was deployed by command: versions with their endpoints, and which of them is wanted.

use std::collections::BTreeMap;

use rusqlite::{TransactionBehavior, params};

use super::super::deploy::Deployments;
use super::{Store, StoreError, identity, micros};
use crate::config::spec::Build;
use crate::domain::{ServiceName, Timestamp, VersionName};

impl Store {
    /// What was deployed, of all services that anything was ever deployed to.
    ///
    /// # Errors
    /// When the file can't be read or a record in it can't be understood.
    pub(crate) fn deployments(&self) -> Result<BTreeMap<ServiceName, Deployments>, StoreError> {
        let rows = self.read("SELECT service, record FROM deployments", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.into_iter()
            .map(|(service, text)| {
                let record = serde_json::from_str(&text).map_err(|cause| self.unreadable(&service, cause))?;
                Ok((ServiceName::from(service.as_str()), record))
            })
            .collect()
    }

    /// Keeps what is deployed to a service, and what is known of the builds in it, all or nothing. When it returns, it is
    /// on the disk.
    ///
    /// # Errors
    /// When it could not be kept; then nothing of it was, and the store can still be used.
    pub(crate) fn keep_deployments(
        &mut self,
        at: Timestamp,
        service: &ServiceName,
        record: &Deployments,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(record).map_err(|cause| self.unreadable(service.as_str(), cause))?;
        let builds: Vec<(&VersionName, &Build)> = record.builds().collect();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|cause| StoreError::sqlite(&self.path, cause))?;
        let kept = transaction
            .execute(
                "INSERT INTO deployments (service, record, saved_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (service) DO UPDATE SET record = ?2, saved_at = ?3",
                params![service.as_str(), text, micros(at)],
            )
            .and_then(|_| {
                builds.into_iter().try_for_each(|(version, build)| {
                    identity::remember(&transaction, at, (service, version), build)
                })
            })
            .and_then(|()| transaction.commit());
        kept.map_err(|cause| StoreError::sqlite(&self.path, cause))
    }
}
