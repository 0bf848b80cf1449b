//! How a service wants its requests treated.

use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::{Access, Connection, OnMissing, RateLimit, Rescue, Retry, ServiceLimits, Upgrades};

/// All of a service's policies that the data plane needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// How its endpoints are spoken to.
    pub connection: Connection,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much its clients may take.
    pub limits: ServiceLimits,
    /// Whether a client stays with one version.
    pub affinity: Affinity,
    /// Who may choose a version by hand; `None`: nobody.
    pub version_override: Option<Override>,
    /// When a request is sent again within its version.
    pub retry: Retry,
    /// Which failed canary requests stable answers.
    pub rescue: Rescue,
    /// Which 404s are tried on the other version of a rollout.
    pub on_missing: OnMissing,
    /// Requests to this host go to the canary, whatever its weight; `None`: there is no such host. Lower case.
    pub preview_host: Option<Box<str>>,
    /// Which other protocols its clients may change to.
    pub upgrades: Upgrades,
    /// Who may ask.
    pub access: Access,
    /// How often; `None`: as often as they like.
    pub rate_limit: Option<RateLimit>,
    /// Failures in a row after which control looks whether to eject the endpoint.
    pub eject_after: u32,
}

/// Time limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to an endpoint. Default 1 s.
    pub connect: Duration,
    /// From the request's end to the response headers. Default 30 s.
    pub response: Duration,
    /// Between two pieces of a response's body, on either side. Default 60 s.
    pub idle: Duration,
    /// The same for gRPC calls and event streams, which may have nothing to tell. Default 5 min.
    pub stream_idle: Duration,
    /// For the whole exchange; `None` (default): no limit.
    pub request: Option<Duration>,
    /// Without a byte either way on a connection that changed to another protocol. Default 1 h.
    pub tunnel: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            stream_idle: Duration::from_secs(300),
            request: None,
            tunnel: Duration::from_secs(3600),
        }
    }
}

/// What keeps a client with one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Nothing: every request is drawn independently.
    #[default]
    None,
    /// A cookie of ours that carries a random id.
    Cookie,
    /// The value of a header that clients send.
    Header(HeaderName),
    /// The client's address.
    Ip,
}

/// A header by which chosen clients pick a version by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The header; its value is the version's name.
    pub header: HeaderName,
    /// From which addresses it is obeyed. Empty: from nowhere.
    pub from: Vec<IpNet>,
}
