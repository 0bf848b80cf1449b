//! The admin API: how things stand, and the verbs, over HTTP. It asks control and passes the answer on; it decides
//! nothing about a release itself.

mod bind;
mod commands;
mod deploy;
mod events;
mod guard;
mod history;
mod images;
mod problem;
mod routes;
mod serve;
mod traffic;

pub use bind::{BindError, Bound, bind};
pub use commands::WHO;
pub use problem::{Code, Problem};
pub use routes::Readiness;
pub use serve::serve;

#[cfg(test)]
mod tests;
