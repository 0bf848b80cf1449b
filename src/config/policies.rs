//! How a service's requests and endpoints are treated: `health`, `eject`, `timeouts`, `affinity`, `override`.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderName;
use http::uri::PathAndQuery;
use ipnet::IpNet;

use super::file::{DAY, MILLISECOND};
use super::limits;
use super::reader::Table;
use super::rescue::Handling;
use super::routes::header_name;
use super::spec::{EjectSpec, HealthSpec};
use super::value::Value;
use crate::domain::routing::{Affinity, Override, Policy, Timeouts};

const HOUR: Duration = Duration::from_secs(3600);
/// More often, and checks are a load of their own.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Health checks.
pub(super) fn health(table: &mut Table<'_>) -> HealthSpec {
    let default = HealthSpec::default();
    HealthSpec {
        path: table.value("path").and_then(|value| value.parsed(check_path)),
        interval: table.duration("interval", SHORTEST_INTERVAL..=HOUR, default.interval),
        timeout: table.duration("timeout", MILLISECOND..=HOUR, default.timeout),
        rise: count(table, "rise", default.rise),
        fall: count(table, "fall", default.fall),
    }
}

/// Ejection of endpoints.
pub(super) fn eject(table: &mut Table<'_>) -> EjectSpec {
    let default = EjectSpec::default();
    let max_percent = table.value("max_percent").and_then(|value| value.weight());
    let spec = EjectSpec {
        consecutive_failures: count(table, "consecutive_failures", default.consecutive_failures),
        base: table.duration("base", MILLISECOND..=DAY, default.base),
        max: table.duration("max", MILLISECOND..=DAY, default.max),
        max_percent: max_percent.unwrap_or(default.max_percent),
    };
    if table.sound() && spec.max < spec.base {
        let help = "the n-th ejection in a row lasts n times `base`, up to `max`";
        table.error_of("max", "`max` is shorter than `base`", Some(help.to_owned()));
    }
    spec
}

/// What the data plane needs to know.
pub(super) fn policy(service: &mut Table<'_>, eject: &EjectSpec, handling: Handling) -> Policy {
    let affinity = service
        .table("affinity", |table| table.value("by").and_then(|value| affinity(&value)).unwrap_or_default());
    let version_override =
        service.value("override").and_then(|value| value.table(version_override).flatten());
    Policy {
        timeouts: service.table("timeouts", timeouts),
        limits: service.table("limits", limits::of_service),
        affinity,
        version_override,
        rescue: handling.rescue,
        on_missing: handling.on_missing,
        preview_host: handling.preview_host.map(|(host, _)| host),
        eject_after: eject.consecutive_failures,
    }
}

fn timeouts(table: &mut Table<'_>) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: table.duration("connect", MILLISECOND..=HOUR, default.connect),
        response: table.duration("response", MILLISECOND..=DAY, default.response),
        idle: table.duration("idle", MILLISECOND..=DAY, default.idle),
        request: table.value("request").and_then(|value| value.duration(&(MILLISECOND..=DAY))),
    }
}

fn affinity(value: &Value<'_>) -> Option<Affinity> {
    value.parsed(|text| match text {
        "none" => Ok(Affinity::None),
        "cookie" => Ok(Affinity::Cookie),
        "ip" => Ok(Affinity::Ip),
        _ => match text.strip_prefix("header:") {
            Some(name) => header_name(name).map(Affinity::Header),
            None => Err(format!(
                "{text:?} is not known here: write \"cookie\", \"header:NAME\", \"ip\" or \"none\""
            )),
        },
    })
}

fn version_override(table: &mut Table<'_>) -> Option<Override> {
    let header = table
        .value("header")
        .map_or_else(|| Some(HeaderName::from_static("x-adit-version")), |value| value.parsed(header_name));
    let from = table.required("from", "write `from = [\"10.0.0.0/8\"]`: who may choose a version by hand")?;
    let networks = from.list(|item| item.parsed(network))?;
    if networks.is_empty() {
        let help = "name networks, or remove the whole table to let nobody choose";
        from.error("an empty list lets nobody choose", Some(help.to_owned()));
    }
    Some(Override { header: header?, from: networks })
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(network),
        Ok(network) => Err(format!("`{text}` has bits set behind its prefix: write `{}`", network.trunc())),
        Err(_) => Err(format!("`{text}` is not a network: write it as `10.0.0.0/8`, or one address")),
    }
}

fn check_path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/') && !text.contains('#') && text.parse::<PathAndQuery>().is_ok();
    fits.then(|| text.to_owned()).ok_or_else(|| format!("`{text}` is not a path: write it as `/healthz`"))
}

/// How often something must happen in a row.
fn count(table: &mut Table<'_>, key: &'static str, default: u32) -> u32 {
    u32::try_from(table.integer(key, 1..=1_000_000, u64::from(default))).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Weight;

    #[test]
    fn a_network_is_an_address_or_a_prefix_without_stray_bits() {
        for (text, read) in [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("::1", "::1/128")] {
            assert_eq!(network(text).map(|it| it.to_string()), Ok(read.to_owned()));
        }
        let error = network("10.1.2.3/8").expect_err("has stray bits");
        assert!(error.ends_with("write `10.0.0.0/8`"), "{error}");
        assert!(network("ten").is_err());
    }

    #[test]
    fn half_of_the_endpoints_may_be_ejected_by_default() {
        assert_eq!(EjectSpec::default().max_percent, Weight::from_percent(50.0).expect("50 is a share"));
    }
}
