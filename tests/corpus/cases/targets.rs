//! The request line and the four forms of a target.

use super::target;
use crate::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    [lines(), methods(), forms(), characters()].into_iter().flatten().collect()
}

fn lines() -> Vec<Case> {
    vec![
        case("RFC 9112 2.2: lines that end in LF alone", "GET /x HTTP/1.1\nHost: a\n\n")
            .passed(&["GET /x"])
            .refused(),
        case("RFC 9112 2.2: an empty line before the request", "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .passed(&["GET /x"]),
        case("RFC 9112 2.2: a bare CR in the request line", "GET /x\rHTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 2.2: a bare CR behind the version", "GET /x HTTP/1.1\rHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: two spaces before the target", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: two spaces before the version", "GET /x  HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: a tab for a space", "GET\t/x\tHTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: a space before the method", " GET /x HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: a space behind the version", "GET /x HTTP/1.1 \r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: no version, as in HTTP/0.9", "GET /x\r\n\r\n").refused(),
        case("RFC 9112 3: no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: an empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: a word too many", "GET /x y HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 2.3: HTTP/1.2", "GET /x HTTP/1.2\r\nHost: a\r\n\r\n")
            .may("400|505, closed", &[])
            .passed(&["GET /x"]),
        case("RFC 9112 2.3: HTTP/2.0 in a request line", "GET /x HTTP/2.0\r\nHost: a\r\n\r\n")
            .may("400|505, closed", &[]),
        case("RFC 9112 2.3: HTTP/11.1", "GET /x HTTP/11.1\r\nHost: a\r\n\r\n").may("400|505, closed", &[]),
        case("RFC 9112 2.3: a version in lower case", "GET /x http/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 2.3: a version without digits", "GET /x HTTP/\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 2: no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n").refused(),
        case("RFC 9112 2: a greeting of SMTP", "EHLO a\r\n\r\n").refused(),
        case("RFC 9112 2: an answer for a request", "HTTP/1.1 200 OK\r\nHost: a\r\n\r\n").refused(),
    ]
}

fn methods() -> Vec<Case> {
    let long = format!("{} /x HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(40_000));
    vec![
        case("RFC 9110 9.1: a method nobody knows", "BREW /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .passed(&["BREW /x"]),
        case("RFC 9110 9.1: methods have a case", "get /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .passed(&["get /x"])
            .refused(),
        case("RFC 9110 9.1: a method that is no token", "G@T /x HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9110 9.1: a method with a NUL", "G\0T /x HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9110 9.1: a method with a colon", "GET: /x HTTP/1.1\r\nHost: a\r\n\r\n").refused(),
        case("RFC 9112 3: a method of 40,000 bytes", long).may("400|431|414|501, closed", &[]),
        case("RFC 9110 9.3.6: CONNECT with an authority", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n")
            .may("400|405, closed", &[]),
        case("RFC 9110 9.3.6: CONNECT with a path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .may("400|405, closed", &[]),
        case(
            "CVE-2025-64763: bytes behind a CONNECT are no request",
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .may("400|405, closed", &[]),
        case(
            "RFC 9110 9.3.8: TRACE shows fields to scripts",
            "TRACE /x HTTP/1.1\r\nHost: a\r\nCookie: s\r\n\r\n",
        )
        .may("405, closed", &[]),
        case("RFC 9110 9.3.7: OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").may("204, open", &[]),
        case("RFC 9110 9.3.7: OPTIONS of something", "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .passed(&["OPTIONS /x"]),
    ]
}

fn forms() -> Vec<Case> {
    let long = |length: usize| target(&format!("/{}", "x".repeat(length)));
    vec![
        case("RFC 9112 3.2.4: an asterisk for GET", target("*")).refused(),
        case("RFC 9112 3.2.3: an authority for GET", target("a:80")).may("400|405, closed", &[]),
        case("RFC 9112 3.2.2: the absolute form", target("http://a/x")).passed(&["GET /x"]).with("host: a"),
        case("RFC 9112 3.2.2: a scheme and host in capitals", target("HTTP://A/x")).passed(&["GET /x"]),
        case("RFC 9112 3.2.2: the absolute form without a path", target("http://a")).passed(&["GET /"]),
        case("RFC 9112 3.2.2: the absolute form with a query alone", target("http://a?q=/../admin"))
            .passed(&["GET /?q=/../admin"])
            .refused(),
        case("RFC 9112 3.2.2: the absolute form wins over no Host", "GET http://a/x HTTP/1.0\r\n\r\n")
            .may("200, closed", &["GET /x"])
            .with("host: a"),
        case("RFC 9112 3.2.2: a scheme that is not HTTP", target("ftp://a/x")).refused(),
        case("RFC 9112 3.2.2: file for a scheme", target("file:///etc/passwd")).refused(),
        case("RFC 9110 4.2.4: userinfo in the target", target("http://user:pass@a/x")).refused(),
        case("RFC 9110 4.2.4: userinfo that looks like a host", target("http://a:80@b/x")).refused(),
        case("RFC 9112 3.2.2: no host in the absolute form", target("http:///x")).refused(),
        case("RFC 9112 3.2.2: one slash behind the scheme", target("http:/x")).refused(),
        case("RFC 9112 3.2: a relative path", target("x/y")).refused(),
        case("RFC 9112 3.2: a relative path with a dot", target("./x")).refused(),
        case("RFC 9112 3.2: a query alone", target("?q")).refused(),
        case("RFC 9112 3.2: two slashes are a path, no authority", target("//b/x")).passed(&["GET //b/x"]),
        case("RFC 9112 3: a target of 16,000 bytes", long(16_000).as_slice())
            .may("200, open", &[])
            .any_endpoint()
            .although("targets may have 16 KiB, heads 32 KiB; the others' buffers hold 8 and 15 KiB"),
        case("RFC 9110 15.5.15: a target of 17,000 bytes", long(17_000)).may("414, closed", &[]),
        case("RFC 9110 15.5.15: a target of 100,000 bytes", long(100_000)).may("414|431|400, closed", &[]),
    ]
}

const FRAGMENT: &str = "hyper cuts the fragment off: routes and endpoints see the same path without it";

fn characters() -> Vec<Case> {
    vec![
        case("CVE-2023-45539: a fragment in the target", target("/x#y"))
            .passed(&["GET /x"])
            .refused()
            .although(FRAGMENT),
        case("CVE-2021-32779: a fragment before a path", target("/x#/../admin"))
            .passed(&["GET /x"])
            .refused()
            .although(FRAGMENT),
        case("RFC 9112 3.2: a fragment alone", target("#x")).refused(),
        case("RFC 3986 3.3: a NUL in the target", target("/x\0y")).refused(),
        case("RFC 3986 3.3: a NUL, escaped", target("/x%00y")).refused(),
        case("RFC 3986 3.3: a DEL in the target", target("/x\x7fy")).refused(),
        case("RFC 3986 3.3: a control character in the target", target("/x\x01y")).refused(),
        case("RFC 3986 3.3: a line break in the target", target("/x\ny")).refused(),
        case("CVE-2023-25690: a line break in the path, escaped", target("/x%0d%0aHost:%20b"))
            .passed(&["GET /x%0d%0aHost:%20b"])
            .refused(),
        case("CVE-2023-25690: a line break in the query, escaped", target("/x?%0d%0aHost:%20b"))
            .passed(&["GET /x?%0d%0aHost:%20b"]),
        case("RFC 3986 2.1: half an escape", target("/x%")).refused(),
        case("RFC 3986 2.1: an escape of no digits", target("/x%zz")).refused(),
        case("RFC 3986 2.1: an escape of signs", target("/x%+1")).refused(),
        case("RFC 3986 2.1: a wide escape of Microsoft", target("/%u002e")).refused(),
        case("RFC 3986 3.3: a backslash in the path", target("/x\\y")).refused(),
        case("RFC 3986 3.3: a bar and braces, which some clients send", target("/x|{y}"))
            .passed(&["GET /x|{y}"])
            .refused(),
        case("RFC 3986 3.3: quotes and angles", target("/x\"<y>")).passed(&["GET /x\"<y>"]).refused(),
        case("RFC 3986 2.5: raw UTF-8 in the path", target("/é")).passed(&["GET /é"]).refused(),
        case("RFC 3986 2.5: no UTF-8 in the path", b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n".as_slice())
            .refused()
            .may("200, open", &[])
            .any_endpoint(),
        case("RFC 3986 2.5: an overlong UTF-8 slash, escaped", target("/x%c0%af..%c0%afadmin"))
            .passed(&["GET /x%c0%af..%c0%afadmin"])
            .refused(),
    ]
}
