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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::tempdir;

    use super::*;
    use crate::domain::rollout::{Action, Event, Hook, HookPoint, Operator, Otherwise, Plan, Wanted};
    use crate::domain::{Timestamp, VersionName};

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn hook(at: HookPoint) -> Hook {
        Hook {
            at,
            url: format!("http://ci.example/{at}"),
            timeout: Duration::from_secs(10),
            attempts: 3,
            otherwise: Otherwise::Pause,
            token_file: None,
        }
    }

    fn want(machine: &mut Machine, version: &str) -> Vec<Transition> {
        let hooks = [HookPoint::Start, HookPoint::Abort, HookPoint::Done].map(hook).to_vec();
        let plan = Plan { hooks, ..Plan::default() };
        let wanted = Wanted { release: &VersionName::from(version), plan: &plan, salt: (1, 2) };
        records(machine.on(NOW, Event::Wanted(wanted)))
    }

    fn records(actions: Vec<Action>) -> Vec<Transition> {
        let record = |action| match action {
            Action::Record(transition) => Some(transition),
            Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => None,
        };
        actions.into_iter().filter_map(record).collect()
    }

    /// A store that knows this machine, and what the letters are about once `transitions` were added.
    fn letters_after(before: &Machine, transitions: &[Transition]) -> (Store, Vec<(i64, Letter)>) {
        let dir = tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let text = serde_json::to_string(before).unwrap();
        let transaction = store.connection.transaction().unwrap();
        transaction.execute("INSERT INTO machines VALUES ('web', ?1, 0)", params![text]).unwrap();
        append(&transaction, &"web".into(), transitions.iter()).unwrap();
        transaction.commit().unwrap();
        let letters = store.letters().unwrap();
        (store, letters)
    }

    #[test]
    fn an_abort_is_written_to_the_hooks_of_the_abort_and_of_the_end() {
        let mut machine = Machine::first("v1".into());
        want(&mut machine, "v2");
        let before = machine.clone();
        let ended = records(machine.operator(NOW, Operator::Abort).unwrap());
        let (_store, letters) = letters_after(&before, &ended);
        let told: Vec<_> = letters.iter().map(|(id, letter)| (*id, letter.rollout)).collect();
        assert_eq!(told, [(1, 1), (2, 1)]);
    }

    #[test]
    fn a_rollout_that_is_replaced_is_over_too() {
        let mut machine = Machine::first("v1".into());
        want(&mut machine, "v2");
        let before = machine.clone();
        let replaced = want(&mut machine, "v3");
        let (_store, letters) = letters_after(&before, &replaced);
        assert_eq!(letters.len(), 1, "{letters:?}");
    }

    #[test]
    fn what_ends_nothing_is_told_to_nobody() {
        let mut machine = Machine::first("v1".into());
        let before = machine.clone();
        let begun = want(&mut machine, "v2");
        assert_eq!(letters_after(&before, &begun).1, []);
        let under_way = machine.clone();
        let paused = records(machine.operator(NOW, Operator::Pause).unwrap());
        assert_eq!(letters_after(&under_way, &paused).1, []);
    }

    #[test]
    fn a_letter_that_is_taken_out_is_gone_and_its_number_is_not_used_again() {
        let mut machine = Machine::first("v1".into());
        want(&mut machine, "v2");
        let before = machine.clone();
        let ended = records(machine.operator(NOW, Operator::Abort).unwrap());
        let (mut store, letters) = letters_after(&before, &ended);
        store.take_out(&[1, 2, 77]).unwrap();
        assert_eq!(store.letters().unwrap(), []);
        let transaction = store.connection.transaction().unwrap();
        append(&transaction, &"web".into(), ended.iter()).unwrap();
        transaction.commit().unwrap();
        let again: Vec<_> = store.letters().unwrap();
        assert_eq!(again.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(again[0].1, letters[0].1);
    }
}
