//! `[[services.*.rollout.checks]]`: what else than the traffic has a say in the verdict.

use std::time::Duration;

use super::file::DAY;
use super::hooks::{at_most, token_file, url};
use super::reader::Table;
use super::value::Value;
use crate::domain::rollout::{Check, NoData, Placeholder, Source};

const HOUR: Duration = Duration::from_secs(3600);
/// More often, and checks are a load of their own.
const SHORTEST: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const FAILURES: u64 = 2;
const LONGEST_NAME: usize = 64;
/// It travels in a URL.
const LONGEST_QUERY: usize = 4096;

/// The checks of a plan.
pub(super) fn read(table: &mut Table<'_>) -> Vec<Check> {
    let Some(value) = table.value("checks") else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    let checks = value.list(|item| {
        let check = item.table(check)??;
        if names.contains(&check.name) {
            item.error(format!("there is already a check {:?}", check.name), Some("rename one".to_owned()));
        }
        names.push(check.name.clone());
        Some(check)
    });
    at_most(&value, checks.as_ref().map_or(0, Vec::len), "checks");
    checks.unwrap_or_default()
}

fn check(table: &mut Table<'_>) -> Option<Check> {
    let name = table.required("name", "write `name = \"error-budget\"`").and_then(|value| value.parsed(name));
    let source = source(table);
    let words = [("hold", NoData::Hold), ("pass", NoData::Pass), ("fail", NoData::Fail)];
    let no_data = table.value("no_data").and_then(|value| value.choice(&words, &[]));
    let failures = table.integer("failures", 1..=1000, FAILURES);
    let interval = table.duration("interval", SHORTEST..=DAY, INTERVAL);
    let timeout = table.duration("timeout", SHORTEST..=HOUR, TIMEOUT);
    let token_file = token_file(table);
    Some(Check {
        name: name?,
        source: source?,
        interval,
        timeout,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        no_data: no_data.unwrap_or_default(),
        token_file,
    })
}

/// Either a query to Prometheus with a bound, or a URL.
fn source(table: &mut Table<'_>) -> Option<Source> {
    let help = || Some("write `prometheus`, `query` and `min` or `max`, or `url` alone".to_owned());
    let (server, target) = (table.value("prometheus"), table.value("url"));
    let query = table.value("query");
    let (min, max) = (table.value("min"), table.value("max"));
    let written = |value: &Option<Value<'_>>| value.as_ref().is_some_and(|value| !value.is_unwritten());
    if let Some(target) = target.filter(|target| !target.is_unwritten()) {
        for (key, other) in [("prometheus", &server), ("query", &query), ("min", &min), ("max", &max)] {
            if written(other) {
                table.error_of(key, format!("`{key}` and `url` exclude each other"), help());
            }
        }
        return Some(Source::Url { url: target.parsed(url)? });
    }
    let Some(server) = server else {
        table.error("nothing says what to measure", help());
        return None;
    };
    let address = server.parsed(server_address);
    let Some(query) = query else {
        table.error("`query` is missing", Some("write what to ask Prometheus, in PromQL".to_owned()));
        return None;
    };
    let text = query.parsed(promql);
    if min.is_none() && max.is_none() {
        let help = "write `max = 0.1`, `min = 5` or both: without a bound every answer is good";
        table.error("`min` or `max` is missing", Some(help.to_owned()));
    }
    let [least, most] = [&min, &max].map(|bound| bound.as_ref().and_then(Value::number));
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        table.error_of("min", "`min` is above `max`", Some("no number would be good".to_owned()));
    }
    Some(Source::Prometheus { address: address?, query: text?, min: least, max: most })
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not a name: 1 to {LONGEST_NAME} letters, digits or `.` `_` `-`"))
}

fn server_address(text: &str) -> Result<String, String> {
    let address = url(text)?;
    if address.contains(['?', '#']) {
        return Err(format!("`{text}` has a query: write the server's address, and what to ask in `query`"));
    }
    if address.trim_end_matches('/').ends_with("/api/v1/query") {
        return Err(format!("`{text}` is too long: write the server's address without `/api/v1/query`"));
    }
    Ok(address)
}

fn promql(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the query is empty".to_owned());
    }
    if text.len() > LONGEST_QUERY {
        return Err(format!("the query is longer than {LONGEST_QUERY} bytes: make it a recording rule"));
    }
    let names = Placeholder::ALL.map(Placeholder::as_str);
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        rest = &rest[at..];
        let Some(name) = names.iter().find(|name| rest.starts_with(**name)) else {
            let end = rest.find("}}").map_or(rest.len().min(2), |end| end + 2);
            let known = names.map(|name| format!("`{name}`")).join(", ");
            return Err(format!("`{}` is not known here: Adit fills in {known}", &rest[..end]));
        };
        rest = &rest[name.len()..];
    }
    Ok(text.to_owned())
}
