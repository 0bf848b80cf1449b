//! Reading what happened, over a connection of its own: in WAL mode a reader never makes the writer wait, nor the other way
//! round. Everything here blocks on the disk: call it off the control thread.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Params, Row, params};
use serde_json::Value;
use tokio::sync::watch;

use super::story::{EventRecord, RolloutPage, RolloutStory, RolloutSummary, Told, moment, reason};
use crate::control::store::StoreError;
use crate::domain::ServiceName;

/// Events of one rollout that are told at most; a story of more is told from there on.
const TOLD: u32 = 2_000;

/// A rollout's line and the event that changed it last.
const SUMMARY: &str = "
    SELECT r.service, r.number, r.stable, r.canary, r.started, r.ended, r.outcome, r.steps, e.record, e.who, e.why
    FROM rollouts r LEFT JOIN events e ON e.id = (
        SELECT id FROM events
        WHERE service = r.service AND rollout = r.number AND kind = 'transition' ORDER BY id DESC LIMIT 1)";
/// Newest first, below a number.
pub(super) const PAGE: &str = "WHERE r.service = ?1 AND r.number < ?2 ORDER BY r.number DESC LIMIT ?3";
/// Newest first, over all services.
pub(super) const LATEST: &str = "ORDER BY r.started DESC LIMIT ?1";
/// One, or the last.
pub(super) const ONE: &str = "WHERE r.service = ?1 AND r.number = coalesce(?2, (
    SELECT max(number) FROM rollouts WHERE service = ?1))";

/// An event, and what follows a number.
const EVENT: &str = "SELECT id, at, service, rollout, kind, who, why, record FROM events";
pub(super) const OF_ROLLOUT: &str = "WHERE service = ?1 AND rollout = ?2 ORDER BY id DESC LIMIT ?3";
pub(super) const AFTER: &str = "WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(super) const AFTER_OF_SERVICE: &str = "WHERE service = ?3 AND id > ?1 ORDER BY id LIMIT ?2";

/// The journal, for readers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    file: Arc<File>,
    newest: watch::Receiver<u64>,
}

#[derive(Debug)]
struct File {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Journal {
    /// Opens what the store at `path` writes; `newest` is told the number of each event that is on the disk.
    ///
    /// # Errors
    /// When the file can't be opened for reading.
    pub(crate) fn open(path: &Path, newest: watch::Receiver<u64>) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(|cause| StoreError::sqlite(path, cause))?;
        let file = File { connection: Mutex::new(connection), path: path.to_owned() };
        Ok(Self { file: Arc::new(file), newest })
    }

    /// The number of the newest event; 0 before the first. Changes once an event is on the disk.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    /// At most `limit` rollouts of a service with numbers below `before`, newest first.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn rollouts(
        &self,
        service: &ServiceName,
        before: Option<u64>,
        limit: u32,
    ) -> Result<RolloutPage, StoreError> {
        // One more than asked for: then there is a next page.
        let rows = params![service.as_str(), before.map_or(i64::MAX, signed), i64::from(limit) + 1];
        let mut rollouts = self.read(&format!("{SUMMARY} {PAGE}"), rows, summary)?;
        let more = rollouts.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rollouts.pop();
        }
        let next = rollouts.last().filter(|_| more).map(|last| last.number);
        Ok(RolloutPage { rollouts, next })
    }

    /// The `limit` newest rollouts of all services.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn latest(&self, limit: u32) -> Result<RolloutPage, StoreError> {
        let rollouts = self.read(&format!("{SUMMARY} {LATEST}"), [limit], summary)?;
        Ok(RolloutPage { rollouts, next: None })
    }

    /// A rollout with all that happened in it; `number` `None`: the last one. `None` when there is none.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn story(
        &self,
        service: &ServiceName,
        number: Option<u64>,
    ) -> Result<Option<RolloutStory>, StoreError> {
        let one = params![service.as_str(), number.map(signed)];
        let Some(rollout) = self.read(&format!("{SUMMARY} {ONE}"), one, summary)?.pop() else {
            return Ok(None);
        };
        let of_rollout = params![service.as_str(), signed(rollout.number), TOLD];
        let mut events = self.read(&format!("{EVENT} {OF_ROLLOUT}"), of_rollout, event)?;
        events.reverse();
        let all = "SELECT count(*) FROM events WHERE service = ?1 AND rollout = ?2";
        let count = |row: &Row<'_>| row.get::<_, i64>(0);
        let all = self.read(all, params![service.as_str(), signed(rollout.number)], count)?;
        let all = all.first().and_then(|all| usize::try_from(*all).ok()).unwrap_or_default();
        let left_out = all.saturating_sub(events.len());
        let mut samples = Vec::new();
        let mut timeline: Vec<Told> = Vec::new();
        for event in events {
            match serde_json::from_value(event.record.clone()) {
                Ok(sample) if event.kind == "sample" => samples.push(sample),
                Ok(_) | Err(_) => timeline.push(event.told()),
            }
        }
        Ok(Some(RolloutStory { rollout, left_out, timeline, samples }))
    }

    /// The services with a recorded rollout, whether they are configured now or not.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn services(&self) -> Result<Vec<ServiceName>, StoreError> {
        self.read("SELECT DISTINCT service FROM rollouts ORDER BY service", [], |row| {
            Ok(ServiceName::from(row.get::<_, String>(0)?.as_str()))
        })
    }

    /// At most `limit` events with numbers above `id`, oldest first; of one service or of all.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn after(
        &self,
        id: u64,
        service: Option<&ServiceName>,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        match service {
            None => self.read(&format!("{EVENT} {AFTER}"), params![signed(id), limit], event),
            Some(service) => {
                let rows = params![signed(id), limit, service.as_str()];
                self.read(&format!("{EVENT} {AFTER_OF_SERVICE}"), rows, event)
            }
        }
    }

    fn read<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        // A reader that panicked left nothing half done: it only read.
        let connection = self.file.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = || -> rusqlite::Result<Vec<T>> {
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(parameters, row)?.collect()
        };
        rows().map_err(|cause| StoreError::sqlite(&self.file.path, cause))
    }

    #[cfg(test)]
    pub(super) fn plan(&self, select: Select, rest: &str) -> Vec<String> {
        let connection = self.file.connection.lock().unwrap();
        let head = match select {
            Select::Summary => SUMMARY,
            Select::Event => EVENT,
        };
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {head} {rest}")).unwrap();
        let parameters = vec![rusqlite::types::Value::Null; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// Which of the two kinds of rows a query is about.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) enum Select {
    Summary,
    Event,
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RolloutSummary> {
    let outcome: Option<String> = row.get(6)?;
    let last = row.get::<_, Option<String>>(8)?.map_or(Value::Null, value);
    let phase = last.get("to").and_then(Value::as_str).or(outcome.as_deref());
    Ok(RolloutSummary {
        service: row.get::<_, String>(0)?.as_str().into(),
        number: unsigned(row.get(1)?),
        stable: row.get::<_, String>(2)?.as_str().into(),
        canary: row.get::<_, String>(3)?.as_str().into(),
        started: moment(row.get(4)?),
        ended: row.get::<_, Option<i64>>(5)?.map(moment),
        phase: phase.unwrap_or("unknown").to_owned(),
        reason: reason(&last)
            .or_else(|| Some(last.get("reason")?.to_string()))
            .unwrap_or_else(|| "not recorded".to_owned()),
        step: last.get("step").and_then(Value::as_u64).unwrap_or(0),
        steps: row.get::<_, Option<i64>>(7)?.map(unsigned),
        who: row.get(9)?,
        why: row.get(10)?,
        outcome,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        id: unsigned(row.get(0)?),
        at: moment(row.get(1)?),
        service: row.get::<_, Option<String>>(2)?.map(|name| name.as_str().into()),
        rollout: row.get::<_, Option<i64>>(3)?.map(unsigned),
        kind: row.get(4)?,
        who: row.get(5)?,
        why: row.get(6)?,
        record: value(row.get(7)?),
    })
}

/// What was written, also if it is no JSON.
fn value(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
