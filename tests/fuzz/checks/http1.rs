//! HTTP/1.1 off the wire and onto it: what is read does not depend on the pieces in which it comes, and what we write is read
//! as what was meant.
//!
//! Input: the bytes of a connection, from either side.

use adit::proxy::fuzzing::{Message, answers, requests, written, written_in_chunks};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Uri};

pub(crate) fn check(data: &[u8]) {
    let whole = data.len().max(1);
    for read in [requests, answers] {
        let at_once = read(data, whole);
        for piece in [1, 3, 100] {
            assert_eq!(read(data, piece), at_once, "in pieces of {piece}");
        }
        for message in &at_once {
            is_framed_once(message);
        }
    }
    for request in requests(data, whole) {
        is_read_as_it_was_written(&request);
        is_whole_in_chunks(&request);
    }
}

fn is_framed_once(message: &Message) {
    let lengths = message.fields.get_all(CONTENT_LENGTH).iter().count();
    let is_coded = message.fields.contains_key(TRANSFER_ENCODING);
    assert!(lengths <= usize::from(!is_coded), "{message:?}");
}

fn is_read_as_it_was_written(request: &Message) {
    let (method, target) = request.line.split_once(' ').expect("two words");
    let (method, target): (Method, Uri) = (method.parse().expect("read"), target.parse().expect("read"));
    let fields = without_framing(&request.fields);
    let out = written(&method, &target, &fields);
    let read = requests(&out, out.len());
    // A head that is longer for its blanks and line ends may be too long.
    if let Some(read) = read.first() {
        let target = target.path_and_query().map_or("/", |target| target.as_str());
        assert_eq!((&read.line, &read.fields), (&format!("{method} {target}"), &fields));
        assert!(read.whole && read.body.is_empty());
    } else {
        assert!(out.len() > 4096, "{}", String::from_utf8_lossy(&out));
    }
}

fn is_whole_in_chunks(request: &Message) {
    let fields = without_framing(&request.fields);
    let out = written_in_chunks(&fields, &request.body);
    let read = answers(&out, 5);
    if let Some(read) = read.first() {
        assert!(read.whole && read.body == request.body, "{read:?}");
    }
}

fn without_framing(fields: &HeaderMap) -> HeaderMap {
    let mut fields = fields.clone();
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        fields.remove(name);
    }
    fields
}
