//! Upgrades that must not make a tunnel.

use super::get;
use crate::case::{Case, Then, case};

pub(crate) fn cases() -> Vec<Case> {
    let hidden = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let h2c =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let plain = |name: &'static str, fields: &str| {
        case(name, get(fields)).passed(&["GET /x"]).without(&["upgrade", "connection", "http2-settings"])
    };
    vec![
        plain("RFC 7540 3.2: h2c is not passed on", h2c),
        plain("RFC 7540 3.2: h2c without Connection", "Upgrade: h2c\r\n"),
        plain("RFC 7540 3.2: h2c in capitals", "Connection: Upgrade\r\nUpgrade: H2C\r\n"),
        plain("RFC 9110 7.8: TLS within HTTP", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
        plain("RFC 9110 7.8: a protocol nobody knows", "Connection: Upgrade\r\nUpgrade: irc/6.9\r\n"),
        plain("RFC 9110 7.8: an empty Upgrade", "Connection: Upgrade\r\nUpgrade:\r\n"),
        case("RFC 7540 3.2: a request behind h2c is a request", [get(h2c), hidden.into()].concat())
            .may("200, 200, open", &["GET /x", "admin: GET /admin"])
            .without(&["upgrade"]),
        case("CVE-2026-2833: 101 for h2c that was not passed on", get(h2c))
            .answering(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                Then::Keep,
            )
            .bad_gateway(),
        case(
            "CVE-2024-23326: 200 for an upgrade makes no tunnel",
            [get("Connection: Upgrade\r\nUpgrade: h2c\r\n"), hidden.into()].concat(),
        )
        .may("200, 200, open", &["GET /x", "admin: GET /admin"]),
    ]
    .into_iter()
    .chain(websockets())
    .collect()
}

/// Handshakes of WebSocket that make no tunnel. Whether a good one is passed on is for others to test.
fn websockets() -> Vec<Case> {
    const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let hidden = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let shake = |fields: &str| get(&format!("{fields}{KEY}"));
    let good = || shake("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let request = |line: &str, fields: &str, body: &str| {
        format!("{line}\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{KEY}{fields}\r\n{body}")
    };
    let plain = |name: &'static str, bytes: Vec<u8>| {
        case(name, bytes).passed(&["GET /x"]).without(&["upgrade", "connection"])
    };
    let switching = |fields: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
    vec![
        case("RFC 6455 4.2.2: a handshake that the endpoint answers with 200", good())
            .passed(&["GET /x"])
            .may_upgrade("websocket"),
        case("RFC 6455 4.2.2: a handshake that the endpoint refuses", good())
            .answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno", Then::Keep)
            .may("426, open", &["GET /x"])
            .may_upgrade("websocket"),
        plain("RFC 6455 4.1: WebSocket without Connection", shake("Upgrade: websocket\r\n")),
        plain("RFC 6455 4.1: WebSocket or h2c", shake("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n")),
        plain("RFC 6455 4.1: h2c in a second Upgrade", {
            shake("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n")
        }),
        plain("RFC 6455 4.1: something that only begins like WebSocket", {
            shake("Connection: Upgrade\r\nUpgrade: websocket2\r\n")
        }),
        case("RFC 6455 4.1: WebSocket in HTTP/1.0", request("GET /x HTTP/1.0", "", ""))
            .may("200, closed", &["GET /x"])
            .without(&["upgrade", "connection"]),
        case(
            "RFC 6455 4.1: WebSocket by POST",
            request("POST /x HTTP/1.1", "Content-Length: 5\r\n", "hello"),
        )
        .passed(&["POST /x hello"])
        .without(&["upgrade", "connection"]),
        case(
            "RFC 6455 4.1: WebSocket with a body",
            request("GET /x HTTP/1.1", "Content-Length: 5\r\n", "hello"),
        )
        .passed(&["GET /x hello"])
        .without(&["upgrade", "connection"]),
        case("RFC 6455 4.1: WebSocket with a bad body", {
            request("GET /x HTTP/1.1", "Transfer-Encoding: chunked\r\n", "zz\r\n")
        })
        .refused_midway(),
        case("CVE-2026-2833: a request behind a handshake that fails", [good(), hidden.into()].concat())
            .may("200, 200, open", &["GET /x", "admin: GET /admin"])
            .may("200, closed", &["GET /x"])
            .may_upgrade("websocket"),
        case("RFC 9110 15.2.2: 101 for another protocol", good())
            .answering(switching("Connection: Upgrade\r\nUpgrade: h2c\r\n"), Then::Keep)
            .bad_gateway()
            .may_upgrade("websocket"),
        case("RFC 9110 15.2.2: 101 for no protocol", good())
            .answering(switching(""), Then::Keep)
            .bad_gateway()
            .may_upgrade("websocket"),
        case("RFC 9110 15.2.2: 101 for two protocols", good())
            .answering(switching("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), Then::Keep)
            .bad_gateway()
            .may_upgrade("websocket"),
        case("RFC 9110 15.2.2: 101 by halves, and then nothing", good())
            .answering("HTTP/1.1 101 Switching Pro", Then::Close)
            .any_gateway()
            .blamed()
            .may_upgrade("websocket"),
    ]
}
