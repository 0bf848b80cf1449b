//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

mod harness;
mod layering;
