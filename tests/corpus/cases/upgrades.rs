//! Upgrades that must not make a tunnel.

use super::get;
use crate::case::{Case, Then, case};

pub(crate) fn cases() -> Vec<Case> {
    let hidden = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
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
            .answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", Then::Keep)
            .bad_gateway(),
        case("CVE-2024-23326: 200 for an upgrade makes no tunnel", [get("Connection: Upgrade\r\nUpgrade: h2c\r\n"), hidden.into()].concat())
            .may("200, 200, open", &["GET /x", "admin: GET /admin"]),
    ]
}
