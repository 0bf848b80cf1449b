//! Where desired state comes from.

pub mod dns;

pub use dns::{Found, Names};
pub mod file;
