//! Which service a request is for.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{HostPattern, PathPrefix};

/// What a route asks of a request. Everything given must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteMatch {
    /// The host.
    pub host: HostPattern,
    /// The start of the path.
    pub path: PathPrefix,
    /// One of these; empty: any.
    pub methods: Vec<Method>,
    /// All of these, with exactly this value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the prefix is taken off before the request is forwarded.
    pub strip_prefix: bool,
}

/// What the matcher looks at.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// Lower case, without port; empty when the request names none.
    pub host: &'a str,
    /// Normalised: starts with `/`, no `.` or `..` segment, unreserved characters decoded.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Index into the snapshot's services.
    pub service: usize,
    /// How many bytes to take off the start of the (normalised) path; 0: none.
    pub strip: usize,
}

/// All routes of all services, ready for lookup.
#[derive(Debug, Default)]
pub struct Matcher {}
