//! From a request to an endpoint: route, version, endpoint. All of it on one immutable snapshot.

mod access;
mod balance;
mod budget;
mod connection;
mod hold;
mod limits;
mod matcher;
mod pattern;
mod policy;
mod rate_limit;
mod rescue;
mod retry;
mod snapshot;
mod split;
mod spoken;
mod upgrades;

pub use access::{Access, TrustedProxies};
pub use balance::pick;
pub use budget::Budget;
pub use connection::{Connection, Identity, Protocol, Roots, Tls};
pub use hold::{Hold, HoldTerms};
pub use limits::{Limits, ServiceLimits};
pub use matcher::{Matched, Matcher, RequestParts, RouteMatch};
pub use pattern::{HostPattern, NotAHost, NotAPathPrefix, PathPrefix};
pub use policy::{Affinity, Override, Policy, Timeouts};
pub use rate_limit::{Caller, LimitBy, Limiter, RateLimit};
pub use rescue::{OnMissing, Rescue, Statuses};
pub use retry::{Retry, RetryOn};
pub use snapshot::{Endpoint, EndpointId, Service, Snapshot, Standing, Version};
pub use split::{Arm, Point, Role, Salt, Split};
pub use spoken::Spoken;
pub use upgrades::{NotAProtocol, Upgrades};
