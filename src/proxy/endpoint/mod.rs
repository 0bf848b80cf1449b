//! The endpoints' side: which one is asked, on which connection, and who is asked next when it has no good answer.

pub(crate) mod connect;
pub(crate) mod forward;
pub(crate) mod http1;
mod http2;
pub(crate) mod outbound;
pub(crate) mod patience;
pub(crate) mod pool;
pub(crate) mod received;
pub(crate) mod rescue;
mod retry;
mod second;
pub(crate) mod socket;
mod tries;
mod waiting;
