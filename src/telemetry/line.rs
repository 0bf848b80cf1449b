//! A line of the access log: flat JSON, every field always there, `null` when there is nothing to say. Written by hand,
//! because there is one for each request: it costs a third of what a general serializer needs.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::access_log::Entry;
use crate::domain::Timestamp;
use crate::domain::stats::{ErrorReason, GrpcCode};

/// The text of the last second that was asked for: most lines share it with the one before.
#[derive(Debug, Default)]
pub(super) struct Second {
    number: u64,
    text: String,
}

/// Adds an entry as a line. A `Vec` takes all bytes: what `write` says of it need not be looked at.
pub(super) fn write(lines: &mut Vec<u8>, second: &mut Second, entry: &Entry<'_>) {
    let mut line = Line(lines);
    line.moment(second, entry.at);
    line.raw(r#","level":"info","msg":"request""#);
    line.text("request_id", entry.request_id);
    line.text_if("trace_id", entry.trace_id);
    line.ip("client_ip", entry.client_ip);
    line.text("method", entry.method);
    line.text("scheme", entry.scheme);
    line.text("host", entry.host);
    line.text("path", entry.path);
    line.text_if("query", entry.query);
    line.text("proto", entry.proto);
    line.number("status", entry.status.into());
    line.text_if("grpc_status", entry.grpc_status.map(GrpcCode::as_str));
    line.number("bytes_in", entry.bytes_in);
    line.number("bytes_out", entry.bytes_out);
    line.millis("duration_ms", Some(entry.duration));
    line.millis("upstream_ms", entry.upstream);
    line.text_if("service", entry.service);
    line.text_if("version", entry.version);
    line.address("endpoint", entry.endpoint);
    line.number_if("rollout", entry.rollout);
    line.text_if("assigned_by", entry.assigned_by);
    line.number("retries", entry.retries.into());
    line.flag("rescued", entry.rescued);
    line.text_if("answered_by", entry.answered_by);
    line.text_if("error", entry.error.map(ErrorReason::as_str));
    line.text_if("user_agent", entry.user_agent);
    line.raw("}\n");
}

struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn key(&mut self, key: &str) {
        self.raw(",\"");
        self.raw(key);
        self.raw("\":");
    }

    /// The first field.
    fn moment(&mut self, second: &mut Second, at: Timestamp) {
        self.raw("{\"ts\":\"");
        let micros = at.as_micros();
        if second.text.is_empty() || second.number != micros / 1_000_000 {
            *second = Second { number: micros / 1_000_000, text: at.to_string() };
        }
        match second.text.strip_suffix('Z').and_then(|text| text.get(..text.len() - 3)) {
            Some(text) => {
                self.raw(text);
                self.thousandth(micros / 1_000 % 1_000);
                self.raw("Z\"");
            }
            // Beyond the calendar.
            None => {
                self.raw(&at.to_string());
                self.raw("\"");
            }
        }
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        // Without a way out of the middle it is done in great steps.
        let odd =
            text.bytes().fold(false, |odd, byte| odd | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
        if odd {
            let _written = serde_json::to_writer(&mut *self.0, text);
        } else {
            self.raw("\"");
            self.raw(text);
            self.raw("\"");
        }
    }

    fn text_if(&mut self, key: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(key, text),
            None => self.null(key),
        }
    }

    fn null(&mut self, key: &str) {
        self.key(key);
        self.raw("null");
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.raw(if flag { "true" } else { "false" });
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        self.digits(number);
    }

    fn number_if(&mut self, key: &str, number: Option<u64>) {
        match number {
            Some(number) => self.number(key, number),
            None => self.null(key),
        }
    }

    /// Milliseconds to a thousandth, as JSON has them elsewhere: `1.0`, `1.25`.
    fn millis(&mut self, key: &str, duration: Option<Duration>) {
        let Some(duration) = duration else { return self.null(key) };
        let micros = u64::try_from((duration.as_nanos() + 500) / 1_000).unwrap_or(u64::MAX);
        self.key(key);
        self.digits(micros / 1_000);
        self.raw(".");
        self.thousandth(micros % 1_000);
        for _ in 0..2 {
            if self.0.ends_with(b"0") {
                self.0.pop();
            }
        }
    }

    fn ip(&mut self, key: &str, ip: IpAddr) {
        self.key(key);
        self.raw("\"");
        self.octets(ip);
        self.raw("\"");
    }

    fn address(&mut self, key: &str, address: Option<SocketAddr>) {
        let Some(address) = address else { return self.null(key) };
        self.key(key);
        self.raw("\"");
        match address {
            SocketAddr::V4(address) => {
                self.octets(IpAddr::V4(*address.ip()));
                self.raw(":");
                self.digits(address.port().into());
            }
            SocketAddr::V6(address) => {
                let _written = write!(self.0, "{address}");
            }
        }
        self.raw("\"");
    }

    fn octets(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                let [first, rest @ ..] = ip.octets();
                self.digits(first.into());
                for octet in rest {
                    self.raw(".");
                    self.digits(octet.into());
                }
            }
            IpAddr::V6(ip) => {
                let _written = write!(self.0, "{ip}");
            }
        }
    }

    fn thousandth(&mut self, number: u64) {
        let digits = [number / 100, number / 10, number].map(last_digit);
        self.0.extend_from_slice(&digits);
    }

    fn digits(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut from = digits.len();
        loop {
            from -= 1;
            digits[from] = last_digit(number);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[from..]);
    }
}

fn last_digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Line(&mut bytes));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn moments_of_one_second_and_of_others_are_each_their_own() {
        let mut second = Second::default();
        for micros in
            [0, 999, 1_000, 999_999, 1_000_000, 1_700_000_000_123_456, 1_700_000_000_999_999, 5, u64::MAX]
        {
            let at = Timestamp::from_micros(micros);
            assert_eq!(written(|line| line.moment(&mut second, at)), format!("{{\"ts\":\"{at}\""));
        }
    }

    proptest! {
        #[test]
        fn values_are_written_as_serde_json_writes_them(
            text in any::<String>(),
            number in any::<u64>(),
            micros in 0..10_000_000_000_u64,
            four in any::<u32>(),
            six in any::<u128>(),
            port in any::<u16>(),
        ) {
            prop_assert_eq!(written(|line| line.text("k", &text)), format!(",\"k\":{}", serde_json::to_string(&text).unwrap()));
            prop_assert_eq!(written(|line| line.number("k", number)), format!(",\"k\":{number}"));
            let millis = serde_json::to_string(&(micros as f64 / 1e3)).unwrap();
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(written(|line| line.millis("k", Some(duration))), format!(",\"k\":{millis}"));
            for ip in [IpAddr::V4(Ipv4Addr::from(four)), IpAddr::V6(Ipv6Addr::from(six))] {
                prop_assert_eq!(written(|line| line.ip("k", ip)), format!(",\"k\":\"{ip}\""));
                let address = SocketAddr::new(ip, port);
                prop_assert_eq!(written(|line| line.address("k", Some(address))), format!(",\"k\":\"{address}\""));
            }
        }
    }
}
