//! Our cookie among all that may stand in `Cookie` fields.
//!
//! Input: values, one per line.

use adit::proxy::fuzzing::cookie;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

pub(crate) fn check(data: &[u8]) {
    let mut fields = HeaderMap::new();
    for value in data.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(COOKIE, value);
        }
    }
    let mut values = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let expected = values.find_map(first_id);
    assert_eq!(cookie(&fields), expected.as_deref(), "{fields:?}");
}

/// The same, read letter by letter.
fn first_id(value: &[u8]) -> Option<Vec<u8>> {
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    text.split(';').find_map(|pair| {
        let (name, id) = pair.split_once('=')?;
        let blank = [' ', '\t', '\n', '\r', '\x0C'];
        let (name, id) = (name.trim_start_matches(blank), id.trim_end_matches(blank));
        let is_id = id.chars().count() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit());
        (name == "adit_id" && is_id).then(|| id.bytes().collect())
    })
}
