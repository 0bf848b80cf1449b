//! The command line: one verb, one file.

mod check;
