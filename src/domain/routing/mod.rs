//! From a request to an endpoint: route, version, endpoint. All of it on one immutable snapshot.

mod balance;
mod hold;
mod limits;
mod matcher;
mod pattern;
mod policy;
mod rescue;
mod snapshot;
mod split;

pub use balance::pick;
pub use hold::{Hold, HoldTerms};
pub use limits::{Limits, ServiceLimits};
pub use matcher::{Matched, Matcher, RequestParts, RouteMatch};
pub use pattern::{HostPattern, NotAHost, NotAPathPrefix, PathPrefix};
pub use policy::{Affinity, Override, Policy, Timeouts};
pub use rescue::{Budget, OnMissing, Rescue, Statuses};
pub use snapshot::{Endpoint, EndpointId, Service, Snapshot, Standing, Version};
pub use split::{Arm, Point, Role, Salt, Split};
