//! The one writer: desired state, evidence, probe results and commands come in; decisions are saved, then acted on;
//! one snapshot goes out.

mod apply;
mod compile;
#[allow(clippy::module_inception, reason = "the room's main piece is the loop, and the loop is control")]
mod control;
mod decide;
mod describe;
mod drain;
mod endpoints;
mod evidence;
mod handle;
mod hold;
pub mod report;
mod service;
mod store;

pub use control::{Control, Surroundings};
pub use drain::{DrainOrder, DrainVerb};
pub use handle::{Command, CommandError, Handle, Inbox, Message, ReloadError, ReloadRequest, Reloaded, Verb};
pub use hold::{HoldOrder, HoldVerb};
pub use store::{By, Identity, RolloutRecord, Store, StoreError, TransitionRecord};
