//! What belongs to one connection alone, and what only we may say.

use super::{get, post};
use crate::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    [hops(), connections(), claims(), underscores()].into_iter().flatten().collect()
}

fn plain(name: &'static str, fields: &str) -> Case {
    case(name, get(fields)).passed(&["GET /x"])
}

fn hops() -> Vec<Case> {
    vec![
        plain("RFC 9110 7.6.1: Keep-Alive", "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n")
            .without(&["keep-alive"]),
        plain("RFC 9110 7.6.1: Proxy-Connection", "Proxy-Connection: keep-alive\r\n")
            .without(&["proxy-connection"]),
        plain("RFC 9110 11.7.2: Proxy-Authorization", "Proxy-Authorization: Basic x\r\n")
            .without(&["proxy-authorization"]),
        plain("RFC 9110 10.1.4: TE without Connection", "TE: gzip\r\n").without(&["te"]),
        plain("RFC 9110 10.1.4: TE: trailers", "TE: trailers\r\nConnection: TE\r\n").with("te: trailers"),
        plain("RFC 9110 10.1.4: TE with a weight", "TE: trailers;q=0\r\nConnection: TE\r\n").without(&["te"]),
        plain("RFC 9110 10.1.4: TE: chunked", "TE: chunked, trailers\r\nConnection: TE\r\n")
            .with("te: trailers"),
        plain("RFC 9110 7.8: Upgrade without Connection", "Upgrade: websocket\r\n").without(&["upgrade"]),
        plain("RFC 9110 10.1.1: Expect is ours to answer", "Expect: 100-continue\r\n").without(&["expect"]),
        plain(
            "RFC 7540 3.2.1: HTTP2-Settings without an upgrade",
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        )
        .with("host: a"),
    ]
}

fn connections() -> Vec<Case> {
    vec![
        plain("RFC 9110 7.6.1: a field that Connection names", "Connection: X-Secret\r\nX-Secret: 1\r\n")
            .without(&["x-secret", "connection"]),
        plain("RFC 9110 7.6.1: fields that two Connections name", {
            "Connection: X-A\r\nConnection: keep-alive,X-B\r\nX-A: 1\r\nX-B: 1\r\n"
        })
        .without(&["x-a", "x-b"]),
        plain("RFC 9110 7.6.1: names in other letters", "Connection: x-SECRET\r\nX-Secret: 1\r\n")
            .without(&["x-secret"]),
        plain("CVE-2024-45410: Connection names X-Forwarded-For", "Connection: X-Forwarded-For\r\n")
            .with("x-forwarded-for: 127.0.0.1"),
        plain("CVE-2024-45410: Connection names all that we add", {
            "Connection: X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Port, X-Request-Id\r\n"
        })
        .with("x-forwarded-proto: http"),
        plain("CVE-2021-33197: Connection names Host", "Connection: Host\r\n").with("host: a"),
        case("RFC 9110 7.6.1: Connection names Content-Length", {
            post("Content-Length: 5\r\nConnection: Content-Length\r\n", "hello")
        })
        .passed(&["POST /x hello"])
        .refused(),
        case("RFC 9110 7.6.1: Connection names Transfer-Encoding", {
            post("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n", "5\r\nhello\r\n0\r\n\r\n")
        })
        .passed(&["POST /x hello"])
        .refused(),
        plain("RFC 9110 7.6.1: Connection names what is not there", "Connection: X-None\r\n"),
        plain("RFC 9110 7.6.1: Connection with empty items", "Connection: ,, X-A ,\r\nX-A: 1\r\n")
            .without(&["x-a"]),
        plain(
            "RFC 9110 7.6.1: Connection with what is no token",
            "Connection: X A, \"b\", X-A\r\nX-A: 1\r\n",
        )
        .without(&["x-a"]),
        plain("RFC 9110 7.6.1: Connection names Connection", "Connection: Connection\r\n")
            .without(&["connection"]),
        case("RFC 9110 7.6.1: close and keep-alive at once", get("Connection: close, keep-alive\r\n"))
            .may("200, closed", &["GET /x"]),
        plain(
            "RFC 9110 7.6.1: 2,000 names in Connection",
            &format!("Connection: {}x-a\r\nX-A: 1\r\n", "y, ".repeat(2_000)),
        )
        .without(&["x-a"]),
    ]
}

fn claims() -> Vec<Case> {
    vec![
        plain("RFC 7239 4: a client says who it is", {
            "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-Proto: https\r\n"
        })
        .with("x-forwarded-for: 127.0.0.1"),
        plain("RFC 7239 4: X-Forwarded-For twice", "X-Forwarded-For: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2\r\n")
            .with("x-forwarded-for: 127.0.0.1"),
        plain("RFC 7239 4: X-Forwarded-Server and the like", "X-Forwarded-Server: b\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Port: 1\r\n")
            .without(&["x-forwarded-server", "x-forwarded-ssl"]),
        plain("RFC 9110 7.6.1: a request id of the client's", "X-Request-Id: theirs\r\n"),
        case("RFC 9110 9.3: a method by field is no method", get("X-HTTP-Method-Override: DELETE\r\n")).passed(&["GET /x"]),
        case("RFC 9110 7.1: a URL by field is no target", get("X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n"))
            .passed(&["GET /x"]),
    ]
}

fn underscores() -> Vec<Case> {
    vec![
        plain("RFC 3875 4.1.18: X_Forwarded_For reads as ours in CGI", "X_Forwarded_For: 10.0.0.1\r\n")
            .without(&["x_forwarded_for"]),
        plain("RFC 3875 4.1.18: X-Forwarded_For", "X-Forwarded_For: 10.0.0.1\r\n")
            .without(&["x-forwarded_for"]),
        plain("RFC 3875 4.1.18: X_Real_IP", "X_Real_IP: 10.0.0.1\r\n").without(&["x_real_ip"]),
        plain("RFC 3875 4.1.18: X_Request_Id", "X_Request_Id: 1\r\n").without(&["x_request_id"]),
        plain("RFC 3875 4.1.18: Content_Length", "Content_Length: 5\r\n").without(&["content_length"]),
        plain("RFC 3875 4.1.18: Proxy_Connection", "Proxy_Connection: close\r\n")
            .without(&["proxy_connection"]),
        plain("RFC 3875 4.1.18: an underscore that is nobody's", "X_Custom: 1\r\n").with("x_custom: 1"),
        plain("CVE-2016-5385: Proxy becomes HTTP_PROXY", "Proxy: http://evil.example\r\n")
            .without(&["proxy"]),
    ]
}
