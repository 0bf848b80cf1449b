//! The endpoints' side: which one is asked, on which connection, and who is asked next when it has no good answer.

pub(crate) mod forward;
pub(crate) mod pool;
pub(crate) mod rescue;
mod retry;
mod second;
pub(crate) mod socket;
mod tries;
