//! What control has decided, on disk: the machines, every rollout with its transitions for ever, and which image each
//! version name stood for. SQLite: a save that returned is there after kill -9 and after power loss.

mod deployments;
mod error;
mod events;
mod identity;
mod letters;
mod schema;
mod standing;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use tokio::sync::watch;

pub use error::StoreError;
pub use identity::Identity;
pub(crate) use identity::compare;
pub(crate) use standing::{DrainRecord, HoldRecord};

use super::journal::Entry;
use crate::domain::rollout::Machine;
use crate::domain::{ServiceName, Timestamp};

/// The database's file name in the state directory. SQLite keeps two more beside it, `-wal` and `-shm`.
const DATABASE: &str = "adit.db";
/// Locked while an Adit uses the directory. Holds that process's id.
const LOCK: &str = "adit.lock";

/// Keeps what control decides. One per state directory, over all processes.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// The newest event that is on the disk.
    newest: watch::Sender<u64>,
    /// Unlocked by the kernel when the process ends, however it ends. Dropped after the connection.
    _lock: File,
}

/// Who gave a command, and why, for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who says so.
    pub who: String,
    /// Why, if said.
    pub why: Option<String>,
}

impl Store {
    /// Opens the store in `dir`, made if it does not exist, and proves that it can be written.
    ///
    /// # Errors
    /// When the directory can't be made, read or written, when another Adit uses it, when the disk is full, and when
    /// the file there is damaged or was written by a newer Adit.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|cause| StoreError::directory(dir, cause))?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE);
        let connection = schema::open(&path)?;
        let newest = events::newest(&connection).map_err(|cause| StoreError::sqlite(&path, cause))?;
        Ok(Self { connection, path, newest: watch::Sender::new(newest), _lock: lock })
    }

    /// How many rows were ever written.
    #[cfg(test)]
    pub(crate) fn written(&self) -> u64 {
        self.connection.total_changes()
    }

    /// The machines of all services that were ever saved. Each has to be told
    /// [`Event::Restarted`](crate::domain::rollout::Event::Restarted) before anything else.
    ///
    /// # Errors
    /// When the file can't be read or a machine in it can't be understood.
    pub fn load(&self) -> Result<BTreeMap<ServiceName, Machine>, StoreError> {
        let rows = self.read("SELECT service, machine FROM machines", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.into_iter()
            .map(|(service, text)| {
                let machine =
                    serde_json::from_str(&text).map_err(|cause| self.unreadable(&service, cause))?;
                Ok((ServiceName::from(service.as_str()), machine))
            })
            .collect()
    }

    /// Keeps a machine and appends what happened, its transitions among it, all or nothing. When it returns, it is on the disk.
    ///
    /// # Errors
    /// When it could not be kept; then nothing of it was, and the store can still be used.
    pub fn save(
        &mut self,
        at: Timestamp,
        service: &ServiceName,
        machine: &Machine,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let text = self.encode(service, machine)?;
        self.write(|transaction| {
            letters::append(transaction, service, entries.iter().filter_map(Entry::as_transition))?;
            transaction.execute(
                "INSERT INTO machines (service, machine, saved_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (service) DO UPDATE SET machine = ?2, saved_at = ?3",
                params![service.as_str(), text, micros(at)],
            )?;
            events::append(transaction, Some(machine), entries)
        })
    }

    /// The machine as text that is sure to be understood again: a number that JSON can't hold, kept now, would keep
    /// Adit from starting later.
    fn encode(&self, service: &ServiceName, machine: &Machine) -> Result<String, StoreError> {
        serde_json::to_string(machine)
            .and_then(|text| serde_json::from_str::<Machine>(&text).map(|_| text))
            .map_err(|cause| self.unreadable(service.as_str(), cause))
    }

    fn read<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(parameters, row)?.collect()
        };
        rows().map_err(|cause| StoreError::sqlite(&self.path, cause))
    }

    fn unreadable(&self, service: &str, cause: serde_json::Error) -> StoreError {
        StoreError::Unreadable { path: self.path.clone(), service: service.to_owned(), cause }
    }
}

/// Takes the directory for this process. Two that decide about the same traffic would undo each other's decisions.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let directory = |cause| StoreError::directory(dir, cause);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(directory)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a help in the message, no more: what can't be read is left out of it.
            let read = (&file).take(32).read_to_string(&mut holder);
            let holder = read.ok().and_then(|_| holder.trim().parse().ok());
            return Err(StoreError::InUse { dir: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(cause)) => return Err(directory(cause)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(directory)?;
    Ok(file)
}

/// As SQLite keeps it: signed. The year 294,000 and later becomes that year.
fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;
