//! What became of an endpoint that was judged, and why, with the numbers, for people.

use std::fmt;
use std::time::Duration;

use super::span::Span;
use super::window;
use crate::domain::Timestamp;

/// What became of an endpoint. `Display` says it to people.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is out. The caller now has its streak of failures forgiven (`EndpointCells::forgive`), so that it does not
    /// come back with the past held against it.
    Ejected {
        /// When it comes back on probation.
        until: Timestamp,
        /// For what, and how long.
        why: Why,
    },
    /// It may show with one request at a time whether it is well again.
    OnProbation,
    /// It is back.
    Restored,
}

/// Why an endpoint was ejected, with the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// What it did.
    pub cause: Cause,
    /// How long it is out.
    pub lasts: Duration,
    /// Ejections in a row, this one included.
    pub times: u32,
}

/// What an endpoint did to be ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many failures without a success between them.
    InARow {
        /// At least `consecutive_failures`.
        failures: u32,
    },
    /// Half of its attempts or more failed within ten seconds.
    Share {
        /// At least half of `attempts`.
        failures: u64,
        /// At least 20.
        attempts: u64,
    },
    /// It failed while on probation.
    OnProbation,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ejected { why, .. } => write!(f, "ejected: {why}"),
            Self::OnProbation => f.write_str("on probation: one request at a time until one goes well"),
            Self::Restored => f.write_str("restored: a request on probation went well"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; out for {}", self.cause, Span(self.lasts))?;
        match self.times {
            1 => Ok(()),
            times => write!(f, " (ejection {times} in a row)"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow { failures } => write!(f, "{failures} failures in a row"),
            Self::Share { failures, attempts } => {
                write!(f, "{failures} of {attempts} attempts failed within {}", Span(window::LENGTH))
            }
            Self::OnProbation => f.write_str("failed on probation"),
        }
    }
}
