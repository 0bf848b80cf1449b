//! How much clients may take of us, and for how long.

use std::time::Duration;

/// What holds for every client, whatever it asks for. A connection keeps those that it began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, over all workers; others wait in the kernel's queue. Default 32768, and never more than the
    /// process' open files allow.
    pub connections: u32,
    /// Connections at once of one client address (of IPv6: one /64); others are closed. Default: no limit.
    pub connections_per_client: Option<u32>,
    /// A client that connects and says nothing. Default 5 s.
    pub first_byte: Duration,
    /// A TLS handshake. Default 5 s.
    pub tls_handshake: Duration,
    /// From a request's first byte until its head is whole. Default 10 s.
    pub head: Duration,
    /// Between two requests, ±10 %. Default 75 s.
    pub idle: Duration,
    /// The age after which a connection ends with its next request, ±10 %. Default 1 h.
    pub age: Duration,
    /// Requests on one connection; the last of them ends it. Default 10,000.
    pub requests: u64,
    /// A request's head as HTTP/2 counts it (RFC 9113 section 6.5.2): names and values, and 32 a field. Default 32 KiB.
    pub header_bytes: u32,
    /// Fields of a request; of HTTP/2 each crumb of a cookie is one. Default 100.
    pub header_fields: usize,
    /// Names and values of a request's trailers. Default 8 KiB.
    pub trailer_bytes: usize,
    /// A request's path and query. Default 16 KiB.
    pub target_bytes: usize,
    /// Streams at once of one HTTP/2 connection. Default 100.
    pub http2_streams: u32,
    /// What the client may send unasked for on one HTTP/2 stream. Default 256 KiB.
    pub http2_stream_window: u32,
    /// The same for all streams of a connection. Default 1 MiB.
    pub http2_connection_window: u32,
}

/// What holds for the requests of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// The largest request body in bytes. Default: no limit.
    pub max_body: Option<u64>,
    /// Between two pieces of a request's body. Default 30 s.
    pub body_idle: Duration,
    /// Bytes a second that the client must send of a body, over every ten seconds of waiting for it. Default: no limit.
    pub min_rate: Option<u64>,
    /// Requests being answered at once, over all workers. Default: no limit.
    pub max_in_flight: Option<u32>,
    /// So many others wait for their turn. Default 100.
    pub queue: u32,
    /// For so long. Default 1 s.
    pub queue_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32 * 1024,
            connections_per_client: None,
            first_byte: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            age: Duration::from_secs(3600),
            requests: 10_000,
            header_bytes: 32 * 1024,
            header_fields: 100,
            trailer_bytes: 8 * 1024,
            target_bytes: 16 * 1024,
            http2_streams: 100,
            http2_stream_window: 256 * 1024,
            http2_connection_window: 1024 * 1024,
        }
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            max_body: None,
            body_idle: Duration::from_secs(30),
            min_rate: None,
            max_in_flight: None,
            queue: 100,
            queue_wait: Duration::from_secs(1),
        }
    }
}
