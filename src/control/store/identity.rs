//! Which image a version name stands for: once seen, for ever.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, micros};
use crate::domain::{ServiceName, Timestamp, VersionName};

/// What is known of a version's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The name was seen with this build before.
    Known,
    /// Nothing was known of the name's build; now it is.
    New,
    /// The name stands for another build: one name, two builds. Nothing was changed.
    Conflict {
        /// The image that the name was seen with.
        known: String,
    },
}

impl Store {
    /// Says whether `version` may stand for `image`, and remembers it if nothing was known. Two references name the
    /// same build when their digests (`name@sha256:…`) are equal, wherever they are pulled from. A reference without
    /// a digest proves nothing against one with it; two without are compared as text.
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
        match self.known_image(service, version)? {
            None => self.remember(at, service, version, image),
            Some(known) => match (digest(&known), digest(image)) {
                (Some(before), Some(now)) if before == now => Ok(Identity::Known),
                (Some(_), None) => Ok(Identity::Known),
                (None, Some(_)) => self.remember(at, service, version, image),
                (None, None) if known == image => Ok(Identity::Known),
                (Some(_), Some(_)) | (None, None) => Ok(Identity::Conflict { known }),
            },
        }
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
