//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

mod harness;
mod layering;

mod aborting;
mod access;
mod admin;
mod checks;
mod demo;
mod deploy;
mod drain_endpoint;
mod failures;
mod fuzz_corpus;
mod health;
mod history;
mod hold;
mod hooks;
mod judging;
mod kill;
mod other_makers;
mod other_proxies;
mod readme;
mod releasing;
mod reloading;
mod rescue;
mod serving;
mod shutdown;
mod simulate;
mod splitting;
mod strategies;
mod undo;
