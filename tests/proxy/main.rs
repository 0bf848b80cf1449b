//! The data plane on real sockets: hand-made snapshots, scripted endpoints, raw bytes.

mod bodies;
mod connections;
mod drain;
mod faults;
mod http2;
mod requests;
mod split;
mod world;
