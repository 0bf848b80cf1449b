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
pub struct Matcher {
    routes: Vec<(RouteMatch, usize)>,
}

impl Matcher {
    /// For these routes, each with the index of its service, in the config's order.
    pub fn new(routes: impl IntoIterator<Item = (RouteMatch, usize)>) -> Self {
        Self { routes: routes.into_iter().collect() }
    }

    /// The first route that holds for the request.
    pub fn resolve(&self, request: &RequestParts<'_>) -> Option<Matched> {
        let held = self.routes.iter().find(|(route, _)| route.holds(request));
        held.map(|(route, service)| Matched {
            service: *service,
            strip: if route.strip_prefix { route.path.as_str().len() } else { 0 },
        })
    }
}

impl RouteMatch {
    fn holds(&self, request: &RequestParts<'_>) -> bool {
        let host = match &self.host {
            HostPattern::Any => true,
            HostPattern::Exact(host) => request.host == &**host,
            HostPattern::Under(_) => false,
        };
        let prefix = self.path.as_str();
        let path = prefix.is_empty()
            || request.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let method = self.methods.is_empty() || self.methods.contains(request.method);
        host && path
            && method
            && self.headers.iter().all(|(name, value)| request.headers.get(name) == Some(value))
    }
}
