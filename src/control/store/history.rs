//! Every rollout with its transitions, for ever.

use rusqlite::{Transaction, params};

use super::{By, Store, StoreError, micros, timestamp};
use crate::domain::rollout::{End, Transition};
use crate::domain::{ServiceName, Timestamp, VersionName};

/// A rollout as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutRecord {
    /// Counts up per service from 1.
    pub number: u64,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while under way.
    pub ended: Option<Timestamp>,
    /// How it ended; `None` while under way.
    pub end: Option<End>,
    /// Its changes, oldest first.
    pub transitions: Vec<TransitionRecord>,
}

/// A change as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct TransitionRecord {
    /// The change.
    pub transition: Transition,
    /// Whose command it was; `None` when Adit made it by itself.
    pub by: Option<By>,
}

impl Store {
    /// The last `limit` rollouts of a service, newest first.
    ///
    /// # Errors
    /// When the file can't be read or a record in it can't be understood.
    pub fn history(&self, service: &ServiceName, limit: u32) -> Result<Vec<RolloutRecord>, StoreError> {
        let mut rollouts = self.read(
            "SELECT number, stable, canary, started, ended FROM rollouts
             WHERE service = ?1 ORDER BY number DESC LIMIT ?2",
            params![service.as_str(), limit],
            |row| {
                Ok(RolloutRecord {
                    number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                    stable: row.get::<_, String>(1)?.as_str().into(),
                    canary: row.get::<_, String>(2)?.as_str().into(),
                    started: timestamp(row.get(3)?),
                    ended: row.get::<_, Option<i64>>(4)?.map(timestamp),
                    end: None,
                    transitions: Vec::new(),
                })
            },
        )?;
        for rollout in &mut rollouts {
            rollout.transitions = self.transitions(service, rollout.number)?;
            rollout.end = rollout.transitions.last().and_then(|last| last.transition.to.end());
        }
        Ok(rollouts)
    }

    fn transitions(&self, service: &ServiceName, rollout: u64) -> Result<Vec<TransitionRecord>, StoreError> {
        let rows = self.read(
            "SELECT record, who, why FROM transitions WHERE service = ?1 AND rollout = ?2 ORDER BY id",
            params![service.as_str(), number(rollout)],
            |row| {
                let by = row.get::<_, Option<String>>(1)?;
                let why = row.get(2)?;
                Ok((row.get::<_, String>(0)?, by.map(|who| By { who, why })))
            },
        )?;
        rows.into_iter()
            .map(|(record, by)| {
                let transition = serde_json::from_str(&record)
                    .map_err(|cause| self.unreadable(service.as_str(), cause))?;
                Ok(TransitionRecord { transition, by })
            })
            .collect()
    }
}

/// Appends what happened.
pub(super) fn append(
    transaction: &Transaction<'_>,
    service: &ServiceName,
    transitions: &[Transition],
    by: Option<&By>,
) -> rusqlite::Result<()> {
    for transition in transitions {
        book(transaction, service, transition)?;
        let record = serde_json::to_string(transition)
            .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
        transaction.execute(
            "INSERT INTO transitions (service, rollout, record, who, why) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                service.as_str(),
                number(transition.rollout),
                record,
                by.map(|by| &by.who),
                by.and_then(|by| by.why.as_ref())
            ],
        )?;
    }
    Ok(())
}

/// Keeps the rollout's line up to date: its first transition begins it, its last ends it.
fn book(
    transaction: &Transaction<'_>,
    service: &ServiceName,
    transition: &Transition,
) -> rusqlite::Result<()> {
    let end = transition.to.end();
    transaction.execute(
        "INSERT INTO rollouts (service, number, stable, canary, started, ended, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (service, number) DO UPDATE SET ended = ?6, outcome = ?7",
        params![
            service.as_str(),
            number(transition.rollout),
            transition.stable.as_str(),
            transition.canary.as_str(),
            micros(transition.at),
            end.map(|_| micros(transition.at)),
            end.map(|end| end.phase().as_str())
        ],
    )?;
    Ok(())
}

fn number(rollout: u64) -> i64 {
    i64::try_from(rollout).unwrap_or(i64::MAX)
}
