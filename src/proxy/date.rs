//! The time as HTTP writes it (RFC 9110 section 5.6.7).

use jiff::fmt::rfc2822::DateTimePrinter;

use crate::domain::Timestamp;

/// As `Sun, 06 Nov 1994 08:49:37 GMT`: always so long.
pub(super) type HttpDate = [u8; 29];

/// The time as a value of `Date`. Not for each answer: it takes longer than it looks.
pub(super) fn http_date(now: Timestamp) -> HttpDate {
    let seconds = i64::try_from(now.as_micros() / 1_000_000).unwrap_or(i64::MAX);
    let text = jiff::Timestamp::from_second(seconds)
        .and_then(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at))
        .unwrap_or_default();
    text.as_bytes().try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_as_the_standard_shows_it() {
        let now = Timestamp::from_micros(784_111_777_999_999);
        assert_eq!(&http_date(now), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&http_date(Timestamp::from_micros(0)), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
