//! gRPC as far as a proxy has to know it (grpc/doc/PROTOCOL-HTTP2.md): which requests are calls, how long their clients wait,
//! and where an answer says how it ended.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::respond::Refusal;
use crate::domain::Timestamp;
use crate::domain::stats::GrpcCode;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const SAID_BY_SERVERS: [&str; 6] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-retry-pushback-ms",
    "grpc-internal-encoding-request",
    "grpc-internal-stream-encoding-request",
];
const APPLICATION_GRPC: &str = "application/grpc";
/// A client that waits for longer than this waits for ever.
const FOR_EVER: Duration = Duration::from_secs(30 * 86_400);
/// This close to its end the client's time is over: clocks and timers are not exact.
const CLOSE: Duration = Duration::from_millis(10);

/// When the client of a call will wait no longer, as it said itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: Timestamp,
    /// How long it was when the call came.
    given: Duration,
}

/// Whether a request with content of this type is a call. gRPC-Web is not: it is made for those who know nothing of gRPC,
/// and says in the body how it ended.
pub(super) fn is_call(content_type: &[u8]) -> bool {
    let (kind, rest) = content_type.split_at_checked(APPLICATION_GRPC.len()).unwrap_or_default();
    kind.eq_ignore_ascii_case(APPLICATION_GRPC.as_bytes())
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// How a call ended, if these fields say so.
pub(crate) fn code(headers: &HeaderMap) -> Option<GrpcCode> {
    headers.get(GRPC_STATUS).map(|value| GrpcCode::parse(value.as_bytes()))
}

/// The end of a call, in our words.
pub(crate) fn end(headers: &mut HeaderMap, code: GrpcCode, message: &str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code.number())));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
}

/// An answer that is nothing but its end ("Trailers-Only").
pub(crate) fn only_end(code: GrpcCode, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(APPLICATION_GRPC));
    end(response.headers_mut(), code, message);
    response
}

/// Refuses what servers of gRPC break a call off for, in fields that the protocol reserves: that would look like a failure of
/// theirs. What only servers say is taken out.
pub(crate) fn level(headers: &mut HeaderMap) -> Result<(), Refusal> {
    for name in SAID_BY_SERVERS {
        headers.remove(name);
    }
    let is_binary = |name: &HeaderName| name.as_str().ends_with("-bin");
    let mut binary = headers.iter().filter(|(name, _)| is_binary(name)).map(|(_, value)| value.as_bytes());
    let mut attempts = headers.get_all(PREVIOUS_ATTEMPTS).iter();
    let counted = attempts.all(|value| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit));
    if counted && binary.all(is_base64) { Ok(()) } else { Err(Refusal::BadCall) }
}

/// RFC 4648 section 4, with or without its padding; several values are joined by commas.
fn is_base64(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).all(|text| {
        let digits = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
        let padded = text.len() == digits || (text.len() % 4 == 0 && text.len() - digits <= 2);
        padded && digits % 4 != 1 && text[..digits].iter().all(is_digit)
    })
}

impl Deadline {
    /// Of a call that came `now`; `None`: its client waits for as long as it takes. Nonsense is refused here, since an
    /// endpoint's complaint about it would look like a failure.
    pub(crate) fn of(headers: &HeaderMap, now: Timestamp) -> Result<Option<Self>, Refusal> {
        let mut fields = headers.get_all(GRPC_TIMEOUT).iter();
        let given = match (fields.next(), fields.next()) {
            (None, _) => return Ok(None),
            (Some(only), None) => parse(only.as_bytes()).ok_or(Refusal::BadCall)?,
            (Some(_), Some(_)) => return Err(Refusal::BadCall),
        };
        Ok((given <= FOR_EVER).then(|| Self { at: now + given, given }))
    }

    /// Whether what goes wrong `now` may go wrong because the client's time is running out: an endpoint knows of it, and
    /// gives up a little earlier to say so in time.
    pub(crate) fn is_near(&self, now: Timestamp) -> bool {
        self.at - now <= CLOSE.max(self.given / 4)
    }

    /// Tells the endpoint what is left of it. Its own clock starts when it reads this, so it never gives up before us.
    pub(crate) fn pass_on(&self, headers: &mut HeaderMap, now: Timestamp) {
        let left = self.at - now;
        // At most eight digits.
        let micros = left.as_micros();
        let text =
            if micros < 100_000_000 { format!("{micros}u") } else { format!("{}m", left.as_millis() + 1) };
        let fits = text.len() <= 9;
        let text = if fits { text } else { format!("{}S", left.as_secs() + 1) };
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

/// One to eight digits and a unit.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else if write!(encoded, "%{byte:02X}").is_err() {
            return String::new();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_servers_of_grpc_break_a_call_off_for_is_refused() {
        for (name, value, fine) in [
            ("x-bin", "AAEC", true),
            ("x-bin", "AAE=", true),
            ("x-bin", "AAE", true),
            ("x-bin", "AA==,AAEC", true),
            ("x-bin", "", true),
            ("x-bin", "!!!notb64", false),
            ("x-bin", "A", false),
            ("x-bin", "A===", false),
            ("grpc-trace-bin", "zz zz", false),
            ("x", "!!!", true),
            ("grpc-previous-rpc-attempts", "2", true),
            ("grpc-previous-rpc-attempts", "zz", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert_eq!(level(&mut fields).is_ok(), fine, "{name}: {value}");
        }
        let mut fields = headers(GRPC_STATUS, &["zz"]);
        assert_eq!((level(&mut fields), fields.len()), (Ok(()), 0));
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for (value, is_call) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("Application/GRPC+json", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(super::is_call(value.as_bytes()), is_call, "{value:?}");
        }
    }

    #[test]
    fn deadlines_are_read_as_they_are_written_or_refused() {
        let now = Timestamp::from_micros(1_000_000);
        for (value, given) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("00000250m", Some(Duration::from_millis(250))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("0n", Some(Duration::ZERO)),
        ] {
            let read = Deadline::of(&headers(GRPC_TIMEOUT, &[value]), now).unwrap().unwrap();
            assert_eq!(Some(read.given), given, "{value}");
        }
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1 S", "123456789S", "1.5S", "1SS", "０S"] {
            let field =
                HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_bytes(bad.as_bytes()).unwrap())]);
            assert_eq!(Deadline::of(&field, now), Err(Refusal::BadCall), "{bad:?}");
        }
        assert_eq!(Deadline::of(&headers(GRPC_TIMEOUT, &["1S", "1S"]), now), Err(Refusal::BadCall));
        assert_eq!(Deadline::of(&HeaderMap::new(), now), Ok(None));
        assert_eq!(Deadline::of(&headers(GRPC_TIMEOUT, &["99999999H"]), now), Ok(None), "for ever");
    }

    #[test]
    fn an_endpoint_is_told_what_is_left_in_eight_digits() {
        let came = Timestamp::from_micros(1_000_000);
        for (given, spent, passed) in [
            ("1S", Duration::from_millis(250), "750000u"),
            ("1S", Duration::from_secs(2), "0u"),
            ("10M", Duration::ZERO, "600001m"),
            ("700H", Duration::ZERO, "2520001S"),
        ] {
            let mut fields = headers(GRPC_TIMEOUT, &[given]);
            let deadline = Deadline::of(&fields, came).unwrap().unwrap();
            deadline.pass_on(&mut fields, came + spent);
            assert_eq!(fields[&GRPC_TIMEOUT], passed, "{given}");
        }
    }

    #[test]
    fn the_last_quarter_of_the_clients_time_is_near_its_end() {
        let came = Timestamp::from_micros(1_000_000);
        let deadline = Deadline::of(&headers(GRPC_TIMEOUT, &["1S"]), came).unwrap().unwrap();
        for (millis, near) in [(0, false), (740, false), (750, true), (1000, true), (5000, true)] {
            assert_eq!(deadline.is_near(came + Duration::from_millis(millis)), near, "after {millis} ms");
        }
        let tiny = Deadline::of(&headers(GRPC_TIMEOUT, &["1m"]), came).unwrap().unwrap();
        assert!(tiny.is_near(came), "a millisecond says nothing from its beginning");
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("100 % fine\r\nx: y é"), "100 %25 fine%0D%0Ax: y %C3%A9");
    }
}
