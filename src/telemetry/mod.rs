//! What the outside sees of what happens: metrics and the access log.

mod access_log;

pub use access_log::{AccessLog, Entry, LogWriter};
