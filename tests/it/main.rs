//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

mod harness;
mod layering;

mod admin;
mod demo;
mod drain_endpoint;
mod failures;
mod health;
mod hold;
mod readme;
mod releasing;
mod reloading;
mod rescue;
mod serving;
mod shutdown;
mod splitting;
