//! What leads to a service: `hosts`, the short form, and `[[services.*.routes]]`, the long one. Both together add up.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue, Method};

use super::reader::{Place, Table};
use super::value::Value;
use crate::domain::routing::{HostPattern, PathPrefix, RouteMatch};

/// What makes two routes the same: equal keys match equal requests.
pub(super) type RouteKey = (HostPattern, PathPrefix, Vec<String>, Vec<(String, Vec<u8>)>);

/// A service's routes and where they stand; `None` when one of them came to nothing (and reported why).
pub(super) fn read(table: &mut Table<'_>) -> Option<Vec<(RouteMatch, Place)>> {
    let (hosts, routes) = (table.value("hosts"), table.value("routes"));
    if hosts.is_none() && routes.is_none() {
        return Some(vec![(RouteMatch::to_host(HostPattern::Any), table.place().clone())]);
    }
    let from_hosts = hosts.map_or(Some(Vec::new()), |value| not_empty(&value, host));
    let from_routes = routes.map_or(Some(Vec::new()), |value| not_empty(&value, |item| item.table(route)?));
    let (mut all, more) = (from_hosts?, from_routes?);
    all.extend(more);
    Some(all)
}

/// The routes that labels give: each of `hosts`, under `path`.
pub(super) fn flat(table: &mut Table<'_>) -> Vec<RouteMatch> {
    let hosts = table.value("hosts").map(|value| not_empty(&value, host).unwrap_or_default());
    let path = table.value("path").and_then(|value| value.parsed(PathPrefix::parse)).unwrap_or_default();
    let strip_prefix = strip_prefix(table, &path);
    let hosts = match hosts {
        Some(listed) => listed.into_iter().map(|(route, _)| route.host).collect(),
        None => BTreeSet::from([HostPattern::Any]),
    };
    let route = |host| RouteMatch { path: path.clone(), strip_prefix, ..RouteMatch::to_host(host) };
    hosts.into_iter().map(route).collect()
}

/// Says that a route stands at two places.
pub(super) fn report_twice(table: &Table<'_>, place: &Place, first: &Place) {
    let message = format!("the same route is at {} (line {})", first.path, table.line(first));
    let help =
        "a request can only go to one service: give one of the two another host, path, method or header";
    table.error_at(place, message, Some(help.to_owned()));
}

/// What makes the route the same as another.
pub(super) fn key(route: &RouteMatch) -> RouteKey {
    let mut methods: Vec<_> = route.methods.iter().map(|method| method.as_str().to_owned()).collect();
    methods.sort();
    let header = |(name, value): &(HeaderName, HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
    let mut headers: Vec<_> = route.headers.iter().map(header).collect();
    headers.sort();
    (route.host.clone(), route.path.clone(), methods, headers)
}

fn not_empty<'d>(
    value: &Value<'d>,
    mut read: impl FnMut(&Value<'d>) -> Option<RouteMatch>,
) -> Option<Vec<(RouteMatch, Place)>> {
    let routes = value.list(|item| Some((read(&item)?, item.place().clone())))?;
    if routes.is_empty() {
        let help = "remove the key: a service without hosts and routes answers every request";
        value.error("an empty list leads no request here", Some(help.to_owned()));
        return None;
    }
    Some(routes)
}

fn host(item: &Value<'_>) -> Option<RouteMatch> {
    item.parsed(HostPattern::parse).map(RouteMatch::to_host)
}

fn route(table: &mut Table<'_>) -> Option<RouteMatch> {
    let host = table.value("host").map_or(Some(HostPattern::Any), |value| value.parsed(HostPattern::parse));
    let path =
        table.value("path").map_or(Some(PathPrefix::default()), |value| value.parsed(PathPrefix::parse));
    let methods = table.value("methods").map_or(Some(Vec::new()), |value| methods(&value));
    let headers = table.value("headers").map_or(Some(Vec::new()), |value| headers(&value));
    let strip_prefix = match &path {
        Some(path) => strip_prefix(table, path),
        None => table.boolean("strip_prefix", false),
    };
    Some(RouteMatch { host: host?, path: path?, methods: methods?, headers: headers?, strip_prefix })
}

fn strip_prefix(table: &mut Table<'_>, path: &PathPrefix) -> bool {
    let strip_prefix = table.boolean("strip_prefix", false);
    if strip_prefix && path.as_str().is_empty() {
        let help = "give the route a `path`, or remove `strip_prefix`";
        table.error_of("strip_prefix", "there is no prefix to strip", Some(help.to_owned()));
    }
    strip_prefix
}

fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    let mut seen = Vec::new();
    let methods = value.list(|item| {
        let method = item.parsed(|text| match Method::from_bytes(text.as_bytes()) {
            Ok(_) if text != text.to_ascii_uppercase() => Err(format!(
                "methods are case-sensitive (RFC 9110 section 9.1): write \"{}\"",
                text.to_uppercase()
            )),
            Ok(method) => Ok(method),
            Err(_) => Err(format!("{text:?} is not a method")),
        })?;
        if seen.contains(&method) {
            item.error(format!("{method} is there twice"), Some("remove one".to_owned()));
        }
        seen.push(method.clone());
        Some(method)
    })?;
    if methods.is_empty() {
        let help = "remove the key for any method";
        value.error("an empty list matches no request", Some(help.to_owned()));
    }
    Some(methods)
}

fn headers(value: &Value<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut seen = Vec::new();
    let read: Vec<_> = value
        .pairs()?
        .into_iter()
        .map(|(name, value)| {
            let name = header_name(name).map_err(|why| value.error(why, None)).ok();
            let text = value.parsed(|text| {
                HeaderValue::from_str(text).map_err(|_| format!("{text:?} can't be a header's value"))
            });
            let name = name?;
            if seen.contains(&name) {
                value.error(format!("header {name} is there twice"), Some("remove one".to_owned()));
            }
            seen.push(name.clone());
            Some((name, text?))
        })
        .collect();
    read.into_iter().collect()
}

/// The name of a header field (RFC 9110 section 5.1).
pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not a header's name"))
}
