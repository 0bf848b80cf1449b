//! `[limits]` and `[services.*.limits]`: how much clients may take, and for how long.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::file::{DAY, MILLISECOND};
use super::reader::Table;
use super::size;
use super::value::Value;
use crate::domain::routing::{Limits, ServiceLimits};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What HTTP/2 allows for a window (RFC 9113 section 6.9.1).
const LARGEST_WINDOW: usize = (1 << 31) - 1;
const HOUR: Duration = Duration::from_secs(3_600);
const MANY: u64 = 1_000_000;

/// What holds for every client.
pub(super) fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let per_client = table.value("connections_per_client").and_then(|value| value.integer(&(1..=MANY)));
    let bounds = MILLISECOND..=DAY;
    Limits {
        connections: count(table, "connections", 1..=MANY, default.connections),
        connections_per_client: per_client.and_then(|count| u32::try_from(count).ok()),
        first_byte: table.duration("first_byte", bounds.clone(), default.first_byte),
        tls_handshake: table.duration("tls_handshake", bounds.clone(), default.tls_handshake),
        head: table.duration("head", bounds.clone(), default.head),
        idle: table.duration("idle", bounds.clone(), default.idle),
        age: table.duration("age", Duration::from_secs(1)..=DAY * 365, default.age),
        requests: table.integer("requests", 1..=1_000_000_000, default.requests),
        // Below 8 KiB ordinary requests would fail; what is buffered of a connection grows with it.
        header_bytes: small(bytes(table, "header_bytes", 8 * KIB..=MIB), default.header_bytes),
        header_fields: usize::try_from(count(table, "header_fields", 10..=1000, 100))
            .unwrap_or(default.header_fields),
        trailer_bytes: bytes(table, "trailer_bytes", 0..=MIB).unwrap_or(default.trailer_bytes),
        target_bytes: bytes(table, "target_bytes", KIB..=64 * KIB - 2).unwrap_or(default.target_bytes),
        http2_streams: count(table, "http2_streams", 1..=10_000, default.http2_streams),
        http2_stream_window: window(table, "http2_stream_window", default.http2_stream_window),
        http2_connection_window: window(table, "http2_connection_window", default.http2_connection_window),
    }
}

/// What holds for one service's requests.
pub(super) fn of_service(table: &mut Table<'_>) -> ServiceLimits {
    let default = ServiceLimits::default();
    let max_in_flight = table.value("max_in_flight").and_then(|value| value.integer(&(1..=MANY)));
    let max_body = bytes(table, "max_body", 0..=usize::MAX);
    let min_rate = bytes(table, "min_rate", 1..=usize::MAX);
    if max_in_flight.is_none() && table.sound() {
        for key in ["queue", "queue_wait"] {
            if table.value(key).is_some_and(|value| !value.is_unwritten()) {
                let help = "add `max_in_flight`: how many requests are answered at once";
                table.error_of(key, "it does nothing without `max_in_flight`", Some(help.to_owned()));
            }
        }
    }
    ServiceLimits {
        max_body: max_body.and_then(|bytes| u64::try_from(bytes).ok()),
        body_idle: table.duration("body_idle", MILLISECOND..=DAY, default.body_idle),
        min_rate: min_rate.and_then(|bytes| u64::try_from(bytes).ok()),
        max_in_flight: max_in_flight.and_then(|count| u32::try_from(count).ok()),
        queue: count(table, "queue", 0..=MANY, default.queue),
        queue_wait: table.duration("queue_wait", MILLISECOND..=HOUR, default.queue_wait),
    }
}

fn count(table: &mut Table<'_>, key: &'static str, bounds: RangeInclusive<u64>, default: u32) -> u32 {
    u32::try_from(table.integer(key, bounds, u64::from(default))).unwrap_or(default)
}

fn window(table: &mut Table<'_>, key: &'static str, default: u32) -> u32 {
    // Less than RFC 9113's own first window would be an odd thing to want.
    small(bytes(table, key, 64 * KIB - 1..=LARGEST_WINDOW), default)
}

fn small(bytes: Option<usize>, default: u32) -> u32 {
    bytes.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(default)
}

fn bytes(table: &mut Table<'_>, key: &'static str, bounds: RangeInclusive<usize>) -> Option<usize> {
    let read = |value: Value<'_>| {
        let size = value.parsed(size::parse)?;
        if !bounds.contains(&size) {
            let (least, most) = (size::show(*bounds.start()), size::show(*bounds.end()));
            value.error(format!("must be from {least} to {most}"), None);
        }
        Some(size)
    };
    table.value(key).and_then(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::Spec;

    fn read(limits: &str, of_service: &str) -> Spec {
        let text = format!(
            "[limits]\n{limits}\n[[listeners]]\naddress = \"[::]:0\"\n[services.web]\nrelease = \"v1\"\n\
             versions.v1 = {{ endpoints = [\"a:1\"] }}\nlimits = {{ {of_service} }}\n"
        );
        crate::config::parse(&text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn what_is_not_limited_has_its_default() {
        let spec = read("", "");
        assert_eq!(*spec.limits, Limits::default());
        let web = spec.services.values().next().expect("a service");
        assert_eq!(web.policy.limits, ServiceLimits::default());
    }

    #[test]
    fn limits_are_read() {
        let spec = read(
            "connections = 10\nconnections_per_client = 2\nheader_bytes = \"64KiB\"\nage = \"10m\"",
            "max_body = \"10MiB\", max_in_flight = 7, queue = 0, min_rate = \"1KiB\"",
        );
        assert_eq!((spec.limits.connections, spec.limits.connections_per_client), (10, Some(2)));
        assert_eq!((spec.limits.header_bytes, spec.limits.age), (65_536, Duration::from_secs(600)));
        let web = spec.services.values().next().expect("a service").policy.limits;
        assert_eq!((web.max_body, web.max_in_flight), (Some(10 << 20), Some(7)));
        assert_eq!((web.queue, web.min_rate), (0, Some(1024)));
    }
}
