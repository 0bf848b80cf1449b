//! How a service's requests and endpoints are treated: `health`, `eject`, `timeouts`, `retry`, `affinity`, `override`.

use std::time::Duration;

use http::HeaderName;
use http::uri::PathAndQuery;

use super::access::{access, networks, rate_limit};
use super::file::{DAY, MILLISECOND};
use super::limits;
use super::reader::Table;
use super::rescue::Handling;
use super::retry::retry;
use super::routes::header_name;
use super::spec::{EjectSpec, HealthSpec};
use super::upgrades::upgrades;
use super::value::Value;
use crate::domain::routing::{Affinity, Connection, Override, Policy, Protocol, Timeouts};

const HOUR: Duration = Duration::from_secs(3600);
/// More often, and checks are a load of their own.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Health checks.
pub(super) fn health(table: &mut Table<'_>, protocol: Protocol) -> HealthSpec {
    let default = HealthSpec::default();
    let spec = HealthSpec {
        path: table.value("path").and_then(|value| value.parsed(check_path)),
        grpc: table.value("grpc").and_then(|value| value.parsed(grpc_service)),
        interval: table.duration("interval", SHORTEST_INTERVAL..=HOUR, default.interval),
        timeout: table.duration("timeout", MILLISECOND..=HOUR, default.timeout),
        rise: count(table, "rise", default.rise),
        fall: count(table, "fall", default.fall),
    };
    if spec.path.is_some() && spec.grpc.is_some() {
        let help = "keep `path` for a GET, or `grpc` for the health check of gRPC";
        table.error_of("grpc", "`path` and `grpc` exclude each other", Some(help.to_owned()));
    } else if spec.grpc.is_some() && protocol == Protocol::Http1 {
        let help = "write `protocol = \"http2\"` in the service's `connection` table";
        table.error_of("grpc", "gRPC needs HTTP/2", Some(help.to_owned()));
    }
    spec
}

/// The name of a gRPC service; empty: the server as a whole.
fn grpc_service(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    match text.len() <= 256 && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("{text:?} is not the name of a gRPC service: write it as \"shop.v1.Cart\" or \"\""))
        }
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
pub(super) fn policy(
    service: &mut Table<'_>,
    connection: Connection,
    eject: &EjectSpec,
    handling: Handling,
) -> Policy {
    let affinity = service
        .table("affinity", |table| table.value("by").and_then(|value| affinity(&value)).unwrap_or_default());
    let version_override =
        service.value("override").and_then(|value| value.table(version_override).flatten());
    let timeouts = service.table("timeouts", timeouts);
    let retry = service.table("retry", |table| retry(table, timeouts.response));
    Policy {
        connection,
        timeouts,
        retry,
        limits: service.table("limits", limits::of_service),
        affinity,
        version_override,
        rescue: handling.rescue,
        on_missing: handling.on_missing,
        preview_host: handling.preview_host.map(|(host, _)| host),
        upgrades: upgrades(service),
        access: access(service),
        rate_limit: rate_limit(service),
        eject_after: eject.consecutive_failures,
    }
}

fn timeouts(table: &mut Table<'_>) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: table.duration("connect", MILLISECOND..=HOUR, default.connect),
        response: table.duration("response", MILLISECOND..=DAY, default.response),
        idle: table.duration("idle", MILLISECOND..=DAY, default.idle),
        stream_idle: table.duration("stream_idle", MILLISECOND..=DAY, default.stream_idle),
        request: table.value("request").and_then(|value| value.duration(&(MILLISECOND..=DAY))),
        tunnel: table.duration("tunnel", MILLISECOND..=DAY, default.tunnel),
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
    let from = networks(&from, "name networks, or remove the whole table to let nobody choose")?;
    Some(Override { header: header?, from })
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
    fn half_of_the_endpoints_may_be_ejected_by_default() {
        assert_eq!(EjectSpec::default().max_percent, Weight::from_percent(50.0).expect("50 is a share"));
    }
}
