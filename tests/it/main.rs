//! The whole program, by capability: the real binary, real sockets, scripted endpoints.
#![cfg(unix)]

#[path = "../shared/certificates.rs"]
mod certificates;
mod harness;
mod layering;

mod aborting;
mod access;
mod admin;
mod checks;
mod demo;
mod deploy;
mod drain_endpoint;
mod endpoint_protocols;
mod failures;
mod fuzz_corpus;
mod grpc;
mod health;
mod history;
mod hold;
mod hooks;
mod idle;
mod images;
mod judging;
mod kill;
mod limits;
mod other_makers;
mod other_proxies;
mod readme;
mod real_clients;
mod releasing;
mod reloading;
mod rescue;
mod serving;
mod shutdown;
mod simulate;
mod slow;
mod splitting;
mod spoiling;
mod strategies;
mod tls;
mod undo;
mod websocket;
