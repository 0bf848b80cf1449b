//! Exactly one host, valid, and the same for routing and endpoint.

use crate::case::{Case, case};

fn host(host: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

pub(crate) fn cases() -> Vec<Case> {
    [counts(), authorities(), contradictions()].into_iter().flatten().collect()
}

fn counts() -> Vec<Case> {
    let lines = |fields: &str| format!("GET /x HTTP/1.1\r\n{fields}\r\n");
    vec![
        case("RFC 9112 3.2: no Host", lines("")).refused(),
        case("RFC 9112 3.2: two Hosts", lines("Host: a\r\nHost: b\r\n")).refused(),
        case("RFC 9112 3.2: two equal Hosts", lines("Host: a\r\nHost: a\r\n")).refused(),
        case("RFC 9112 3.2: two Hosts in different case", lines("Host: a\r\nHOST: b\r\n")).refused(),
        case("RFC 9112 3.2: two Hosts, one of them empty", lines("Host:\r\nHost: a\r\n")).refused(),
        case("RFC 9112 3.2: a second Host far behind", lines("Host: a\r\nX-A: 1\r\nX-B: 2\r\nHost: b\r\n"))
            .refused(),
        case("RFC 9112 3.2: a list of hosts", host("a, b")).refused(),
        case("RFC 9112 3.2: a second Host with a space before the colon", lines("Host: a\r\nHost : b\r\n"))
            .refused(),
        case("RFC 9112 3.2: a second Host, folded", lines("Host: a\r\n Host: b\r\n")).refused(),
        case("RFC 9112 3.2: an empty Host", lines("Host:\r\n")).passed(&["GET /x"]).refused(),
        case("RFC 9112 3.2: HTTP/1.0 without Host", "GET /x HTTP/1.0\r\n\r\n")
            .may("200, closed", &["GET /x"]),
        case("RFC 9112 3.2: HTTP/1.0 with two Hosts", "GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")
            .refused(),
    ]
}

fn authorities() -> Vec<Case> {
    vec![
        case("RFC 9110 7.2: a host with a port", host("a:8080")).passed(&["GET /x"]).with("host: a:8080"),
        case("RFC 9110 7.2: capitals", host("A.Example")).passed(&["GET /x"]),
        case("RFC 9110 7.2: a dot at the end", host("a.example.")).passed(&["GET /x"]),
        case("RFC 9110 7.2: an underscore, as Docker names have", host("my_web:80")).passed(&["GET /x"]),
        case("RFC 3986 3.2.2: an IPv6 address", host("[::1]:80")).passed(&["GET /x"]).with("host: [::1]:80"),
        case("RFC 3986 3.2.2: an IPv6 address without brackets", host("::1")).refused(),
        case("RFC 3986 3.2.2: a bracket that is not closed", host("[::1")).refused(),
        case("RFC 3986 3.2.2: something behind the bracket", host("[::1]a")).refused(),
        case("RFC 3986 3.2.2: brackets around a name", host("[a]")).refused(),
        case("RFC 6874: a zone", host("[fe80::1%25eth0]")).refused(),
        case("RFC 3986 3.2.1: userinfo", host("user@a")).refused(),
        case("RFC 3986 3.2.1: userinfo that looks like a port", host("a:80@b")).refused(),
        case("RFC 3986 3.2.3: a port of letters", host("a:http")).refused(),
        case("RFC 3986 3.2.3: a port with a sign", host("a:+80")).refused(),
        case("RFC 3986 3.2.3: a port beyond 65535", host("a:65536")).refused(),
        case("RFC 3986 3.2.3: two ports", host("a:80:81")).refused(),
        case("RFC 3986 3.2.3: a port without a host", host(":80")).refused(),
        case("RFC 9110 7.2: a path in Host", host("a/admin")).refused(),
        case("RFC 9110 7.2: a query in Host", host("a?b")).refused(),
        case("RFC 9110 7.2: a fragment in Host", host("a#b")).refused(),
        case("RFC 9110 7.2: a backslash in Host", host("a\\b")).refused(),
        case("RFC 9110 7.2: a space in Host", host("a b")).refused(),
        case("RFC 9110 7.2: a tab in Host", host("a\tb")).refused(),
        case("RFC 9110 7.2: an escape in Host", host("a%2eb")).refused(),
        case("RFC 9110 7.2: a comma in Host", host("a,b")).refused(),
        case("RFC 9110 7.2: an accent in Host", host("é.example")).refused(),
        case("RFC 9110 7.2: a quote in Host", host("\"a\"")).refused(),
        case("RFC 9110 7.2: a NUL in Host", host("a\0b")).refused(),
        case("RFC 9110 7.2: a scheme in Host", host("http://a")).refused(),
        case("RFC 1034 3.1: two dots in Host", host("a..b")).refused().passed(&["GET /x"]),
        case("RFC 1034 3.1: a dot for a Host", host(".")).refused(),
        case("RFC 1034 3.1: a Host of 20,000 letters", host(&"a".repeat(20_000))).may("400|431, closed", &[]),
        case("RFC 1034 3.1: a Host of 256 letters", host(&"a".repeat(256))).refused(),
    ]
}

fn contradictions() -> Vec<Case> {
    let absolute = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    vec![
        case("RFC 9112 3.2.2: target and Host name two hosts", absolute("http://a/x", "b"))
            .refused()
            .passed(&["GET /x"])
            .with("host: a"),
        case("RFC 9112 3.2.2: target and Host name two ports", absolute("http://a:81/x", "a:82"))
            .refused()
            .passed(&["GET /x"])
            .with("host: a:81"),
        case("RFC 9112 3.2.2: target and Host differ in case alone", absolute("http://A/x", "a"))
            .passed(&["GET /x"]),
        case("RFC 9112 3.2.2: target and Host differ by the default port", absolute("http://a:80/x", "a"))
            .passed(&["GET /x"]),
        case("RFC 9112 3.2.2: the target has a host and Host is not valid", absolute("http://a/x", "b@c"))
            .refused(),
        case("CVE-2026-2836: X-Forwarded-Host is no Host", {
            "GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nX-Host: b\r\n\r\n"
        })
        .passed(&["GET /x"])
        .with("host: a")
        .with("x-forwarded-host: a"),
    ]
}
