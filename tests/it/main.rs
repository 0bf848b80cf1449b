//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

mod harness;
mod layering;

mod aborting;
mod admin;
mod checks;
mod demo;
mod deploy;
mod failures;
mod health;
mod history;
mod hooks;
mod judging;
mod readme;
mod releasing;
mod reloading;
mod serving;
mod shutdown;
mod splitting;
mod strategies;
mod undo;
