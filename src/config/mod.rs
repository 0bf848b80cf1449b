//! Text to meaning, without I/O: what was typed, what it means, and what is wrong with it.

pub mod spec;
