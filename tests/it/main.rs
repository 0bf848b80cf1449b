//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

mod harness;
mod layering;

mod aborting;
mod admin;
mod checks;
mod demo;
mod deploy;
mod drain_endpoint;
mod failures;
mod health;
mod history;
mod hold;
mod hooks;
mod idle;
mod judging;
mod kill;
mod limits;
mod other_makers;
mod readme;
mod releasing;
mod reloading;
mod rescue;
mod serving;
mod shutdown;
mod simulate;
mod slow;
mod splitting;
mod strategies;
mod undo;
