//! Which build a version name stands for: once seen, for ever.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError, micros};
use crate::config::build::digest;
use crate::config::spec::Build;
use crate::domain::{ServiceName, Timestamp, VersionName};

/// What is known of a version's build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The name was seen with this build before.
    Known,
    /// It says more than was known of the name's build.
    New,
    /// The name stands for another build: one name, two builds. Nothing was changed.
    Conflict {
        /// What it says now: the image, or `revision …`.
        now: String,
        /// What the name was seen with.
        known: String,
    },
}

impl Store {
    /// Says whether `version` may stand for `build`, and remembers it if that says more than was known. Nothing is
    /// remembered of a conflict.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn identify(
        &mut self,
        at: Timestamp,
        service: &ServiceName,
        version: &VersionName,
        build: &Build,
    ) -> Result<Identity, StoreError> {
        let identity = self.compare(service, version, build)?;
        if identity == Identity::New {
            remember(&self.connection, at, (service, version), build)
                .map_err(|cause| StoreError::sqlite(&self.path, cause))?;
        }
        Ok(identity)
    }

    /// Says whether `version` may stand for `build`, and remembers nothing. Two references name the same build when
    /// their digests (`name@sha256:…`) are equal, wherever they are pulled from. A reference without a digest (a tag) proves
    /// nothing: tags move. Where no digest decides, another commit is another build.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn compare(
        &self,
        service: &ServiceName,
        version: &VersionName,
        build: &Build,
    ) -> Result<Identity, StoreError> {
        Ok(match self.known_build(service, version)? {
            Some(known) => compare(&known, build),
            None if says_nothing(build) => Identity::Known,
            None => Identity::New,
        })
    }

    /// All builds that version names were seen with.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn builds(&self) -> Result<BTreeMap<ServiceName, BTreeMap<VersionName, Build>>, StoreError> {
        let sql = format!("SELECT {BUILD}, service, version FROM identities");
        let rows = self.read(&sql, [], |row| {
            Ok((row.get::<_, String>(5)?, row.get::<_, String>(6)?, read_build(row)?))
        })?;
        let mut builds: BTreeMap<ServiceName, BTreeMap<VersionName, Build>> = BTreeMap::new();
        for (service, version, build) in rows {
            builds.entry(service.as_str().into()).or_default().insert(version.as_str().into(), build);
        }
        Ok(builds)
    }

    fn known_build(&self, service: &ServiceName, version: &VersionName) -> Result<Option<Build>, StoreError> {
        // Prepared once: a reload asks for every version of every service.
        self.connection
            .prepare_cached(&format!("SELECT {BUILD} FROM identities WHERE service = ?1 AND version = ?2"))
            .and_then(|mut known| {
                known.query_row(params![service.as_str(), version.as_str()], read_build).optional()
            })
            .map_err(|cause| StoreError::sqlite(&self.path, cause))
    }
}

/// What is kept of a build, in the order that [`read_build`] reads it.
const BUILD: &str = "image, revision, image_id, created, source";

fn read_build(row: &Row<'_>) -> rusqlite::Result<Build> {
    // An empty image: only the commit is known.
    let image = Some(row.get::<_, String>(0)?).filter(|image| !image.is_empty());
    Ok(Build {
        image,
        revision: row.get(1)?,
        image_id: row.get(2)?,
        created: row.get(3)?,
        source: row.get(4)?,
    })
}

fn says_nothing(build: &Build) -> bool {
    build.image.is_none() && build.revision.is_none() && build.image_id.is_none()
}

/// What `now` is to a name that was seen with `known`. The engine's id of an image decides where both have it: it is the
/// digest of what is in the image.
pub(crate) fn compare(known: &Build, now: &Build) -> Identity {
    let said = |build: &Build| build.image.clone().unwrap_or_default();
    match (&known.image_id, &now.image_id) {
        (Some(before), Some(id)) if before != id => {
            let said = |build: &Build, id: &str| format!("{} ({id})", said(build));
            return Identity::Conflict { now: said(now, id), known: said(known, before) };
        }
        (Some(_), Some(_)) => return Identity::Known,
        // What says which image it is says more than what was known, unless that says the contrary.
        (None, Some(_)) if known.digest().is_none() || known.digest() == now.digest() => {
            return Identity::New;
        }
        (None | Some(_), None) | (None, Some(_)) => {}
    }
    match (known.digest(), now.digest()) {
        (Some(before), Some(digest)) if before != digest => {
            return Identity::Conflict { now: said(now), known: said(known) };
        }
        (Some(_), Some(_)) => return Identity::Known,
        (None | Some(_), None) | (None, Some(_)) => {}
    }
    if let (Some(before), Some(revision)) = (&known.revision, &now.revision)
        && before != revision
    {
        let said = |revision: &str| format!("revision {revision}");
        return Identity::Conflict { now: said(revision), known: said(before) };
    }
    let more_of_image = known.digest().is_none() && now.image.is_some() && now.image != known.image;
    let more_of_revision = known.revision.is_none() && now.revision.is_some();
    if more_of_image || more_of_revision { Identity::New } else { Identity::Known }
}

/// Remembers what `build` says; what is known by a digest stays.
pub(super) fn remember(
    connection: &Connection,
    at: Timestamp,
    (service, version): (&ServiceName, &VersionName),
    build: &Build,
) -> rusqlite::Result<()> {
    if says_nothing(build) {
        return Ok(());
    }
    let image = build.image.as_deref().unwrap_or_default();
    let is_digest = build.image.as_deref().and_then(digest).is_some();
    connection
        .execute(
            "INSERT INTO identities (service, version, image, first_seen, revision, image_id, created, source)
             VALUES (?1, ?2, ?3, ?4, ?5, ?7, ?8, ?9)
             ON CONFLICT (service, version) DO UPDATE SET
                 image = CASE WHEN ?6 OR (?3 <> '' AND instr(image, '@') = 0) THEN ?3 ELSE image END,
                 revision = coalesce(revision, ?5), image_id = coalesce(image_id, ?7),
                 created = coalesce(created, ?8), source = coalesce(source, ?9)",
            params![
                service.as_str(),
                version.as_str(),
                image,
                micros(at),
                build.revision,
                is_digest,
                build.image_id,
                build.created,
                build.source
            ],
        )
        .map(|_| ())
}
