//! Who may ask, who may speak for others, and how often: `trusted_proxies`, `access`, `rate_limit`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::file::{DAY, MILLISECOND};
use super::reader::Table;
use super::routes::header_name;
use super::value::Value;
use crate::domain::routing::{Access, LimitBy, RateLimit, TrustedProxies};

const MOST_REQUESTS: u64 = 1_000_000;

/// Whose word about their clients is taken.
pub(super) fn trusted_proxies(file: &mut Table<'_>) -> TrustedProxies {
    let help = "name networks, or remove the line to trust nobody";
    let networks = file.value("trusted_proxies").and_then(|value| networks(&value, help));
    TrustedProxies(networks.unwrap_or_default())
}

/// Who may ask a service.
pub(super) fn access(service: &mut Table<'_>) -> Access {
    let lists = service.value("access").and_then(|value| value.table(lists));
    lists.unwrap_or_default()
}

fn lists(table: &mut Table<'_>) -> Access {
    let mut list = |key: &'static str, help: &str| {
        table.value(key).map(|value| networks(&value, help).unwrap_or_default())
    };
    let allow = list("allow", "name networks, or remove the line to let everybody ask");
    let deny = list("deny", "name networks, or remove the line");
    if allow.is_none() && deny.is_none() {
        let help = "write `allow = [\"10.0.0.0/8\"]` or `deny = [...]`, or remove the table";
        table.error("neither `allow` nor `deny` is there", Some(help.to_owned()));
    }
    Access { allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() }
}

/// How often a service may be asked.
pub(super) fn rate_limit(service: &mut Table<'_>) -> Option<RateLimit> {
    service.value("rate_limit")?.table(|table| {
        let by = table.value("by").map_or(Some(LimitBy::Ip), |value| limit_by(&value));
        let requests = table.required("requests", "write `requests = 100`: how many in `per`");
        let requests = requests.and_then(|value| count(&value));
        let per = table.duration("per", MILLISECOND..=DAY, Duration::from_secs(1));
        let burst = table.value("burst").map_or(requests, |value| count(&value));
        Some(RateLimit { by: by?, requests: requests?, per, burst: burst? })
    })?
}

fn count(value: &Value<'_>) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(value.integer(&(1..=MOST_REQUESTS))?).ok()?)
}

fn limit_by(value: &Value<'_>) -> Option<LimitBy> {
    value.parsed(|text| match text {
        "ip" => Ok(LimitBy::Ip),
        "service" => Ok(LimitBy::Service),
        _ => match text.strip_prefix("header:") {
            Some(name) => header_name(name).map(LimitBy::Header),
            None => Err(format!("{text:?} is not known here: write \"ip\", \"header:NAME\" or \"service\"")),
        },
    })
}

/// At least one network; `help` says what to do about an empty list.
pub(super) fn networks(value: &Value<'_>, help: &str) -> Option<Vec<IpNet>> {
    let networks = value.list(|item| item.parsed(network))?;
    if networks.is_empty() {
        value.error("an empty list names nobody", Some(help.to_owned()));
    }
    Some(networks)
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(network),
        Ok(network) => Err(format!("`{text}` has bits set behind its prefix: write `{}`", network.trunc())),
        Err(_) => Err(format!("`{text}` is not a network: write it as `10.0.0.0/8`, or one address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_a_prefix_without_stray_bits() {
        for (text, read) in [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("::1", "::1/128")] {
            assert_eq!(network(text).map(|it| it.to_string()), Ok(read.to_owned()));
        }
        let error = network("10.1.2.3/8").expect_err("has stray bits");
        assert!(error.ends_with("write `10.0.0.0/8`"), "{error}");
        assert!(network("ten").is_err());
    }
}
