//! Which service a request is for. What a lookup costs depends on the request's labels and segments and on how deep the
//! config goes, not on how many routes there are.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::iter::{self, successors};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use siphasher::sip::SipHasher13;

use super::{HostPattern, PathPrefix};
use crate::domain::stats::RouteId;

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
    /// Which route it was.
    pub route: RouteId,
}

/// All routes of all services, ready for lookup.
#[derive(Debug, Default)]
pub struct Matcher {
    exact: ByName<usize>,
    under: ByName<usize>,
    any: Option<usize>,
    /// How many labels the suffixes in `under` have.
    labels: Depths,
    /// What the numbers above point into.
    hosts: Vec<HostRoutes>,
}

/// The routes of one host pattern.
#[derive(Debug, Default)]
struct HostRoutes {
    /// Of the empty prefix, which almost every host has, in the order in which they are tried.
    root: Vec<Rule>,
    /// The others by prefix, each list in the same order.
    paths: ByName<Vec<Rule>>,
    /// How many segments the prefixes have.
    depths: Depths,
    /// Bytes of the longest prefix.
    longest: usize,
    /// The next wider pattern: it holds for every host that this one holds for.
    wider: Option<usize>,
    /// Segments of the deepest prefix here and in all wider patterns.
    deepest: usize,
}

/// What is left of a route once host and path are found.
#[derive(Debug)]
struct Rule {
    methods: Vec<Method>,
    headers: Vec<(HeaderName, HeaderValue)>,
    matched: Matched,
}

/// Which depths occur, so that no lookup is made where nothing can be. Those of 63 and more share a bit.
#[derive(Clone, Copy, Debug, Default)]
struct Depths {
    bits: u64,
    deepest: usize,
}

/// Only the config puts keys in, so nobody outside can make them collide; fixed keys keep this pure.
type ByName<T> = HashMap<Box<str>, T, BuildHasherDefault<SipHasher13>>;

impl RouteMatch {
    /// The same for routes that match the same requests, wherever they stand in a config. Two others share one with a
    /// chance of 2^-64.
    pub fn id(&self) -> RouteId {
        let mut methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        methods.sort_unstable();
        headers.sort_unstable();
        let mut hasher = SipHasher13::new();
        (&self.host, &self.path, methods, headers).hash(&mut hasher);
        RouteId(hasher.finish())
    }

    /// As people know it: `shop.example/api`, `POST shop.example/api x-beta=1`.
    pub fn shown(&self) -> String {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let mut shown = format!("{}{}", self.host, self.path);
        if !methods.is_empty() {
            shown = format!("{} {shown}", methods.join(","));
        }
        let headers = self.headers.iter();
        headers
            .fold(shown, |shown, (name, value)| format!("{shown} {name}={}", value.to_str().unwrap_or("…")))
    }
}

impl Matcher {
    /// For these routes, each with the index of its service, in the config's order.
    pub fn new(routes: impl IntoIterator<Item = (impl Borrow<RouteMatch>, usize)>) -> Self {
        let mut matcher = Self::default();
        for (route, service) in routes {
            let route = route.borrow();
            matcher.host_entry(&route.host).add(route, service);
        }
        matcher.link();
        matcher
    }

    /// The route of a request: the longest path prefix, then the closest host (exact, then the longest wildcard), then
    /// the one with the most conditions, then the first in the config; always one whose method and headers hold.
    /// Allocates nothing.
    #[inline]
    pub fn resolve(&self, request: &RequestParts<'_>) -> Option<Matched> {
        let closest = self.exact.get(request.host).copied().or_else(|| self.family_of(request.host))?;
        prefixes(request.path, self.hosts[closest].deepest).find_map(|(depth, prefix)| {
            self.wider_and_wider(closest).find_map(|host| host.resolve(depth, prefix, request))
        })
    }

    /// The closest pattern other than its own name that holds for `host`.
    fn family_of(&self, host: &str) -> Option<usize> {
        if self.under.is_empty() {
            return self.any;
        }
        host.rmatch_indices('.')
            .zip(1..=self.labels.deepest)
            .filter(|((dot, _), labels)| *dot > 0 && self.labels.contains(*labels))
            .filter_map(|((dot, _), _)| self.under.get(&host[dot + 1..]))
            .last()
            .copied()
            .or(self.any)
    }

    fn wider_and_wider(&self, closest: usize) -> impl Iterator<Item = &HostRoutes> {
        successors(self.hosts.get(closest), |host| self.hosts.get(host.wider?))
    }

    fn host_entry(&mut self, pattern: &HostPattern) -> &mut HostRoutes {
        let next = self.hosts.len();
        let index = match pattern {
            HostPattern::Any => *self.any.get_or_insert(next),
            HostPattern::Under(suffix) => {
                self.labels.insert(suffix.split('.').count());
                *self.under.entry(suffix.clone()).or_insert(next)
            }
            HostPattern::Exact(name) => *self.exact.entry(name.clone()).or_insert(next),
        };
        if index == next {
            self.hosts.push(HostRoutes::default());
        }
        &mut self.hosts[index]
    }

    fn link(&mut self) {
        let named = self.exact.iter().chain(&self.under);
        let wider: Vec<_> = named.map(|(name, host)| (*host, self.family_of(name))).collect();
        for (host, wider) in wider {
            self.hosts[host].wider = wider;
        }
        for host in 0..self.hosts.len() {
            let deepest = self.wider_and_wider(host).map(|host| host.depths.deepest).max();
            self.hosts[host].deepest = deepest.unwrap_or(0);
            let HostRoutes { root, paths, .. } = &mut self.hosts[host];
            for rules in iter::once(root).chain(paths.values_mut()) {
                // Else a route without conditions would hide those of services that come later by name.
                rules.sort_by_key(|rule| Reverse(rule.conditions()));
            }
        }
    }
}

impl HostRoutes {
    fn add(&mut self, route: &RouteMatch, service: usize) {
        let prefix = route.path.as_str();
        let strip = if route.strip_prefix { prefix.len() } else { 0 };
        self.depths.insert(prefix.matches('/').count());
        self.longest = self.longest.max(prefix.len());
        let matched = Matched { service, strip, route: route.id() };
        let rule = Rule { methods: route.methods.clone(), headers: route.headers.clone(), matched };
        match prefix {
            "" => self.root.push(rule),
            prefix => self.paths.entry(prefix.into()).or_default().push(rule),
        }
    }

    #[inline]
    fn resolve(&self, depth: usize, prefix: &str, request: &RequestParts<'_>) -> Option<Matched> {
        if !self.depths.contains(depth) || prefix.len() > self.longest {
            return None;
        }
        let rules = if depth == 0 { &self.root } else { self.paths.get(prefix)? };
        rules.iter().find(|rule| rule.holds(request)).map(|rule| rule.matched)
    }
}

impl Rule {
    /// How much it asks for: one for the methods, one for each header.
    fn conditions(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len()
    }

    fn holds(&self, request: &RequestParts<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(request.method))
            && self
                .headers
                .iter()
                .all(|(name, wanted)| request.headers.get_all(name).iter().any(|value| value == wanted))
    }
}

impl Depths {
    fn insert(&mut self, depth: usize) {
        self.bits |= 1 << depth.min(63);
        self.deepest = self.deepest.max(depth);
    }

    fn contains(self, depth: usize) -> bool {
        depth <= self.deepest && self.bits & (1 << depth.min(63)) != 0
    }
}

/// All prefixes of `path` that end on a segment border and have at most `deepest` segments, the longest first, each with
/// its number of segments. The last is the empty one.
fn prefixes(path: &str, deepest: usize) -> impl Iterator<Item = (usize, &str)> {
    // What is no path (`*` of OPTIONS) has only the empty prefix.
    let path = if path.starts_with('/') { path } else { "" };
    let slashes = || (0..).zip(path.bytes()).filter(|(_, byte)| *byte == b'/');
    let longest = match slashes().nth(deepest) {
        Some((end, _)) => (deepest, &path[..end]),
        None => (slashes().count(), path),
    };
    successors(Some(longest), |(depth, prefix)| {
        let border = prefix.rfind('/')?;
        Some((depth - 1, &prefix[..border]))
    })
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn route(host: &str, path: &str) -> RouteMatch {
        RouteMatch {
            host: HostPattern::parse(host).unwrap(),
            path: PathPrefix::parse(path).unwrap(),
            methods: Vec::new(),
            headers: Vec::new(),
            strip_prefix: false,
        }
    }

    fn numbered(routes: impl IntoIterator<Item = RouteMatch>) -> Matcher {
        Matcher::new(routes.into_iter().zip(0..))
    }

    fn service(matcher: &Matcher, host: &str, path: &str) -> Option<usize> {
        let parts = RequestParts { host, path, method: &Method::GET, headers: &HeaderMap::new() };
        matcher.resolve(&parts).map(|matched| matched.service)
    }

    #[test]
    fn a_prefix_holds_on_segment_borders_only() {
        let matcher = numbered([route("*", "/api")]);
        for (path, expected) in [
            ("/api", Some(0)),
            ("/api/", Some(0)),
            ("/api/x", Some(0)),
            ("/api//x", Some(0)),
            ("/apix", None),
            ("/ap", None),
            ("/x/api", None),
            ("/", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(service(&matcher, "", path), expected, "{path}");
        }
    }

    #[test]
    fn the_root_holds_for_every_path() {
        let matcher = numbered([route("*", "/")]);
        for path in ["/", "/x", "/x/y/", "//", "*", ""] {
            assert_eq!(service(&matcher, "", path), Some(0), "{path}");
        }
    }

    #[test]
    fn a_wildcard_holds_for_one_label_and_more_but_not_for_its_suffix() {
        let matcher = numbered([route("*.shop.example", "/")]);
        for (host, expected) in [
            ("a.shop.example", Some(0)),
            ("a.b.shop.example", Some(0)),
            ("shop.example", None),
            (".shop.example", None),
            ("ashop.example", None),
            ("shop.example.org", None),
            ("", None),
        ] {
            assert_eq!(service(&matcher, host, "/"), expected, "{host}");
        }
    }

    #[test]
    fn the_longest_path_wins_then_the_closest_host_then_the_first() {
        let matcher = numbered([
            route("*", "/"),
            route("*", "/a/b"),
            route("*.example", "/a"),
            route("*.shop.example", "/a"),
            route("www.shop.example", "/a"),
            route("www.shop.example", "/a"),
            route("*", "/a"),
        ]);
        for (host, path, expected) in [
            ("www.shop.example", "/a", 4),
            ("www.shop.example", "/a/b", 1),
            ("www.shop.example", "/x", 0),
            ("api.shop.example", "/a/x", 3),
            ("api.example", "/a/x", 2),
            ("elsewhere", "/a/x", 6),
            ("", "/a/x", 6),
            ("www.shop.example", "/ab", 0),
        ] {
            assert_eq!(service(&matcher, host, path), Some(expected), "{host}{path}");
        }
    }

    #[test]
    fn a_route_whose_conditions_do_not_hold_gives_way_to_the_next() {
        let beta = (HeaderName::from_static("x-beta"), HeaderValue::from_static("1"));
        let matcher = numbered([
            RouteMatch { methods: vec![Method::POST], ..route("shop", "/api") },
            RouteMatch { headers: vec![beta.clone()], ..route("shop", "/api") },
            route("*", "/"),
        ]);
        let other = HeaderValue::from_static("2");
        for (method, values, expected) in [
            (Method::POST, vec![], 0),
            (Method::GET, vec![], 2),
            (Method::GET, vec![&other], 2),
            (Method::GET, vec![&beta.1], 1),
            (Method::GET, vec![&other, &beta.1], 1),
        ] {
            let headers = values.into_iter().map(|value| (beta.0.clone(), value.clone())).collect();
            let parts = RequestParts { host: "shop", path: "/api/x", method: &method, headers: &headers };
            let matched = matcher.resolve(&parts).map(|matched| matched.service);
            assert_eq!(matched, Some(expected), "{method} {headers:?}");
        }
    }

    #[test]
    fn a_route_with_conditions_is_tried_before_one_without() {
        let beta = (HeaderName::from_static("x-beta"), HeaderValue::from_static("1"));
        let conditional = RouteMatch { headers: vec![beta.clone()], ..route("shop", "/api") };
        let matcher = numbered([route("shop", "/api"), conditional]);
        let headers = HeaderMap::from_iter([beta]);
        let parts = RequestParts { host: "shop", path: "/api/x", method: &Method::GET, headers: &headers };
        assert_eq!(matcher.resolve(&parts).map(|matched| matched.service), Some(1));
        assert_eq!(service(&matcher, "shop", "/api/x"), Some(0));
    }

    #[test]
    fn only_a_route_that_says_so_strips_its_prefix() {
        let stripping = RouteMatch { strip_prefix: true, ..route("*", "/api") };
        let matcher = numbered([stripping, route("*", "/keep"), route("*", "/")]);
        for (path, strip) in [("/api/x", 4), ("/api", 4), ("/keep/x", 0), ("/", 0)] {
            let parts = RequestParts { host: "", path, method: &Method::GET, headers: &HeaderMap::new() };
            assert_eq!(matcher.resolve(&parts).map(|matched| matched.strip), Some(strip), "{path}");
        }
    }

    #[test]
    fn routes_deeper_than_the_depths_are_told_apart_still_match() {
        let deep = "/x".repeat(80);
        let deeper = "/x".repeat(90);
        let matcher = numbered([route("*", &deep), route("*", &deeper), route("*", "/")]);
        for (segments, expected) in [(79, 2), (80, 0), (89, 0), (90, 1), (200, 1)] {
            assert_eq!(service(&matcher, "", &"/x".repeat(segments)), Some(expected), "{segments}");
        }
    }

    #[test]
    fn a_route_is_known_by_what_it_asks_for_and_by_nothing_else() {
        let methods = |methods: &[Method]| RouteMatch { methods: methods.to_vec(), ..route("shop", "/api") };
        let both = methods(&[Method::GET, Method::POST]);
        assert_eq!(both.id(), methods(&[Method::POST, Method::GET]).id());
        assert_eq!(both.id(), RouteMatch { strip_prefix: true, ..both.clone() }.id());
        assert_ne!(both.id(), methods(&[Method::GET]).id());
        assert_ne!(route("shop", "/").id(), route("*", "/").id());
        assert_eq!(both.shown(), "GET,POST shop/api");
    }

    #[test]
    fn a_matcher_without_routes_matches_nothing() {
        assert_eq!(service(&Matcher::default(), "shop", "/"), None);
    }

    /// The rules, said once more without any index.
    fn scan(routes: &[RouteMatch], request: &RequestParts<'_>) -> Option<usize> {
        let rank = |pattern: &HostPattern| match pattern {
            HostPattern::Any => Some(0),
            HostPattern::Under(suffix) => {
                let before = request.host.strip_suffix(&**suffix)?.strip_suffix('.')?;
                (!before.is_empty()).then_some(suffix.len())
            }
            HostPattern::Exact(name) => (**name == *request.host).then_some(usize::MAX),
        };
        let holds = |route: &RouteMatch| {
            let rest = request.path.strip_prefix(route.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                && (route.methods.is_empty() || route.methods.contains(request.method))
                && route.headers.iter().all(|(name, value)| request.headers.get(name) == Some(value))
        };
        let fitting = routes.iter().enumerate().filter(|(_, route)| holds(route));
        fitting
            .filter_map(|(index, route)| {
                let conditions = usize::from(!route.methods.is_empty()) + route.headers.len();
                Some((route.path.as_str().len(), rank(&route.host)?, conditions, Reverse(index)))
            })
            .max()
            .map(|(_, _, _, Reverse(index))| index)
    }

    fn labels() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof!["a", "b"], 1..5).prop_map(|labels| labels.join("."))
    }

    fn segments() -> impl Strategy<Value = String> {
        let segment = prop_oneof!["x", "y", "xy"];
        proptest::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn methods() -> impl Strategy<Value = Method> {
        prop_oneof![Just(Method::GET), Just(Method::POST)]
    }

    fn headers() -> impl Strategy<Value = Option<(HeaderName, HeaderValue)>> {
        let value = prop_oneof![Just(HeaderValue::from_static("1")), Just(HeaderValue::from_static("2"))];
        proptest::option::weighted(0.3, value)
            .prop_map(|value| value.map(|value| (HeaderName::from_static("x-beta"), value)))
    }

    fn routes() -> impl Strategy<Value = RouteMatch> {
        let host =
            prop_oneof![Just("*".to_owned()), labels(), labels().prop_map(|under| format!("*.{under}"))];
        let methods = proptest::collection::vec(methods(), 0..2);
        (host, segments(), methods, headers()).prop_map(|(host, path, methods, headers)| RouteMatch {
            methods,
            headers: headers.into_iter().collect(),
            ..route(&host, &path)
        })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_of_all_routes_finds(
            routes in proptest::collection::vec(routes(), 0..40),
            requests in proptest::collection::vec((labels(), segments(), methods(), headers(), any::<bool>()), 1..20),
        ) {
            let matcher = numbered(routes.clone());
            for (host, path, method, headers, slash) in requests {
                let path = if slash { format!("{path}/") } else { path };
                let headers = headers.into_iter().collect();
                let request = RequestParts { host: &host, path: &path, method: &method, headers: &headers };
                let found = matcher.resolve(&request).map(|matched| matched.service);
                prop_assert_eq!(found, scan(&routes, &request), "{:?}", request);
            }
        }
    }
}
