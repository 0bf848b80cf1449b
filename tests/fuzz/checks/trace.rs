//! `traceparent`: what is shown as a trace's id is one.
//!
//! Input: the value.

use adit::proxy::fuzzing::trace_id;
use http::HeaderValue;

pub(crate) fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let Some(id) = trace_id(&value) else { return };
    let hex = |text: &str| text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    assert!(id.len() == 32 && hex(id) && id.contains(|digit| digit != '0'), "{id}");
    let text = value.to_str().expect("an id was found in it");
    assert!(text.len() >= 55 && hex(&text[..2]) && !text.starts_with("ff"), "{text}");
    assert_eq!((&text[2..3], &text[3..35], &text[35..36], &text[52..53]), ("-", id, "-", "-"));
    assert!(text.len() == 55 || (!text.starts_with("00") && &text[55..56] == "-"), "{text}");
}
