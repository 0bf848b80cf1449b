//! The data plane on real sockets: hand-made snapshots, scripted endpoints, raw bytes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod admitting;
mod bodies;
#[path = "../shared/certificates.rs"]
mod certificates;
mod connections;
mod drain;
mod endpoint;
mod endpoints_http1;
mod endpoints_http2;
mod endpoints_tls;
mod faults;
mod frames;
mod gates;
mod grpc;
mod hold;
mod http1_client;
mod http2;
mod http2_client;
mod http2_floods;
mod http2_rules;
mod http2_streams;
mod limits;
mod lost;
mod origin;
mod proxy_protocol;
mod requests;
mod rescue;
mod retry;
mod split;
mod switch;
mod tls;
mod tls_clients;
mod tls_world;
mod tunnel;
mod tunnel_ends;
mod wire;
mod world;
