//! Where desired state comes from.

mod dns;

pub use dns::{Found, Names};
