//! The health check of gRPC (grpc.health.v1): `Check` of one service, `SERVING` is good. The two messages are so small
//! that they are written and read by hand.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::{HeaderMap, StatusCode, Version};

use super::http2::{Answer, Request};
use super::probe::AGENT;
use super::state::ProbeError;

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// Not compressed, and four bytes of length.
const PREFIX: usize = 5;
/// `HealthCheckRequest.service`: field 1, bytes with a length.
const SERVICE: u8 = 0x0A;
/// `HealthCheckResponse.status`: field 1, a number.
const STATUS: u64 = 0x08;
/// What is shown of an endpoint's words.
const SHOWN: usize = 120;

/// Asks for `service`; empty: the server as a whole.
pub(super) fn request(
    scheme: &str,
    host: &str,
    service: &str,
    limit: Duration,
) -> Result<Request, ProbeError> {
    let uri = http::Uri::builder().scheme(scheme).authority(host).path_and_query(METHOD).build();
    let head = uri.and_then(|uri| {
        http::Request::post(uri)
            .version(Version::HTTP_2)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, AGENT)
            .header("grpc-timeout", format!("{}m", limit.as_millis().clamp(1, 99_999_999)))
            .body(())
    });
    let head = head.map_err(|error| ProbeError::Unsendable(error.to_string()))?;
    Ok(Request { head, body: Some(message(service)) })
}

/// Whether an answer says `SERVING`.
pub(super) fn judge(answer: &Answer) -> Result<StatusCode, ProbeError> {
    if answer.status != StatusCode::OK {
        return Err(ProbeError::Status(answer.status.as_u16()));
    }
    // An answer without a message has its status in the headers.
    let told = if answer.trailers.contains_key("grpc-status") { &answer.trailers } else { &answer.headers };
    match field(told, "grpc-status").as_deref() {
        Some("0") => {}
        Some(code) => {
            let words = field(told, "grpc-message").unwrap_or_default();
            return Err(ProbeError::Grpc(format!("status {code}, {}", named(code, &words))));
        }
        None => return Err(ProbeError::Grpc("the answer has no `grpc-status`".to_owned())),
    }
    match serving_status(&answer.body) {
        Some(1) => Ok(answer.status),
        Some(2) => Err(ProbeError::Grpc("NOT_SERVING".to_owned())),
        Some(3) => Err(ProbeError::Grpc("SERVICE_UNKNOWN".to_owned())),
        Some(_) => Err(ProbeError::Grpc("UNKNOWN".to_owned())),
        None => Err(ProbeError::Grpc("the answer is not a health check's".to_owned())),
    }
}

fn message(service: &str) -> Bytes {
    let mut fields = BytesMut::new();
    if !service.is_empty() {
        fields.put_u8(SERVICE);
        let mut length = service.len();
        while length >= 0x80 {
            fields.put_u8(u8::try_from(length & 0x7F).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        fields.put_u8(u8::try_from(length).unwrap_or(0));
        fields.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::with_capacity(PREFIX + fields.len());
    message.put_u8(0);
    message.put_u32(u32::try_from(fields.len()).unwrap_or(0));
    message.put_slice(&fields);
    message.freeze()
}

/// The number in an answer's message. What is not there is 0: that is how protobuf says `UNKNOWN`.
fn serving_status(body: &[u8]) -> Option<u64> {
    let (prefix, rest) = body.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let mut fields = rest.get(..usize::try_from(length).ok()?).filter(|_| prefix[0] == 0)?;
    let mut status = 0;
    while !fields.is_empty() {
        let key = varint(&mut fields)?;
        match key & 7 {
            0 => {
                let number = varint(&mut fields)?;
                status = if key == STATUS { number } else { status };
            }
            1 => fields = fields.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut fields)?).ok()?;
                fields = fields.get(length..)?;
            }
            5 => fields = fields.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name).map(HeaderValue::as_bytes)?;
    Some(String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(SHOWN).collect())
}

fn named(code: &str, words: &str) -> String {
    match (code, words) {
        ("12", "") => "unimplemented: the endpoint has no health service".to_owned(),
        ("5", "") => "not found: the endpoint does not know this service".to_owned(),
        (_, "") => "without a reason".to_owned(),
        (_, words) => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8]) -> Answer {
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            trailers,
        }
    }

    #[test]
    fn a_service_is_asked_for_by_name() {
        assert_eq!(message("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(message("a.B").as_ref(), [0, 0, 0, 0, 5, 0x0A, 3, b'a', b'.', b'B']);
        let long = "x".repeat(200);
        assert_eq!(message(&long)[..8], [0, 0, 0, 0, 203, 0x0A, 0xC8, 1]);
    }

    #[test]
    fn only_serving_is_good() {
        assert_eq!(judge(&answer(&[0, 0, 0, 0, 2, 8, 1])), Ok(StatusCode::OK));
        for (body, words) in [
            (&[0, 0, 0, 0, 0][..], "UNKNOWN"),
            (&[0, 0, 0, 0, 2, 8, 2], "NOT_SERVING"),
            (&[0, 0, 0, 0, 2, 8, 3], "SERVICE_UNKNOWN"),
            (&[0, 0, 0, 0, 9, 8, 1], "the answer is not a health check's"),
            (&[1, 0, 0, 0, 2, 8, 1], "the answer is not a health check's"),
            (&[], "the answer is not a health check's"),
        ] {
            assert_eq!(judge(&answer(body)), Err(ProbeError::Grpc(words.to_owned())), "{body:?}");
        }
    }

    #[test]
    fn fields_of_later_times_are_passed_over() {
        assert_eq!(serving_status(&[0, 0, 0, 0, 7, 0x12, 1, b'x', 0x18, 5, 8, 1]), Some(1));
        assert_eq!(serving_status(&[0, 0, 0, 0, 3, 0x12, 9, b'x']), None);
    }
}
