//! What happened, for ever: what is written down (entries), and how it is read again (stories). Control is the only one
//! that writes; readers have a connection of their own and never make it wait.

mod entry;
mod outbox;
mod reader;
mod story;

pub use entry::{CommandOutcome, Entry, Fact};
pub(crate) use outbox::Outbox;
pub use reader::Journal;
pub use story::{Change, EventRecord, RolloutPage, RolloutStory, RolloutSummary, Sample, Told};

#[cfg(test)]
mod tests;
