//! The one writer: desired state, evidence, probe results and commands come in; decisions are saved, then acted on;
//! one snapshot goes out.

mod handle;
pub mod report;
pub mod store;

pub use handle::{Command, CommandError, Handle, Inbox, Message, ReloadError, ReloadRequest, Reloaded, Verb};
