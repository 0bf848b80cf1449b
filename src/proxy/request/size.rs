//! Whether a request's head is within the limits: the same for HTTP/1.1 and HTTP/2, so that no way in takes more than
//! another.

use http::request::Parts;
use http::{HeaderMap, Version};

use super::fields::{Fields, PER_FIELD};
use super::respond::Refusal;
use crate::domain::routing::Limits;

/// The four fields that say what an HTTP/2 request asks for, but for their values.
const ASKING: usize = 4 * PER_FIELD + ":method:scheme:authority:path".len() + "https".len();

/// Refuses a head that is too large.
pub(crate) fn refuse_large(parts: &Parts, fields: &Fields, limits: &Limits) -> Result<(), Refusal> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    // HTTP/2's own was counted before it was a request.
    let counted = parts.version == Version::HTTP_2;
    let most = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
    if parts.headers.len() > limits.header_fields
        || (!counted && ASKING + target + parts.method.as_str().len() + fields.bytes > most)
    {
        return Err(Refusal::HeadTooLarge);
    }
    Ok(())
}

/// Names and values of trailers.
pub(crate) fn of_trailers(trailers: &HeaderMap) -> usize {
    trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(target: &str, fields: usize, value: &str) -> Result<(), Refusal> {
        let mut request = Request::get(target);
        for number in 0..fields {
            request = request.header(format!("x-{number}"), value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        refuse_large(&parts, &Fields::of(&parts.headers), &Limits::default())
    }

    #[test]
    fn a_head_is_measured_by_target_fields_and_bytes() {
        let long = |length: usize| format!("/{}", "a".repeat(length - 1));
        for (outcome, expected) in [
            (asked("/", 100, "v"), Ok(())),
            (asked("/", 101, "v"), Err(Refusal::HeadTooLarge)),
            (asked("/", 1, &"v".repeat(32_000)), Ok(())),
            (asked("/", 1, &"v".repeat(32_768)), Err(Refusal::HeadTooLarge)),
            // Small fields weigh more than their bytes.
            (asked("/", 99, &"v".repeat(300)), Err(Refusal::HeadTooLarge)),
            (asked(&long(16_384), 1, "v"), Ok(())),
            (asked(&long(16_385), 1, "v"), Err(Refusal::TargetTooLong)),
            (asked(&long(16_384), 1, &"v".repeat(16_384)), Err(Refusal::HeadTooLarge)),
        ] {
            assert_eq!(outcome, expected);
        }
    }
}
