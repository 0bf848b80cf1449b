//! What HTTP/2 forbids, said frame by frame: refused, and never passed on to an endpoint that reads lines.

use crate::endpoint::Scripted;
use crate::http2_client::{
    BAD_REQUEST, DATA, END_HEADERS, END_STREAM, HEADERS, NO_CONTENT, OK, Outcome, PRIORITY, Raw, WHOLE,
    block, plain,
};
use crate::wire::header;
use crate::world::{Proxy, Web, eventually};

type Field = (&'static [u8], &'static [u8]);

/// What may become of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// An answer of ours, on its own stream: its neighbours notice nothing.
    Refused,
    /// The stream is reset, or the `h2` crate gives up the connection where RFC 9113 section 8.1.1 asks for a reset.
    Broken,
}

/// Sends `GET http://a/` with some fields changed.
fn with(changes: &[Field], more: &[Field]) -> Vec<Field> {
    let changed = plain().map(|(name, value)| {
        let change = changes.iter().find(|(changed, _)| *changed == name);
        (name, change.map_or(value, |(_, value)| *value))
    });
    let present = changed.into_iter().filter(|(_, value)| *value != MISSING);
    present.chain(more.iter().copied()).collect()
}

const MISSING: &[u8] = b"(missing)";

#[track_caller]
fn assert_never_passed_on(fields: &[Field], fate: Fate) {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    client.send(HEADERS, WHOLE, 1, &block(fields));
    let outcome = client.outcome(1);
    let shown: Vec<_> = fields
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(endpoint.heads(), Vec::<String>::new(), "{shown:?}");
    match (fate, &outcome) {
        (Fate::Refused, Outcome::Answered(status)) => {
            assert_ne!(*status, 0x88, "{shown:?}");
            client.get(3, &[]);
            assert_eq!(client.outcome(3), OK, "the next stream after {shown:?}");
        }
        (Fate::Broken, Outcome::Reset(_) | Outcome::Goaway(_) | Outcome::Closed) => {}
        (Fate::Broken, Outcome::Answered(status)) if *status == BAD_REQUEST_BYTE => {}
        _ => panic!("{outcome:?} to {shown:?}"),
    }
    // Whatever it was, the next client is served.
    let mut next = Raw::connect(&proxy);
    next.get(1, &[]);
    assert_eq!(next.outcome(1), OK);
}

/// The `h2` crate answers some malformed requests itself.
const BAD_REQUEST_BYTE: u8 = 0x8c;

#[test]
fn rfc_9113_8_3_1_a_request_names_one_host_in_one_way() {
    for fields in [
        with(&[], &[(b"host", b"b")]),
        with(&[], &[(b"host", b"a:81")]),
        with(&[], &[(b"host", b"a"), (b"host", b"a")]),
        with(&[(b":authority", MISSING)], &[]),
        with(&[(b":authority", MISSING)], &[(b"host", b"a"), (b"host", b"b")]),
        with(&[(b":authority", b"user@a")], &[]),
        with(&[(b":authority", b"user:pass@a:80")], &[]),
        with(&[(b":authority", b"a:b")], &[]),
        with(&[(b":authority", b"a:99999")], &[]),
        with(&[(b":authority", b"[::1")], &[]),
        with(&[(b":authority", b"a,b")], &[]),
        with(&[(b":authority", b"a%2eb")], &[]),
    ] {
        let refused_by_h2 = ["a:99999", "[::1", "a:b", "a%2eb"];
        let authority = fields
            .iter()
            .find(|(name, _)| *name == b":authority")
            .map_or("", |(_, it)| std::str::from_utf8(it).unwrap());
        let fate = if refused_by_h2.contains(&authority) { Fate::Broken } else { Fate::Refused };
        assert_never_passed_on(&fields, fate);
    }
}

#[test]
fn rfc_9113_8_3_1_the_host_field_alone_will_do_and_may_repeat_the_authority() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    client.send(HEADERS, WHOLE, 1, &block(&with(&[(b":authority", MISSING)], &[(b"host", b"shop.example")])));
    assert_eq!(client.outcome(1), OK);
    client.send(
        HEADERS,
        WHOLE,
        3,
        &block(&with(&[(b":authority", b"shop.example")], &[(b"host", b"Shop.Example:80")])),
    );
    assert_eq!(client.outcome(3), OK);
    for head in endpoint.heads() {
        assert_eq!(head.matches("host:").count(), 2, "one, and one forwarded: {head}");
        assert_eq!(header(&head, "host"), Some("shop.example"), "{head}");
    }
}

#[test]
fn rfc_9113_8_3_1_a_path_is_absolute() {
    for (path, fate) in [
        (&b"*"[..], Fate::Refused),
        (b"", Fate::Broken),
        (b"a", Fate::Broken),
        (b"http://b/", Fate::Broken),
        (b"/a%00", Fate::Refused),
        (b"/a\\b", Fate::Refused),
    ] {
        assert_never_passed_on(&with(&[(b":path", path)], &[]), fate);
    }
}

#[test]
fn rfc_9110_9_3_7_options_of_all_asks_about_us() {
    let proxy = Proxy::start(Web::at(&[]));
    let mut client = Raw::connect(&proxy);
    client.send(HEADERS, WHOLE, 1, &block(&with(&[(b":method", b"OPTIONS"), (b":path", b"*")], &[])));
    assert_eq!(client.outcome(1), NO_CONTENT);
}

#[test]
fn cve_2021_32779_a_fragment_is_never_passed_on() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    client.send(HEADERS, WHOLE, 1, &block(&with(&[(b":path", b"/a#/../admin")], &[])));
    client.outcome(1);
    for head in endpoint.heads() {
        assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
    }
}

#[test]
fn cve_2021_39240_nothing_that_ends_a_line_or_a_word_crosses_into_http1() {
    for byte in [b'\r', b'\n', 0, b' ', b'\t'] {
        let evil = |before: &str, after: &str| -> &'static [u8] {
            let text = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            Box::leak(text.into_boxed_slice())
        };
        assert_never_passed_on(&with(&[(b":path", evil("/a", "HTTP/1.1"))], &[]), Fate::Broken);
        assert_never_passed_on(&with(&[(b":method", evil("GET", "/evil"))], &[]), Fate::Broken);
        assert_never_passed_on(&with(&[(b":authority", evil("a", "evil"))], &[]), Fate::Broken);
        assert_never_passed_on(&with(&[(b":scheme", evil("http", "evil"))], &[]), Fate::Broken);
        assert_never_passed_on(&with(&[], &[(evil("x-a", "evil"), b"1")]), Fate::Broken);
        if !matches!(byte, b' ' | b'\t') {
            assert_never_passed_on(&with(&[], &[(b"x-a", evil("1", "evil: 1"))]), Fate::Broken);
        }
    }
    assert_never_passed_on(&with(&[], &[(b"x-a:evil", b"1")]), Fate::Broken);
    assert_never_passed_on(&with(&[(b":method", b"GET:")], &[]), Fate::Broken);
    assert_never_passed_on(&with(&[(b":authority", b"a/evil")], &[]), Fate::Broken);
}

#[test]
fn rfc_9113_8_2_field_names_are_lower_case_and_not_empty() {
    for name in [&b"X-A"[..], b"", b"x(a"] {
        assert_never_passed_on(&with(&[], &[(name, b"1")]), Fate::Broken);
    }
}

#[test]
fn rfc_9113_8_2_2_fields_of_a_connection_have_no_place_on_a_stream() {
    for (name, value) in [
        (&b"connection"[..], &b"close"[..]),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"te", b"trailers, deflate"),
    ] {
        assert_never_passed_on(&with(&[], &[(name, value)]), Fate::Broken);
    }
}

#[test]
fn rfc_9113_8_3_pseudo_header_fields_come_once_first_and_are_known() {
    for fields in [
        with(&[(b":method", MISSING)], &[]),
        with(&[(b":scheme", MISSING)], &[]),
        with(&[(b":path", MISSING)], &[]),
        with(&[], &[(b":method", b"POST")]),
        with(&[], &[(b":path", b"/b")]),
        with(&[], &[(b":authority", b"b")]),
        with(&[], &[(b"x-a", b"1"), (b":scheme", b"http")]),
        with(&[], &[(b":status", b"200")]),
        with(&[], &[(b":made-up", b"1")]),
        with(&[(b":path", MISSING)], &[(b"x-a", b"1"), (b":path", b"/")]),
    ] {
        assert_never_passed_on(&fields, Fate::Broken);
    }
}

#[test]
fn cleartext_has_no_other_schemes() {
    assert_never_passed_on(&with(&[(b":scheme", b"ftp")], &[]), Fate::Refused);
}

#[test]
fn connect_and_its_extended_form_and_trace_are_refused_on_their_own_stream() {
    let connect = [(&b":method"[..], &b"CONNECT"[..]), (b":scheme", MISSING), (b":path", MISSING)];
    assert_never_passed_on(&with(&connect, &[]), Fate::Refused);
    assert_never_passed_on(&with(&[(b":method", b"TRACE")], &[]), Fate::Refused);
    // RFC 8441: it was not offered in our settings.
    let extended = [(&b":protocol"[..], &b"websocket"[..])];
    assert_never_passed_on(&with(&[(b":method", b"CONNECT")], &extended), Fate::Broken);
}

#[test]
fn rfc_9113_8_2_3_crumbs_of_a_cookie_are_joined_and_te_trailers_is_passed_on() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    client.get(1, &[(b"cookie", b"a=1"), (b"te", b"trailers"), (b"cookie", b"b=2"), (b"cookie", b"c=3")]);
    assert_eq!(client.outcome(1), OK);
    let head = &endpoint.heads()[0];
    assert_eq!((header(head, "cookie"), header(head, "te")), (Some("a=1; b=2; c=3"), Some("trailers")));
    assert_eq!(head.matches("cookie:").count(), 1, "{head}");
}

/// Sends the head of a POST with this length, and then these pieces of a body.
fn post(proxy: &Proxy, length: &'static [u8], pieces: &[(&[u8], u8)]) -> Outcome {
    let mut client = Raw::connect(proxy);
    let fields = with(&[(b":method", b"POST")], &[(b"content-length", length)]);
    client.send(HEADERS, END_HEADERS, 1, &block(&fields));
    for (piece, flags) in pieces {
        client.send(DATA, *flags, 1, piece);
    }
    client.outcome(1)
}

#[test]
fn rfc_9113_8_1_1_a_body_of_another_length_than_it_says_never_becomes_a_whole_request() {
    for (length, pieces) in [
        (&b"10"[..], &[(&b"hello"[..], END_STREAM)][..]),
        (b"3", &[(b"hello", END_STREAM)]),
        (b"5", &[(b"hello", 0), (b"world", END_STREAM)]),
        (b"5", &[(b"", END_STREAM)]),
        (b"+5", &[(b"hello", END_STREAM)]),
        (b"5, 5", &[(b"hello", END_STREAM)]),
        (b"0x5", &[(b"hello", END_STREAM)]),
        (b"99999999999999999999", &[(b"hello", END_STREAM)]),
    ] {
        // The endpoint answers only what it got whole.
        let endpoint = Scripted::saying("hello");
        let proxy = Proxy::start(Web::canary(&[crate::endpoint::nobody()], &[endpoint.address], 100.0));
        let outcome = post(&proxy, length, pieces);
        assert_ne!(outcome, OK, "{}", String::from_utf8_lossy(length));
        eventually("it ended", || proxy.in_flight() == 0);
        let (attempts, failures) = proxy.endpoint_counts(1, 0);
        assert_eq!(
            (attempts, failures),
            (0, 0),
            "it is the client's doing: {}",
            String::from_utf8_lossy(length)
        );
        assert_eq!(proxy.evidence().canary.completed, 0);
    }
}

#[test]
fn rfc_9113_8_1_trailers_have_nothing_of_a_head_and_end_the_stream() {
    for (flags, fields) in
        [(WHOLE, vec![(&b"connection"[..], &b"evil"[..])]), (END_HEADERS, vec![(&b"x-a"[..], &b"evil"[..])])]
    {
        let endpoint = Scripted::saying("hello");
        let proxy = Proxy::start(Web::of(&[&endpoint]));
        let mut client = Raw::connect(&proxy);
        client.send(HEADERS, END_HEADERS, 1, &block(&with(&[(b":method", b"POST")], &[])));
        client.send(DATA, 0, 1, b"hello");
        client.send(HEADERS, flags, 1, &block(&fields));
        let outcome = client.outcome(1);
        assert_ne!(outcome, OK, "{flags} {fields:?}");
    }
}

#[test]
fn pseudo_header_fields_among_trailers_go_nowhere() {
    // Malformed by RFC 9113 section 8.1; the `h2` crate drops them and goes on.
    let endpoint = Scripted::start(|wire| {
        let head = wire.request_head().unwrap();
        assert!(!head.contains("evil"), "{head}");
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            let Some(byte) = wire.bytes(1) else { return };
            body.push(char::from(byte[0]));
        }
        wire.send(crate::endpoint::ok(&body.replace("\r\n", "|")));
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    client.send(HEADERS, END_HEADERS, 1, &block(&with(&[(b":method", b"POST")], &[])));
    client.send(DATA, 0, 1, b"hello");
    client.send(HEADERS, WHOLE, 1, &block(&[(b":path", b"/evil"), (b":status", b"200")]));
    assert_eq!(client.outcome(1), OK);
    loop {
        let (kind, _, _, payload) = client.next().expect("a body");
        if kind == DATA {
            assert_eq!(payload, b"5|hello|0||");
            return;
        }
    }
}

#[test]
fn rfc_9113_5_3_2_priorities_are_ignored() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    for stream in [1, 3, 999] {
        client.send(PRIORITY, 0, stream, &[0, 0, 0, 0, 16]);
    }
    const WITH_PRIORITY: u8 = 0x20;
    let prioritised = [&[0x80, 0, 0, 0, 255][..], &block(&plain())].concat();
    client.send(HEADERS, WHOLE | WITH_PRIORITY, 1, &prioritised);
    assert_eq!(client.outcome(1), OK);
    client.get(3, &[]);
    assert_eq!(client.outcome(3), OK);
}

#[test]
fn a_refused_stream_leaves_its_neighbours_alone() {
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let endpoint = Scripted::start(move |wire| {
        while wire.request().is_some() {
            gate.lock().unwrap().recv().unwrap();
            wire.send(crate::endpoint::ok("hello"));
        }
    });
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = Raw::connect(&proxy);
    client.get(1, &[]);
    eventually("the endpoint was asked", || endpoint.heads().len() == 1);
    client.send(HEADERS, WHOLE, 3, &block(&with(&[], &[(b"host", b"b")])));
    assert_eq!(client.outcome(3), BAD_REQUEST);
    go.send(()).unwrap();
    assert_eq!(client.outcome(1), OK);
}
