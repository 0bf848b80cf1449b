//! The generator: one thread, epoll, many connections, every answer compared to the byte.
//!
//! - **Closed loop**: each connection asks again as soon as it has its answer. For throughput and CPU per request.
//! - **Open loop**: requests are due at a fixed rate, whatever the answers do; a latency runs from when the request was DUE,
//!   so that a contender that stalls pays for all who had to wait meanwhile (no coordinated omission).

mod answer;
mod client;
mod generator;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
pub use tls::Resumption;

/// What is to be asked, how often, for how long.
#[derive(Clone)]
pub struct Plan {
    pub port: u16,
    pub connections: usize,
    /// Whole requests, asked in turn.
    pub requests: Vec<Arc<[u8]>>,
    /// The body that each answer must have.
    pub body: Arc<[u8]>,
    pub pace: Pace,
    pub reuse: Reuse,
    pub tls: Option<Resumption>,
    pub warmup: Duration,
    /// So many windows of that length follow the warm-up; each is counted by itself.
    pub windows: usize,
    pub window: Duration,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    Closed,
    /// Requests per second.
    Open(f64),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Reuse {
    KeepAlive,
    /// A connection carries one request, which says `Connection: close`.
    Once,
}

/// What a window saw.
pub struct Tally {
    pub answers: u64,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    /// Connections that the other side ended although it was asked to keep them.
    pub reconnects: u64,
    pub handshakes: Handshakes,
    pub elapsed: Duration,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Handshakes {
    pub full: u64,
    pub resumed: u64,
}

/// Does it. `boundary` is called where the first window begins and where each ends.
pub fn run(plan: &Plan, boundary: &mut dyn FnMut()) -> io::Result<Vec<Tally>> {
    generator::Generator::new(plan)?.run(boundary)
}

/// A request without a body.
pub fn get(host: &str, path: &str, reuse: Reuse) -> Arc<[u8]> {
    let close = if reuse == Reuse::Once { "Connection: close\r\n" } else { "" };
    let fields = "User-Agent: peers/1\r\nAccept: */*\r\nAccept-Encoding: identity\r\n";
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{close}\r\n").into_bytes().into()
}

/// A request with a body: of known length, or in chunks of 16 KiB.
pub fn post(path: &str, body: &[u8], framing: Framing) -> Arc<[u8]> {
    let announced = match framing {
        Framing::Length => format!("Content-Length: {}", body.len()),
        Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
    };
    let fields = "User-Agent: peers/1\r\nAccept: */*\r\nContent-Type: application/octet-stream\r\n";
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}{announced}\r\n\r\n");
    let mut request = head.into_bytes();
    match framing {
        Framing::Length => request.extend_from_slice(body),
        Framing::Chunked => {
            for chunk in body.chunks(16 << 10) {
                request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                request.extend_from_slice(chunk);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
        }
    }
    request.into()
}

#[derive(Clone, Copy, PartialEq)]
pub enum Framing {
    Length,
    Chunked,
}

impl Tally {
    fn new() -> Tally {
        let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds in order");
        Tally {
            answers: 0,
            errors: BTreeMap::new(),
            latency,
            reconnects: 0,
            handshakes: Handshakes::default(),
            elapsed: Duration::ZERO,
        }
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// In microseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}
