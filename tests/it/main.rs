//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

mod harness;
mod layering;

mod admin;
mod demo;
mod failures;
mod health;
mod kill;
mod readme;
mod releasing;
mod reloading;
mod serving;
mod shutdown;
mod simulate;
mod splitting;
