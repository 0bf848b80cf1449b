//! The data plane on real sockets: hand-made snapshots, scripted endpoints, raw bytes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bodies;
mod connections;
mod drain;
mod endpoint;
mod faults;
mod gates;
mod hold;
mod http2;
mod limits;
mod requests;
mod rescue;
mod split;
mod wire;
mod world;
