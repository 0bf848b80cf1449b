//! What an HTTP/2 request may say, and that nothing of it becomes something else in HTTP/1.1.

use crate::case::Case;
use crate::h2::{DATA, END_HEADERS, HEADERS, block, data, field, frame, h2, headers, opens, request};

pub(crate) fn cases() -> Vec<Case> {
    [pseudo(), forbidden(), injections(), lengths(), trailers(), hosts(), good()]
        .into_iter()
        .flatten()
        .collect()
}

fn malformed(case: Case) -> Case {
    case.malformed()
}

fn bare(name: &'static str, fields: &[(&str, &str)]) -> Case {
    malformed(h2(name, &[headers(1, &block(fields))]))
}

fn with(name: &'static str, fields: &[(&str, &str)]) -> Case {
    h2(name, &[headers(1, &request("GET", "/x", fields))])
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/x");
const AUTHORITY: (&str, &str) = (":authority", "a");

fn pseudo() -> Vec<Case> {
    vec![
        bare("RFC 9113 8.3.1: no method", &[SCHEME, PATH, AUTHORITY]),
        bare("RFC 9113 8.3.1: no scheme", &[METHOD, PATH, AUTHORITY]),
        bare("RFC 9113 8.3.1: no path", &[METHOD, SCHEME, AUTHORITY]),
        bare("RFC 9113 8.3.1: an empty path", &[METHOD, SCHEME, (":path", ""), AUTHORITY]),
        bare("RFC 9113 8.3.1: an empty method", &[(":method", ""), SCHEME, PATH, AUTHORITY]),
        bare("RFC 9113 8.3.1: two methods", &[METHOD, (":method", "POST"), SCHEME, PATH, AUTHORITY]),
        bare("RFC 9113 8.3.1: two paths", &[METHOD, SCHEME, PATH, (":path", "/admin"), AUTHORITY]),
        bare("RFC 9113 8.3.1: two schemes", &[METHOD, SCHEME, SCHEME, PATH, AUTHORITY]),
        bare("RFC 9113 8.3.1: two authorities", &[METHOD, SCHEME, PATH, AUTHORITY, (":authority", "b")]),
        bare("RFC 9113 8.3: a pseudo field nobody knows", &[METHOD, SCHEME, PATH, AUTHORITY, (":x", "1")]),
        bare("RFC 9113 8.3: a status in a request", &[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")]),
        bare("RFC 9113 8.3: a pseudo field behind a field", &[METHOD, SCHEME, AUTHORITY, ("x-a", "1"), PATH]),
        bare(
            "RFC 8441 4: :protocol without CONNECT",
            &[METHOD, SCHEME, PATH, AUTHORITY, (":protocol", "websocket")],
        ),
        bare("RFC 9113 8.3.1: no fields at all", &[]),
        bare("RFC 9113 8.3.1: a scheme that is none", &[METHOD, (":scheme", "h t"), PATH, AUTHORITY]),
        bare("RFC 9113 8.3.1: a scheme that is not HTTP", &[METHOD, (":scheme", "ftp"), PATH, AUTHORITY]),
        bare(
            "RFC 9113 8.3.1: a scheme that is a URL",
            &[METHOD, (":scheme", "http://a/admin?"), PATH, AUTHORITY],
        ),
        bare("RFC 9113 8.3.1: a path without a slash", &[METHOD, SCHEME, (":path", "x"), AUTHORITY])
            .may("1: 200, open", &["GET /x"]),
        bare(
            "RFC 9113 8.3.1: a path that is a URL",
            &[METHOD, SCHEME, (":path", "http://b/admin"), AUTHORITY],
        )
        .may("1: 200, open", &["GET /http://b/admin"]),
        bare("RFC 9113 8.3.1: an asterisk for GET", &[METHOD, SCHEME, (":path", "*"), AUTHORITY]),
        bare("RFC 9113 8.5: CONNECT", &[(":method", "CONNECT"), (":authority", "a:80")])
            .may("1: 405, open", &[]),
        bare("RFC 9113 8.5: CONNECT with a path", &[(":method", "CONNECT"), SCHEME, PATH, AUTHORITY])
            .may("1: 405, open", &[]),
        bare("RFC 8441 4: extended CONNECT that we did not offer", &{
            [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY]
        })
        .may("1: 405, open", &[]),
    ]
}

fn forbidden() -> Vec<Case> {
    let never = |name: &'static str, field: (&str, &str)| malformed(with(name, &[field]));
    vec![
        never("RFC 9113 8.2.2: Connection", ("connection", "close")),
        never("RFC 9113 8.2.2: Connection that names a field", ("connection", "x-forwarded-for")),
        never("CVE-2021-33193: Transfer-Encoding", ("transfer-encoding", "chunked")),
        never("RFC 9113 8.2.2: Keep-Alive", ("keep-alive", "timeout=5")),
        never("RFC 9113 8.2.2: Proxy-Connection", ("proxy-connection", "keep-alive")),
        never("RFC 9113 8.2.2: Upgrade", ("upgrade", "websocket")),
        never("RFC 9113 8.2.2: TE that is not trailers", ("te", "gzip")).may("1: 200, open", &["GET /x"]),
        never("RFC 9113 8.2.1: capitals in a name", ("X-A", "1")),
        never("RFC 9113 8.2.1: an empty name", ("", "1")),
        never("RFC 9113 8.2.1: a space in a name", ("x a", "1")),
        never("RFC 9113 8.2.1: a colon within a name", ("x:a", "1")),
        never("RFC 9113 8.2.1: a control character in a name", ("x\x01a", "1")),
        never("RFC 9113 8.2.1: an accent in a name", ("é", "1")),
        with("RFC 9113 8.2.1: a space before a value", &[("x-a", " 1")])
            .may("1: 200, open", &["GET /x"])
            .malformed(),
        with("RFC 9113 8.2.2: TE: trailers", &[("te", "trailers")])
            .may("1: 200, open", &["GET /x"])
            .with("te: trailers"),
    ]
}

fn injections() -> Vec<Case> {
    let value = |name: &'static str, value: &str| malformed(with(name, &[("x-a", value)]));
    let name = |name: &'static str, field: &str| malformed(with(name, &[(field, "1")]));
    let path = |name: &'static str, path: &str| bare(name, &[METHOD, SCHEME, (":path", path), AUTHORITY]);
    let method =
        |name: &'static str, method: &str| bare(name, &[(":method", method), SCHEME, PATH, AUTHORITY]);
    let authority =
        |name: &'static str, authority: &str| bare(name, &[METHOD, SCHEME, PATH, (":authority", authority)]);
    vec![
        value("CVE-2021-21295: CR LF in a value", "1\r\nx-forwarded-for: 10.0.0.1"),
        value("CVE-2021-21295: a request in a value", "1\r\n\r\nGET /admin HTTP/1.1\r\nhost: a"),
        value("CVE-2021-21295: LF in a value", "1\nx-b: 2"),
        value("CVE-2021-21295: CR in a value", "1\rx-b: 2"),
        value("CVE-2021-21295: NUL in a value", "1\x002"),
        name("CVE-2021-39240: CR LF in a name", "x-a: 1\r\nx-b"),
        name("CVE-2021-39240: LF in a name", "x-a\nx-b"),
        name("CVE-2021-39240: NUL in a name", "x\0a"),
        name("CVE-2021-39240: a colon and a value in a name", "transfer-encoding: chunked\r\nx"),
        path("CVE-2021-39241: CR LF in the path", "/x HTTP/1.1\r\nhost: b\r\n\r\nGET /admin"),
        path("CVE-2021-39241: a space in the path", "/x HTTP/1.1"),
        path("CVE-2021-39241: a tab in the path", "/x\ty"),
        path("CVE-2021-39241: NUL in the path", "/x\0"),
        path("CVE-2021-39241: a fragment in the path", "/x#/../admin").may("1: 200, open", &["GET /x"]),
        path("CVE-2021-39241: a backslash in the path", "/x\\..\\admin"),
        method("CVE-2021-39242: CR LF in the method", "GET /admin HTTP/1.1\r\nhost: a\r\n\r\nGET"),
        method("CVE-2021-39242: a space in the method", "GET /admin"),
        method("CVE-2021-39242: NUL in the method", "GET\0"),
        authority("CVE-2021-39242: CR LF in the authority", "a\r\nx-a: 1"),
        authority("CVE-2021-39242: a space in the authority", "a b"),
        authority("CVE-2021-39242: NUL in the authority", "a\0"),
        authority("CVE-2021-39242: a path in the authority", "a/admin"),
        authority("RFC 9110 4.2.4: userinfo in the authority", "user@a"),
        malformed(h2(
            "CVE-2021-33193: a body that looks like a request, and no length",
            &[
                opens(1, &request("POST", "/x", &[])),
                data(1, b"0\r\n\r\nGET /admin HTTP/1.1\r\nhost: a\r\n\r\n"),
            ],
        ))
        .may("1: 200, open", &["POST /x 0\r\n\r\nGET /admin HTTP/1.1\r\nhost: a\r\n\r\n"]),
    ]
}

fn lengths() -> Vec<Case> {
    let post = |name: &'static str, length: &str, body: &[u8]| {
        malformed(h2(name, &[opens(1, &request("POST", "/x", &[("content-length", length)])), data(1, body)]))
    };
    vec![
        post("RFC 9113 8.1.1: less DATA than the length says", "10", b"hello"),
        post("RFC 9113 8.1.1: more DATA than the length says", "2", b"hello"),
        post("RFC 9113 8.1.1: DATA, and a length of 0", "0", b"GET /admin HTTP/1.1\r\nhost: a\r\n\r\n"),
        post("CVE-2021-32715: a length with a plus over HTTP/2", "+5", b"hello"),
        post("RFC 9110 8.6: an empty length over HTTP/2", "", b"hello"),
        post("RFC 9110 8.6: a list of lengths over HTTP/2", "5, 5", b"hello"),
        post("RFC 9110 8.6: a length beyond 64 bits over HTTP/2", "99999999999999999999", b"hello"),
        malformed(with("RFC 9113 8.1.1: a length, and no DATA at all", &[("content-length", "5")])),
        malformed(h2(
            "RFC 9110 8.6: two lengths over HTTP/2",
            &[
                opens(1, &request("POST", "/x", &[("content-length", "5"), ("content-length", "6")])),
                data(1, b"hello"),
            ],
        )),
        h2(
            "RFC 9110 8.6: two equal lengths over HTTP/2",
            &[
                opens(1, &request("POST", "/x", &[("content-length", "5"), ("content-length", "5")])),
                data(1, b"hello"),
            ],
        )
        .may("1: 200, open", &["POST /x hello"])
        .malformed(),
    ]
}

fn trailers() -> Vec<Case> {
    let trailed = |name: &'static str, trailers: &[(&str, &str)]| {
        h2(
            name,
            &[
                opens(1, &request("POST", "/x", &[("te", "trailers"), ("trailer", "x-t")])),
                frame(DATA, 0, 1, b"hello"),
                headers(1, &block(trailers)),
            ],
        )
    };
    let passes = |name: &'static str, field: (&str, &str)| {
        malformed(trailed(name, &[field])).may("1: 200, open", &["POST /x hello"])
    };
    vec![
        trailed("RFC 9113 8.1: a trailer", &[("x-t", "1")]).may("1: 200, open", &["POST /x hello"]),
        // h2 drops them without a word.
        passes("RFC 9113 8.1: a pseudo field in a trailer", (":path", "/admin")),
        passes("RFC 9113 8.1: a method in a trailer", (":method", "GET")),
        malformed(trailed("RFC 9113 8.2.1: CR LF in a trailer", &[("x-t", "1\r\nx: 2")])),
        malformed(trailed("RFC 9113 8.2.1: capitals in a trailer", &[("X-T", "1")])),
        passes("RFC 9110 6.5.1: a length in a trailer over HTTP/2", ("content-length", "100")),
        passes("RFC 9113 8.2.2: a coding in a trailer over HTTP/2", ("transfer-encoding", "chunked")),
        passes("RFC 9110 6.5.1: X-Forwarded-For in a trailer over HTTP/2", ("x-forwarded-for", "10.0.0.1")),
        malformed(h2(
            "RFC 9113 8.1: trailers that do not end the stream",
            &[opens(1, &request("POST", "/x", &[])), frame(HEADERS, END_HEADERS, 1, &field("x-t", "1"))],
        ))
        .may("goaway PROTOCOL_ERROR, closed", &["..."]),
    ]
}

fn hosts() -> Vec<Case> {
    vec![
        with("RFC 9113 8.3.1: Host that says the same", &[("host", "a")])
            .may("1: 200, open", &["GET /x"])
            .with("host: a"),
        malformed(with("RFC 9113 8.3.1: Host that says something else", &[("host", "b")])),
        malformed(with("RFC 9113 8.3.1: two Hosts over HTTP/2", &[("host", "a"), ("host", "a")])),
        h2(
            "RFC 9113 8.3.1: Host and no authority",
            &[headers(1, &block(&[METHOD, SCHEME, PATH, ("host", "a")]))],
        )
        .may("1: 200, open", &["GET /x"])
        .with("host: a"),
        malformed(h2(
            "RFC 9113 8.3.1: neither Host nor authority",
            &[headers(1, &block(&[METHOD, SCHEME, PATH]))],
        )),
        bare("RFC 9113 8.3.1: an empty authority", &[METHOD, SCHEME, PATH, (":authority", "")])
            .may("1: 200, open", &["GET /x"]),
    ]
}

fn good() -> Vec<Case> {
    let large = |count: usize| vec![("x-a", "0123456789abcdef"); count];
    vec![
        with("RFC 9113 8.2.3: crumbs of a cookie", &[("cookie", "a=1"), ("cookie", "b=2")])
            .may("1: 200, open", &["GET /x"])
            .with("cookie: a=1; b=2"),
        with("RFC 9113 8.2.3: a cookie that says Connection", &[("cookie", "connection: close")])
            .may("1: 200, open", &["GET /x"])
            .with("cookie: connection: close"),
        with("RFC 7239 4: a client says who it is over HTTP/2", &{
            [("x-forwarded-for", "10.0.0.1"), ("x_forwarded_for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")]
        })
        .may("1: 200, open", &["GET /x"])
        .with("x-forwarded-for: 127.0.0.1"),
        with("RFC 9110 10.1.1: Expect over HTTP/2", &[("expect", "100-continue")])
            .may("1: 200, open", &["GET /x"]),
        h2(
            "CVE-2021-29492: a dot segment over HTTP/2",
            &[headers(1, &request("GET", "/x/%2e%2e/admin", &[]))],
        )
        .may("1: 200, open", &["admin: GET /x/%2e%2e/admin"]),
        h2("RFC 9113 5.1: a body over HTTP/2", &[opens(1, &request("POST", "/x", &[])), data(1, b"hello")])
            .may("1: 200, open", &["POST /x hello"]),
        h2(
            "RFC 9110 9.3.1: a GET with a body over HTTP/2",
            &[opens(1, &request("GET", "/x", &[])), data(1, b"hello")],
        )
        .may("1: 200, open", &["GET /x hello"]),
        h2("RFC 6585 5: a field list of 100,000 bytes over HTTP/2", &{
            let whole = request("GET", "/x", &large(4_000));
            let mut frames = vec![frame(HEADERS, 1, 1, &whole[..16_000])];
            frames.extend(whole[16_000..].chunks(16_000).map(|part| frame(9, 0, 1, part)));
            frames.push(frame(9, END_HEADERS, 1, &[]));
            frames
        })
        .may("1: 431, open", &[])
        .may("goaway ENHANCE_YOUR_CALM, closed", &[])
        .may("goaway PROTOCOL_ERROR, closed", &[])
        .may("1: reset PROTOCOL_ERROR, open", &[]),
        h2("RFC 9110 15.5.15: a path of 17,000 bytes over HTTP/2", &{
            let whole = request("GET", &format!("/{}", "x".repeat(17_000)), &[]);
            vec![frame(HEADERS, 1, 1, &whole[..16_000]), frame(9, END_HEADERS, 1, &whole[16_000..])]
        })
        .may("1: 414, open", &[])
        .may("1: 431, open", &[]),
    ]
}
