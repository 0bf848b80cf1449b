//! The head of an answer, as HTTP/2 wants it.

use std::cell::RefCell;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue};

use crate::domain::Timestamp;
use crate::proxy::date::http_date;

/// What belongs to one connection and has no place on a stream (RFC 9113 section 8.2.2).
const OF_A_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The time as the field says it, written once a second.
#[derive(Default)]
pub(super) struct Dates(RefCell<Option<(u64, HeaderValue)>>);

/// Makes a head fit for a stream. `length`: of the body, if it is known and there is one.
pub(super) fn make_fit(headers: &mut HeaderMap, length: Option<u64>, date: impl FnOnce() -> HeaderValue) {
    // One look at each name, most often the only one.
    let (mut of_a_connection, mut dated, mut measured) = (false, false, false);
    for name in headers.keys() {
        dated |= *name == DATE;
        measured |= *name == CONTENT_LENGTH;
        of_a_connection |= OF_A_CONNECTION.contains(name);
    }
    if of_a_connection {
        for name in OF_A_CONNECTION {
            headers.remove(name);
        }
    }
    if !dated {
        headers.insert(DATE, date());
    }
    if let Some(length) = length.filter(|_| !measured) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

impl Dates {
    pub(super) fn at(&self, now: Timestamp) -> HeaderValue {
        let second = now.as_micros() / 1_000_000;
        let mut written = self.0.borrow_mut();
        match &*written {
            Some((of, date)) if *of == second => date.clone(),
            Some(_) | None => written.insert((second, write(now))).1.clone(),
        }
    }
}

fn write(now: Timestamp) -> HeaderValue {
    HeaderValue::from_bytes(&http_date(now))
        .unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(fields: &[(&'static str, &'static str)], length: Option<u64>) -> Vec<(String, String)> {
        let mut headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        make_fit(&mut headers, length, || HeaderValue::from_static("now"));
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        headers.iter().map(text).collect()
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_between_two_hops_has_no_place_on_a_stream() {
        let fields =
            [("connection", "close"), ("upgrade", "h2c"), ("keep-alive", "timeout=5"), ("date", "then")];
        assert_eq!(fit(&fields, None), owned(&[("date", "then")]));
    }

    #[test]
    fn date_and_length_are_added_where_they_are_missing_and_left_where_not() {
        assert_eq!(fit(&[], Some(5)), owned(&[("date", "now"), ("content-length", "5")]));
        let fields = [("content-length", "7"), ("date", "then")];
        assert_eq!(fit(&fields, Some(5)), owned(&fields));
    }

    #[test]
    fn the_time_is_that_of_the_answers_second() {
        let dates = Dates::default();
        let at = |micros| dates.at(Timestamp::from_micros(micros));
        assert_eq!(at(784_111_777_000_001), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_777_999_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778_000_000), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
