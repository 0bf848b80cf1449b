//! What is measured. The order is that of the report; neighbours with the same shapes share running contenders.

use crate::load::{Framing, Resumption, Reuse};
use crate::peers::{Kind, Logs, PLAIN, Shape};

pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    /// Contenders of all these shapes take turns.
    pub shapes: &'static [Shape],
    pub work: Work,
    pub against: Against,
}

pub enum Work {
    /// Closed loop.
    Load(Load),
    /// HTTP/2, by h2load.
    H2(Wire),
    /// Open loop at half of what HAProxy can do.
    Latency,
    /// Memory of connections that do nothing.
    Idle,
    /// A reload under load.
    Reload,
}

pub struct Load {
    pub connections: usize,
    pub asked: Asked,
    pub reuse: Reuse,
    pub tls: Option<Resumption>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Asked {
    Small,
    TenKib,
    OneMib,
    /// A body of 1 MiB goes up.
    Upload(Framing),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Wire {
    Clear,
    Tls,
}

/// What ratios are to.
#[derive(Clone, Copy, PartialEq)]
pub enum Against {
    Peer(Kind),
    /// The same contender in the scenario's first shape.
    ItselfInFirstShape,
    /// Figures stand for themselves.
    Nothing,
}

const LOGGING: Shape = Shape { logs: Logs::On, ..PLAIN };
const FEW: Shape = Shape { routes: 10, endpoints: 10, ..PLAIN };
const MANY_ROUTES: Shape = Shape { routes: 10_000, ..FEW };
const MANY_ENDPOINTS: Shape = Shape { endpoints: 1_000, ..FEW };
const LARGE: Shape = Shape { routes: 10_000, endpoints: 1_000, ..PLAIN };
const TWO_WORKERS: Shape = Shape { workers: 2, ..PLAIN };

/// Where Envoy takes part: nothing is held against it, so one scenario of each kind shows where it stands.
const WITH_ENVOY: [&str; 5] = ["small", "1m", "tls", "h2", "idle"];

const FLOOR: Against = Against::Peer(Kind::Floor);
const NGINX: Against = Against::Peer(Kind::Nginx);

const fn load(connections: usize, asked: Asked) -> Work {
    Work::Load(Load { connections, asked, reuse: Reuse::KeepAlive, tls: None })
}

const fn once(connections: usize, tls: Option<Resumption>) -> Work {
    Work::Load(Load { connections, asked: Asked::Small, reuse: Reuse::Once, tls })
}

pub const ALL: &[Scenario] = &[
    plain("small", "small GET, 64 kept connections", load(64, Asked::Small), FLOOR),
    plain("10k", "10 KiB responses, 64 kept connections", load(64, Asked::TenKib), FLOOR),
    plain("1m", "1 MiB responses, 16 kept connections", load(16, Asked::OneMib), FLOOR),
    plain("upload", "1 MiB uploads, 16 kept connections", load(16, Asked::Upload(Framing::Length)), FLOOR),
    plain("upload-chunked", "1 MiB uploads in chunks", load(16, Asked::Upload(Framing::Chunked)), FLOOR),
    plain("connect", "a new connection per request, 32 at once", once(32, None), FLOOR),
    plain("tls-full", "TLS: a full handshake per request", once(32, Some(Resumption::Full)), NGINX),
    plain("tls-resumed", "TLS: a resumed handshake per request", once(32, Some(Resumption::Resumed)), NGINX),
    plain("tls", "TLS: small GET, 64 kept connections", TLS_KEPT, NGINX),
    plain("h2", "HTTP/2 without TLS to HTTP/1.1, 16 connections of 10 streams", Work::H2(Wire::Clear), NGINX),
    plain("h2-tls", "HTTP/2 with TLS to HTTP/1.1, 16 connections of 10 streams", Work::H2(Wire::Tls), NGINX),
    plain("latency", "small GET at half of HAProxy's rate, open loop", Work::Latency, FLOOR),
    plain("idle", "10,000 idle connections, one request on each before", Work::Idle, Against::Nothing),
    several("logs", "small GET, each logged to a file", &[LOGGING], load(64, Asked::Small), FLOOR),
    several(
        "routes",
        "10,000 routes against 10",
        &[FEW, MANY_ROUTES],
        load(64, Asked::Small),
        Against::ItselfInFirstShape,
    ),
    several(
        "endpoints",
        "1,000 endpoints against 10",
        &[FEW, MANY_ENDPOINTS],
        load(64, Asked::Small),
        Against::ItselfInFirstShape,
    ),
    several(
        "reload",
        "a reload of 10,000 routes and 1,000 endpoints under load",
        &[LARGE],
        Work::Reload,
        Against::Nothing,
    ),
    several(
        "workers",
        "2 workers against 1",
        &[PLAIN, TWO_WORKERS],
        load(256, Asked::Small),
        Against::ItselfInFirstShape,
    ),
];

const TLS_KEPT: Work = Work::Load(Load {
    connections: 64,
    asked: Asked::Small,
    reuse: Reuse::KeepAlive,
    tls: Some(Resumption::Full),
});

const fn plain(name: &'static str, title: &'static str, work: Work, against: Against) -> Scenario {
    several(name, title, &[PLAIN], work, against)
}

const fn several(
    name: &'static str,
    title: &'static str,
    shapes: &'static [Shape],
    work: Work,
    against: Against,
) -> Scenario {
    Scenario { name, title, shapes, work, against }
}

impl Scenario {
    /// How often each contender is measured, of so many rounds: memory is the same nearly every time.
    pub fn rounds(&self, most: usize) -> usize {
        if let Work::Idle = self.work { most.min(3) } else { most }
    }

    /// Whether this contender can take part, and is to.
    pub fn is_for(&self, kind: Kind) -> bool {
        let speaks = match &self.work {
            Work::Load(load) => load.tls.is_none() || kind != Kind::Floor,
            Work::H2(_) => kind != Kind::Floor,
            Work::Latency | Work::Idle => true,
            // The floor has no config.
            Work::Reload => kind != Kind::Floor,
        };
        let wanted = kind != Kind::Envoy || WITH_ENVOY.contains(&self.name);
        speaks && wanted && (self.against != Against::ItselfInFirstShape || kind != Kind::Floor)
    }
}

impl Asked {
    pub fn path(self) -> &'static str {
        match self {
            Asked::Small => "/small",
            Asked::TenKib => "/10k",
            Asked::OneMib => "/1m",
            Asked::Upload(_) => "/upload",
        }
    }

    /// What is sent up, and what must come back.
    pub fn bodies(self) -> (Option<Vec<u8>>, Vec<u8>) {
        let pattern = crate::endpoint::pattern;
        match self {
            Asked::Small => (None, pattern(crate::endpoint::SMALL)),
            Asked::TenKib => (None, pattern(10 << 10)),
            Asked::OneMib => (None, pattern(1 << 20)),
            Asked::Upload(_) => (Some(pattern(1 << 20)), format!("received {}", 1 << 20).into_bytes()),
        }
    }
}
