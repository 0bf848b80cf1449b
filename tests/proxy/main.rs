//! The data plane on real sockets: hand-made snapshots, scripted endpoints, raw bytes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod admitting;
mod bodies;
mod connections;
mod drain;
mod endpoint;
mod faults;
mod hold;
mod http2;
mod origin;
mod proxy_protocol;
mod requests;
mod rescue;
mod retry;
mod split;
mod wire;
mod world;
