//! What hooks are still to be told of a rollout's end: written together with the end itself, gone once it was delivered
//! or given up.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, StoreError};
use crate::domain::ServiceName;
use crate::domain::rollout::{Machine, Transition};
use crate::external::Letter;

/// Its place in the list of migrations is its own.
pub(super) const MIGRATION: &str = "
    CREATE TABLE letters (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        letter TEXT NOT NULL      -- JSON
    ) STRICT;
";

/// Letters read at once; the rest follows when these are gone.
const READ: u32 = 256;

impl Store {
    /// The oldest letters that are neither delivered nor given up, at most 256, oldest first, each with its number.
    ///
    /// # Errors
    /// When the file can't be read or a letter in it can't be understood.
    pub fn letters(&self) -> Result<Vec<(i64, Letter)>, StoreError> {
        let rows =
            self.read("SELECT id, letter FROM letters ORDER BY id LIMIT ?1", params![READ], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
        rows.into_iter()
            .map(|(id, text)| {
                let letter =
                    serde_json::from_str(&text).map_err(|cause| self.unreadable("letters", cause))?;
                Ok((id, letter))
            })
            .collect()
    }

    /// Takes letters out that were delivered or given up. Those that are not there (any more) are passed over.
    ///
    /// # Errors
    /// When the file can't be written; then all of them stay.
    pub fn take_out(&mut self, letters: &[i64]) -> Result<(), StoreError> {
        let mut take = || {
            let transaction = self.connection.transaction()?;
            for id in letters {
                transaction.execute("DELETE FROM letters WHERE id = ?1", params![id])?;
            }
            transaction.commit()
        };
        take().map_err(|cause| StoreError::sqlite(&self.path, cause))
    }
}

/// Adds what hooks are to be told of `transitions`. Comes before the machine itself is written: the rollout that ended is
/// still in the record of the time before.
pub(super) fn append<'t>(
    transaction: &Transaction<'_>,
    service: &ServiceName,
    transitions: impl Iterator<Item = &'t Transition>,
) -> rusqlite::Result<()> {
    let mut ends = transitions.filter(|transition| transition.to.end().is_some()).peekable();
    if ends.peek().is_none() {
        return Ok(());
    }
    let before: Option<String> = transaction
        .query_row("SELECT machine FROM machines WHERE service = ?1", params![service.as_str()], |row| {
            row.get(0)
        })
        .optional()?;
    // What can't be understood was reported when it was loaded; it is about to be replaced.
    let before: Option<Machine> = before.and_then(|text| serde_json::from_str(&text).ok());
    let Some(rollout) = before.as_ref().and_then(Machine::rollout) else { return Ok(()) };
    for transition in ends.filter(|transition| transition.rollout == rollout.number) {
        for letter in Letter::about(service, rollout, transition) {
            let text = serde_json::to_string(&letter)
                .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
            transaction.execute("INSERT INTO letters (letter) VALUES (?1)", params![text])?;
        }
    }
    Ok(())
}
