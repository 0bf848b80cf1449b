//! The one writer: desired state, evidence, probe results and commands come in; decisions are saved, then acted on;
//! one snapshot goes out.

mod advice;
mod apply;
mod compile;
mod containers;
#[allow(clippy::module_inception, reason = "the room's main piece is the loop, and the loop is control")]
mod control;
mod decide;
mod deploy;
mod describe;
mod drain;
mod endpoints;
mod engine;
mod evidence;
mod handle;
mod hold;
pub mod journal;
#[cfg(test)]
mod many;
mod outside;
mod pace;
mod probed;
mod record;
mod recover;
mod refuse;
pub mod report;
#[cfg(test)]
mod seen;
mod service;
mod store;
mod turn;
mod undo;

pub use control::{Control, Surroundings};
pub use deploy::{DeployError, DeployOrder};
pub use drain::{DrainOrder, DrainVerb};
pub use handle::{Command, CommandError, Handle, Inbox, Message, ReloadError, ReloadRequest, Reloaded, Verb};
pub use hold::{HoldOrder, HoldVerb};
pub use journal::Journal;
pub use store::{By, Identity, Store, StoreError};
