//! Where desired state comes from.

mod dns;
pub mod docker;
pub mod file;

pub use dns::{Found, Names};
