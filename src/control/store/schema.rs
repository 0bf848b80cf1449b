//! The database's tables, and how an older file becomes a newer one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{StoreError, letters};

/// What leads from schema n to n + 1. Only ever appended to: files out there have gone through the earlier ones.
const MIGRATIONS: &[&str] =
    &[FIRST, DEPLOYMENTS, EVENTS, letters::MIGRATION, STANDING, IMAGES, DRAINS_OF_CONTAINERS];

const FIRST: &str = "
    CREATE TABLE machines (
        service  TEXT PRIMARY KEY,
        machine  TEXT NOT NULL,     -- JSON
        saved_at INTEGER NOT NULL   -- all times: microseconds since 1970 UTC
    ) STRICT;

    CREATE TABLE rollouts (
        service TEXT NOT NULL,
        number  INTEGER NOT NULL,
        stable  TEXT NOT NULL,
        canary  TEXT NOT NULL,
        started INTEGER NOT NULL,
        ended   INTEGER,
        outcome TEXT,
        PRIMARY KEY (service, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE transitions (
        id      INTEGER PRIMARY KEY,
        service TEXT NOT NULL,
        rollout INTEGER NOT NULL,
        record  TEXT NOT NULL,      -- JSON
        who     TEXT,
        why     TEXT
    ) STRICT;
    CREATE INDEX transitions_of_rollout ON transitions (service, rollout, id);

    CREATE TABLE identities (
        service    TEXT NOT NULL,
        version    TEXT NOT NULL,
        image      TEXT NOT NULL,
        first_seen INTEGER NOT NULL,
        PRIMARY KEY (service, version)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE starts (count INTEGER NOT NULL) STRICT;
    INSERT INTO starts VALUES (0);
";

const DEPLOYMENTS: &str = "
    CREATE TABLE deployments (
        service  TEXT PRIMARY KEY,
        record   TEXT NOT NULL,     -- JSON
        saved_at INTEGER NOT NULL
    ) STRICT;
    ALTER TABLE identities ADD COLUMN revision TEXT;
";

const EVENTS: &str = "
    CREATE TABLE events (
        id      INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: whoever has read up to one, reads on behind it
        at      INTEGER NOT NULL,
        service TEXT,               -- NULL: the whole program
        rollout INTEGER,
        kind    TEXT NOT NULL,
        record  TEXT NOT NULL,      -- JSON
        who     TEXT,
        why     TEXT
    ) STRICT;
    INSERT INTO events (id, at, service, rollout, kind, record, who, why)
        SELECT id, iif(json_valid(record), coalesce(CAST(json_extract(record, '$.at') AS INTEGER), 0), 0),
               service, rollout, 'transition', record, who, why
        FROM transitions ORDER BY id;
    DROP TABLE transitions;
    CREATE INDEX events_of_rollout ON events (service, rollout, id);
    CREATE INDEX events_of_service ON events (service, id);
    CREATE INDEX events_of_no_rollout ON events (at) WHERE rollout IS NULL;

    ALTER TABLE rollouts ADD COLUMN steps INTEGER;
    CREATE INDEX rollouts_by_start ON rollouts (started);
";

const STANDING: &str = "
    CREATE TABLE holds (
        service         TEXT PRIMARY KEY,
        since           INTEGER NOT NULL,
        max_wait_micros INTEGER NOT NULL,
        max_waiting     INTEGER NOT NULL,
        who             TEXT NOT NULL,
        why             TEXT
    ) STRICT;

    CREATE TABLE drains (
        service TEXT NOT NULL,
        version TEXT NOT NULL,
        address TEXT NOT NULL,      -- ip:port
        since   INTEGER NOT NULL,
        who     TEXT NOT NULL,
        why     TEXT,
        PRIMARY KEY (service, version, address)
    ) STRICT, WITHOUT ROWID;
";

/// Names that containers stood for are known by their image, whatever its tags say.
const IMAGES: &str = "
    ALTER TABLE identities ADD COLUMN image_id TEXT;
    ALTER TABLE identities ADD COLUMN created TEXT;
    ALTER TABLE identities ADD COLUMN source TEXT;
";

const DRAINS_OF_CONTAINERS: &str = "
    CREATE TABLE drains_of_containers (
        service   TEXT NOT NULL,
        version   TEXT NOT NULL,
        address   TEXT NOT NULL,    -- ip:port
        container TEXT NOT NULL,    -- its id; empty: none
        since     INTEGER NOT NULL,
        who       TEXT NOT NULL,
        why       TEXT,
        PRIMARY KEY (service, version, address, container)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO drains_of_containers SELECT service, version, address, '', since, who, why FROM drains;
    DROP TABLE drains;
    ALTER TABLE drains_of_containers RENAME TO drains;
";

/// For another process's lock.
const BUSY: Duration = Duration::from_millis(50);

/// Opens the database, brings it to the newest schema and proves that it can be written.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let sqlite = |cause| StoreError::sqlite(path, cause);
    let mut connection = Connection::open(path).map_err(sqlite)?;
    // Whoever else writes to the file must not hold up control: what can't be saved at once is tried again.
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    // FULL: in WAL mode the default may lose the last commits at a power cut.
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .map_err(sqlite)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    migrate(&transaction, path)?;
    // A real write, so that a full disk shows now and not at the first decision.
    transaction
        .execute("UPDATE starts SET count = count + 1", [])
        .and_then(|_| transaction.commit())
        .map_err(sqlite)?;
    Ok(connection)
}

fn migrate(transaction: &Transaction<'_>, path: &Path) -> Result<(), StoreError> {
    let sqlite = |cause| StoreError::sqlite(path, cause);
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in &MIGRATIONS[done..] {
        transaction.execute_batch(step).map_err(sqlite)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(sqlite)
}
