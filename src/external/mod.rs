//! Who else is asked and told over HTTP: hooks at the points of a rollout, and checks that measure. Decides nothing: what
//! comes back is reported to control.
//!
//! Every call runs as a task of its runner and is cancelled when it is no longer wanted: nothing here can delay a
//! decision, least of all an abort.

mod call;
mod checks;
mod client;
mod hooks;
mod message;
mod notices;
mod prometheus;

pub use checks::{Checks, Round, RoundId};
pub use client::Client;
pub use hooks::{GateId, Gates, Question};
pub use message::Message;
pub use notices::{Letter, Notices};

use crate::domain::ServiceName;
use crate::domain::rollout::{GateAnswer, Measured};

/// What came back. It may be about something that is no longer wanted: then it is to be passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// All hooks of a gate have answered, or one has said enough.
    Answered(GateId, GateAnswer),
    /// This letter was taken, or given up: then with the reason.
    Posted(i64, Result<(), String>),
    /// One more measurement of a check.
    Measured {
        /// Of this service.
        service: ServiceName,
        /// In its rollout of this number.
        rollout: u64,
        /// The check's index in the plan.
        check: usize,
        /// How it stands now.
        measured: Measured,
    },
}

#[cfg(test)]
mod server;
