//! Which image a version name stands for: once seen, for ever.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, micros};
use crate::domain::{ServiceName, Timestamp, VersionName};

/// What is known of a version's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The name was seen with this build before.
    Known,
    /// It says more than was known of the name's build.
    New,
    /// The name stands for another build: one name, two builds. Nothing was changed.
    Conflict {
        /// The image that the name was seen with.
        known: String,
    },
}

impl Store {
    /// Says whether `version` may stand for `image`, and remembers it if that says more than was known. Nothing is
    /// remembered of a conflict.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn identify(
        &mut self,
        at: Timestamp,
        service: &ServiceName,
        version: &VersionName,
        image: &str,
    ) -> Result<Identity, StoreError> {
        match self.compare(service, version, image)? {
            Identity::New => self.remember(at, service, version, image),
            known @ (Identity::Known | Identity::Conflict { .. }) => Ok(known),
        }
    }

    /// Says whether `version` may stand for `image`, and remembers nothing. Two references name the same build when
    /// their digests (`name@sha256:…`) are equal, wherever they are pulled from. A reference without a digest (a tag) proves
    /// nothing: tags move.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn compare(
        &self,
        service: &ServiceName,
        version: &VersionName,
        image: &str,
    ) -> Result<Identity, StoreError> {
        let Some(known) = self.known_image(service, version)? else { return Ok(Identity::New) };
        Ok(match (digest(&known), digest(image)) {
            (Some(before), Some(now)) if before != now => Identity::Conflict { known },
            (Some(_), Some(_) | None) => Identity::Known,
            (None, None) if known == image => Identity::Known,
            (None, Some(_) | None) => Identity::New,
        })
    }

    fn known_image(
        &self,
        service: &ServiceName,
        version: &VersionName,
    ) -> Result<Option<String>, StoreError> {
        self.connection
            .query_row(
                "SELECT image FROM identities WHERE service = ?1 AND version = ?2",
                params![service.as_str(), version.as_str()],
                |row| row.get(0),
            )
            .optional()
            .map_err(|cause| StoreError::sqlite(&self.path, cause))
    }

    fn remember(
        &self,
        at: Timestamp,
        service: &ServiceName,
        version: &VersionName,
        image: &str,
    ) -> Result<Identity, StoreError> {
        self.connection
            .execute(
                "INSERT INTO identities (service, version, image, first_seen) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (service, version) DO UPDATE SET image = ?3",
                params![service.as_str(), version.as_str(), image, micros(at)],
            )
            .map_err(|cause| StoreError::sqlite(&self.path, cause))?;
        Ok(Identity::New)
    }
}

/// `sha256:…` of `name@sha256:…`.
fn digest(image: &str) -> Option<&str> {
    image.split_once('@').map(|(_, digest)| digest)
}
