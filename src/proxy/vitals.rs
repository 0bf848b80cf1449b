//! How the workers are: numbers of connections, none of requests. Summed over all, touched when a connection begins or
//! ends.

use std::sync::atomic::{AtomicU64, Ordering};

/// How the workers are, summed over all. Readable from any thread.
#[derive(Debug, Default)]
pub struct Vitals {
    pub(super) panics: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) handshakes: [AtomicU64; Handshake::ALL.len()],
    turned_away: [AtomicU64; Turned::ALL.len()],
}

/// Why a client's connection was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Its client has as many as one may have.
    ClientLimit,
    /// The system gave no file for it, or no memory. It waits in the kernel's queue; every try counts.
    NoResources,
    /// It must begin with a PROXY header, and that was missing, wrong, or not to be believed.
    ProxyHeader,
}

/// How a TLS handshake went. All of it is the client's doing or the network's: it counts for no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Agreed.
    Done,
    /// The client had no certificate, or not a valid one.
    ClientCertificate,
    /// Not over in time, or the program ended.
    TimedOut,
    /// Nothing in common, not TLS, broken off.
    Failed,
}

impl Vitals {
    /// Panics that ended a connection or a request and nothing else.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// TLS handshakes that went so.
    pub fn handshakes(&self, how: Handshake) -> u64 {
        self.handshakes[how.index()].load(Ordering::Relaxed)
    }

    /// Connections of clients that are open.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that were not taken in, by reason.
    pub fn turned_away(&self) -> [(Turned, u64); Turned::ALL.len()] {
        Turned::ALL.map(|why| (why, self.turned_away[why as usize].load(Ordering::Relaxed)))
    }

    pub(super) fn turned(&self, why: Turned) {
        self.turned_away[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Turned {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClientLimit, Self::NoResources, Self::ProxyHeader];

    /// As metrics show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientLimit => "client_limit",
            Self::NoResources => "no_resources",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

impl Handshake {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Done, Self::ClientCertificate, Self::TimedOut, Self::Failed];

    /// As metrics show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "success",
            Self::ClientCertificate => "client_certificate",
            Self::TimedOut => "timeout",
            Self::Failed => "failure",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}
