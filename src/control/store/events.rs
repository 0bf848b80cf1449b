//! What happened, written down for ever, and let go when an operator says so.

use rusqlite::{Transaction, TransactionBehavior, params};

use super::{Store, StoreError, micros};
use crate::config::spec::Keep;
use crate::control::journal::{Entry, Fact, Journal};
use crate::domain::rollout::{Machine, Transition};
use crate::domain::stats::SAMPLES;
use crate::domain::{ServiceName, Timestamp};

/// Rollouts that are let go at a time: control must not stand still for a history of years.
const AT_A_TIME: u32 = 10;
/// Events of no rollout that are let go at a time.
const OTHERS_AT_A_TIME: u32 = 500;

impl Store {
    /// Readers of what is written here.
    ///
    /// # Errors
    /// When the file can't be opened for reading.
    pub fn journal(&self) -> Result<Journal, StoreError> {
        Journal::open(&self.path, self.newest.subscribe())
    }

    /// Writes down what happened without a decision. When it returns, it is on the disk.
    ///
    /// # Errors
    /// When it could not be kept; then nothing of it was.
    pub fn note(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(|transaction| append(transaction, None, entries))
    }

    /// Lets go of rollouts that ended and that nobody wants to keep, never of a service's last one, nor of its machine.
    /// Says whether there may be more.
    ///
    /// # Errors
    /// When the file can't be written; then nothing was let go.
    pub fn prune(&mut self, now: Timestamp, keep: Keep) -> Result<bool, StoreError> {
        if keep == Keep::default() {
            return Ok(false);
        }
        let before = keep
            .age
            .map(|age| micros(Timestamp::from_epoch((now - Timestamp::default()).saturating_sub(age))));
        self.write(|transaction| {
            let gone = doomed(transaction, before, keep.rollouts)?;
            for (service, number) in &gone {
                transaction.execute(
                    "DELETE FROM events WHERE service = ?1 AND rollout = ?2",
                    params![service, number],
                )?;
                transaction.execute(
                    "DELETE FROM rollouts WHERE service = ?1 AND number = ?2",
                    params![service, number],
                )?;
            }
            // What belongs to no rollout goes with the rollouts of its time.
            let first: Option<i64> =
                transaction.query_row("SELECT min(started) FROM rollouts", [], |row| row.get(0))?;
            let horizon = before.or(first.filter(|_| !gone.is_empty()));
            let others = transaction.execute(
                "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE rollout IS NULL AND at < ?1 LIMIT ?2)",
                params![horizon, OTHERS_AT_A_TIME],
            )?;
            let full = |gone: usize, most: u32| u32::try_from(gone).is_ok_and(|gone| gone >= most);
            Ok(full(gone.len(), AT_A_TIME) || full(others, OTHERS_AT_A_TIME))
        })
    }

    /// One statement, by itself.
    pub(super) fn execute(&mut self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), StoreError> {
        self.write(|transaction| transaction.execute(sql, parameters).map(drop))
    }

    /// Does it all or nothing, then tells readers what is new.
    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let sqlite = |cause| StoreError::sqlite(&self.path, cause);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        let done = change(&transaction).map_err(sqlite)?;
        let newest = newest(&transaction).map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
        self.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        Ok(done)
    }
}

/// The number of the newest event, also if that one was let go.
pub(super) fn newest(connection: &rusqlite::Connection) -> rusqlite::Result<u64> {
    let newest: i64 = connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'",
        [],
        |row| row.get(0),
    )?;
    Ok(u64::try_from(newest).unwrap_or(0))
}

/// Appends what happened. `machine`: the one that the transitions are of, for what they don't say themselves.
pub(super) fn append(
    transaction: &Transaction<'_>,
    machine: Option<&Machine>,
    entries: &[Entry],
) -> rusqlite::Result<()> {
    for entry in entries {
        if let (Fact::Transition(transition), Some(service)) = (&entry.fact, &entry.service) {
            book(transaction, service, transition, machine)?;
        }
        insert(transaction, entry)?;
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    // A rollout that lives through many restarts has no more samples than one that lives through none.
    const SQL: &str = "
        INSERT INTO events (at, service, rollout, kind, record, who, why)
        SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE ?4 <> 'sample' OR ?8 > (
            SELECT count(*) FROM events WHERE service = ?2 AND rollout = ?3 AND kind = 'sample')";
    let record =
        entry.fact.record().map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
    transaction.prepare_cached(SQL)?.execute(params![
        micros(entry.at),
        entry.service.as_ref().map(ServiceName::as_str),
        entry.rollout.map(number),
        entry.fact.kind(),
        record,
        entry.by.as_ref().map(|by| &by.who),
        entry.by.as_ref().and_then(|by| by.why.as_ref()),
        i64::try_from(SAMPLES).unwrap_or(i64::MAX),
    ])?;
    Ok(())
}

/// Keeps the rollout's line up to date: its first transition begins it, its last ends it.
fn book(
    transaction: &Transaction<'_>,
    service: &ServiceName,
    transition: &Transition,
    machine: Option<&Machine>,
) -> rusqlite::Result<()> {
    let end = transition.to.end();
    transaction.execute(
        "INSERT INTO rollouts (service, number, stable, canary, started, ended, outcome, steps)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (service, number) DO UPDATE SET ended = ?6, outcome = ?7, steps = coalesce(?8, steps)",
        params![
            service.as_str(),
            number(transition.rollout),
            transition.stable.as_str(),
            transition.canary.as_str(),
            micros(transition.at),
            end.map(|_| micros(transition.at)),
            end.map(|end| end.phase().as_str()),
            machine.and_then(|machine| steps(machine, transition.rollout)),
        ],
    )?;
    Ok(())
}

/// How many steps the plan of this rollout has.
fn steps(machine: &Machine, rollout: u64) -> Option<i64> {
    let under_way = machine.rollout().filter(|it| it.number == rollout).map(|it| it.plan.steps.len());
    let ended = || machine.last().filter(|it| it.number == rollout).map(|it| it.steps);
    under_way.or_else(ended).and_then(|steps| i64::try_from(steps).ok())
}

/// Rollouts that may be let go: ended, not the last of their service, and too old or too many.
fn doomed(
    transaction: &Transaction<'_>,
    before: Option<i64>,
    keep: Option<u32>,
) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut statement = transaction.prepare(
        "SELECT r.service, r.number FROM rollouts r
         JOIN (SELECT service, max(number) AS last FROM rollouts GROUP BY service) s ON s.service = r.service
         WHERE r.ended IS NOT NULL AND r.number < s.last AND (r.ended < ?1 OR r.number <= s.last - ?2)
         ORDER BY r.started LIMIT ?3",
    )?;
    statement.query_map(params![before, keep, AT_A_TIME], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn number(rollout: u64) -> i64 {
    i64::try_from(rollout).unwrap_or(i64::MAX)
}
