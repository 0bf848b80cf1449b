//! The pure core: no tokio, no hyper, no files, sockets, clock or randomness. What decides lives here and is
//! told everything it needs. Enforced by `tests/it/layering.rs`.

pub mod container;
mod names;
pub mod proxy_protocol;
pub mod rollout;
pub mod routing;
pub mod stats;
mod time;
mod weight;

pub use names::{ServiceName, VersionName};
pub use time::Timestamp;
pub use weight::{NotAWeight, Weight};
