//! Endpoints that answer badly: the client sees 502 or a body that is visibly cut, the connection to the endpoint is not
//! used again, and it is the endpoint's fault.

use crate::case::{Case, Then, When, answer};

pub(crate) fn cases() -> Vec<Case> {
    [lines(), informational(), fields(), framing(), chunks(), bodiless(), poison(), deaths(), good()]
        .into_iter()
        .flatten()
        .collect()
}

const GET: &[&str] = &["GET /x"];

fn bad(name: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    answer(name, bytes, Then::Keep).bad_gateway()
}

fn lines() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nContent-Length: 2\r\n\r\nhi");
    vec![
        bad("RFC 9112 4: no HTTP", "hello, this is no answer\r\n\r\n"),
        bad("RFC 9112 4: a greeting of SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        bad("RFC 9112 4: a status of two digits", line("HTTP/1.1 20 OK")),
        bad("RFC 9112 4: a status of four digits", line("HTTP/1.1 2000 OK")),
        bad("RFC 9112 4: a status of letters", line("HTTP/1.1 abc OK")),
        bad("RFC 9110 15: a status of 000", line("HTTP/1.1 000 OK")),
        bad("RFC 9110 15: a status of 099", line("HTTP/1.1 099 OK")),
        bad("RFC 9110 15: a status of 600", line("HTTP/1.1 600 OK")),
        bad("RFC 9110 15: a status of 999", line("HTTP/1.1 999 OK")),
        bad("RFC 9112 2.3: HTTP/2.0 in a status line", line("HTTP/2.0 200 OK")),
        bad("RFC 9112 2.3: HTTP/1.9 in a status line", line("HTTP/1.9 200 OK"))
            .may("200, open", GET)
            .either_blame(),
        bad("RFC 9112 4: a version in lower case", line("http/1.1 200 OK")),
        bad("RFC 9112 4: a NUL in the reason", line("HTTP/1.1 200 O\0K")),
        bad("RFC 9112 4: a CR in the reason", line("HTTP/1.1 200 O\rK")),
        answer("RFC 9112 4: no reason", line("HTTP/1.1 200"), Then::Keep).may("200, open", GET),
        answer("RFC 9112 4: a reason that nobody knows", line("HTTP/1.1 299 Whatever"), Then::Keep)
            .may("299, open", GET),
        answer(
            "RFC 9112 2.2: a status line that ends in LF",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
            Then::Keep,
        )
        .may("200, open", GET),
    ]
}

fn informational() -> Vec<Case> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let flood = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(2_000);
    vec![
        answer(
            "RFC 9110 15.2: 100 that nobody asked for",
            format!("HTTP/1.1 100 Continue\r\n\r\n{ok}"),
            Then::Keep,
        )
        .may("200, open", GET),
        answer(
            "RFC 8297 2: 103 before the answer",
            format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{ok}"),
            Then::Keep,
        )
        .may("200, open", GET)
        .may("103, 200, open", GET),
        answer("RFC 9110 15.2: an unknown 1xx", format!("HTTP/1.1 199 Hm\r\n\r\n{ok}"), Then::Keep)
            .may("200, open", GET),
        answer("RFC 9110 15.2: a flood of 1xx, then an answer", format!("{flood}{ok}"), Then::Keep)
            .may("200, open", GET)
            .alone(),
        bad("RFC 9110 15.2: 1xx and nothing else", "HTTP/1.1 103 Early Hints\r\n\r\n").then(Then::Close),
        bad(
            "CVE-2026-2833: 101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        bad(
            "CVE-2026-2833: 101 and an answer behind it",
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n{ok}"),
        ),
    ]
}

fn fields() -> Vec<Case> {
    let with = |field: &str| format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 2\r\n\r\nhi");
    let huge = format!("X-A: {}", "x".repeat(200_000));
    let many = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    vec![
        bad("RFC 9112 5.1: a field without a colon", with("X-A")),
        bad("CVE-2023-25725: an empty name in an answer", with(": 1")),
        bad("RFC 9110 5.5: a NUL in a value of an answer", with("X-A: 1\x002")),
        bad("CVE-2023-27493: a CR in a value of an answer", with("X-A: 1\rSet-Cookie: a=b")),
        bad("RFC 9112 5.2: a folded value in an answer", with("X-A: 1\r\n 2"))
            .may("200, open", GET)
            .either_blame(),
        bad("RFC 9112 5.1: a space before the colon in an answer", with("X-A : 1"))
            .may("200, open", GET)
            .either_blame(),
        bad("RFC 6585 5: a head of 200,000 bytes", with(&huge)),
        bad("RFC 6585 5: 150 fields in an answer", with(many.trim_end())),
        answer(
            "RFC 9110 7.6.1: an answer's Connection names a field",
            with("Connection: X-Secret\r\nX-Secret: 1"),
            Then::Keep,
        )
        .may("200, open", GET)
        .hides(&["x-secret"]),
        answer(
            "RFC 9110 7.6.1: Keep-Alive in an answer",
            with("Connection: keep-alive\r\nKeep-Alive: timeout=5"),
            Then::Keep,
        )
        .may("200, open", GET)
        .hides(&["keep-alive"]),
        answer("RFC 9110 7.8: Upgrade in an answer", with("Connection: Upgrade\r\nUpgrade: h2c"), Then::Keep)
            .may("200, open", GET)
            .hides(&["upgrade"]),
        answer(
            "RFC 9110 7.6.1: Connection: close is between the endpoint and us",
            with("Connection: close"),
            Then::Close,
        )
        .may("200, open", GET),
        answer(
            "RFC 9110 11.7.1: Proxy-Authenticate in an answer",
            with("Proxy-Authenticate: Basic"),
            Then::Keep,
        )
        .may("200, open", GET)
        .hides(&["proxy-authenticate"]),
    ]
}

fn framing() -> Vec<Case> {
    let length = |value: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\nhello");
    let coding =
        |value: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    vec![
        bad("RFC 9112 6.3: two different lengths in an answer", length("5\r\nContent-Length: 6")),
        bad("RFC 9112 6.3: a list of lengths in an answer", length("5, 6")),
        bad("RFC 9112 6.3: a length with a plus in an answer", length("+5")),
        bad("RFC 9112 6.3: a negative length in an answer", length("-5")),
        bad("RFC 9112 6.3: an empty length in an answer", length("")),
        bad("RFC 9112 6.3: a length beyond 64 bits in an answer", length("99999999999999999999999")),
        answer("RFC 9112 6.3: two equal lengths in an answer", length("5\r\nContent-Length: 5"), Then::Keep)
            .may("200, open", GET)
            .alone(),
        answer("RFC 9112 6.3: length and coding in an answer", {
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        }, Then::Keep)
        .may("200, open", GET)
        .hides(&["content-length"]),
        answer("RFC 9112 6.3: an unknown coding ends with the connection", coding("gzip"), Then::Close)
            .may("200, open", GET)
            .may("502, open", GET)
            .either_blame(),
        answer("RFC 9112 6.3: chunked is not the last in an answer", coding("chunked, gzip"), Then::Close)
            .may("200, open", GET)
            .may("502, open", GET)
            .either_blame(),
        answer("RFC 9112 6.1: chunked twice in an answer", coding("chunked, chunked"), Then::Keep)
            .may("200, open", GET)
            .may("502, open", GET)
            .either_blame(),
        answer("RFC 9112 6.1: chunks in an answer of HTTP/1.0", {
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        }, Then::Close)
        .may("200, open", GET)
        .may("502, open", GET)
        .either_blame(),
        answer("RFC 9112 8: a body shorter than its length", length("50"), Then::Close).cut(),
        answer("RFC 9112 8: a body shorter than its length, then a reset", length("50"), Then::Reset)
            .cut()
            .may("502, open", GET),
        answer("RFC 9112 8: a length and no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Then::Close)
            .cut()
            .may("closed", GET),
    ]
}

fn chunks() -> Vec<Case> {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let cut =
        |name: &'static str, body: &str| answer(name, chunked(body), Then::Keep).cut().may("closed", GET);
    let large = format!("5\r\nhello\r\n0\r\nX-T: {}\r\n\r\n", "x".repeat(40_000));
    vec![
        cut("RFC 9112 7.1: no chunk size in an answer", "5\r\nhello\r\n\r\n\r\n"),
        cut("RFC 9112 7.1: letters for a chunk size in an answer", "5\r\nhello\r\nxyz\r\n"),
        cut(
            "CVE-2021-32714: a chunk size beyond 64 bits in an answer",
            "5\r\nhello\r\nfffffffffffffffff\r\nx",
        ),
        cut("RFC 9112 7.1: a chunk longer than its size in an answer", "2\r\nhello\r\n0\r\n\r\n"),
        cut("RFC 9112 7.1: a chunk that ends in LF in an answer", "5\r\nhello\n0\r\n\r\n"),
        cut("CVE-2025-22871: a chunk size that ends in LF in an answer", "5\nhello\r\n0\r\n\r\n"),
        cut("RFC 9112 7.1.2: trailers of 40,000 bytes in an answer", &large),
        cut("RFC 9112 7.1.2: a trailer without a colon in an answer", "5\r\nhello\r\n0\r\nX-T\r\n\r\n"),
        answer("RFC 9112 8: no last chunk", chunked("5\r\nhello\r\n"), Then::Close).cut(),
        answer("RFC 9112 8: half a chunk", chunked("5\r\nhel"), Then::Close).cut(),
        answer("RFC 9112 8: no chunk at all", chunked(""), Then::Close).cut().may("closed", GET),
        answer(
            "RFC 9112 7.1.2: a trailer in an answer",
            chunked("5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
            Then::Keep,
        )
        .may("200, open", GET),
        answer(
            "RFC 9112 7.1.1: an extension in an answer",
            chunked("5;a=b\r\nhello\r\n0\r\n\r\n"),
            Then::Keep,
        )
        .may("200, open", GET),
    ]
}

fn bodiless() -> Vec<Case> {
    let head = "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n";
    vec![
        answer(
            "RFC 9110 9.3.2: a body in the answer to HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Then::Keep,
        )
        .asking(head)
        .may("200, open", &["HEAD /x"]),
        answer(
            "RFC 9110 15.3.5: 204 with a body",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            Then::Keep,
        )
        .may("204, open", GET)
        .may("502, open", GET),
        answer(
            "RFC 9110 15.4.5: 304 with a body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
            Then::Keep,
        )
        .may("304, open", GET),
        answer(
            "RFC 9112 6.1: 204 with chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Then::Keep,
        )
        .may("204, open", GET)
        .may("502, open", GET)
        .hides(&["transfer-encoding"]),
    ]
    .into_iter()
    .map(Case::afresh)
    .collect()
}

/// What is behind an answer must never be the answer to somebody else.
fn poison() -> Vec<Case> {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    vec![
        answer(
            "CVE-2025-4366: a second answer behind the first",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi{evil}"),
            Then::Keep,
        )
        .may("200, open", GET),
        answer(
            "CVE-2025-4366: an answer behind chunks",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n{evil}"),
            Then::Keep,
        )
        .may("200, open", GET),
        answer(
            "CVE-2025-4366: an answer behind 204",
            format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"),
            Then::Keep,
        )
        .may("204, open", GET),
        answer(
            "CVE-2025-4366: an answer behind one to HEAD",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{evil}"),
            Then::Keep,
        )
        .asking("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .may("200, open", &["HEAD /x"]),
        answer(
            "CVE-2025-4366: an empty line behind the answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\n",
            Then::Keep,
        )
        .may("200, open", GET),
        answer("CVE-2025-4366: an answer before the request", evil, Then::Keep)
            .when(When::Connected)
            .may("200|502, open", GET)
            .may("502, open", &[])
            .either_blame()
            .alone(),
    ]
    .into_iter()
    .map(Case::afresh)
    .collect()
}

fn deaths() -> Vec<Case> {
    let dead = |name: &'static str, when: When, bytes: &str, then: Then| {
        answer(name, bytes, then).when(when).blamed()
    };
    vec![
        dead("RFC 9112 9.5: closed at once", When::Connected, "", Then::Close).any_gateway(),
        dead("RFC 9112 9.5: reset at once", When::Connected, "", Then::Reset).any_gateway(),
        dead("RFC 9112 9.5: closed without an answer", When::Whole, "", Then::Close).any_gateway(),
        dead("RFC 9112 9.5: reset without an answer", When::Whole, "", Then::Reset).any_gateway(),
        dead("RFC 9112 9.5: closed within the status line", When::Whole, "HTTP/1.1 2", Then::Close)
            .any_gateway(),
        dead("RFC 9112 9.5: closed within the head", When::Whole, "HTTP/1.1 200 OK\r\nContent-", Then::Close)
            .any_gateway(),
        dead("RFC 9112 9.5: reset within the head", When::Whole, "HTTP/1.1 200 OK\r\nContent-", Then::Reset)
            .any_gateway(),
        dead(
            "RFC 9112 9.5: closed before the end of the head",
            When::Whole,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            Then::Close,
        )
        .any_gateway(),
    ]
}

fn good() -> Vec<Case> {
    vec![
        answer(
            "RFC 9112 6.3: a body that ends with the connection",
            "HTTP/1.0 200 OK\r\n\r\nhello",
            Then::Close,
        )
        .may("200, open", GET),
        answer("RFC 9112 6.3: no length and HTTP/1.1", "HTTP/1.1 200 OK\r\n\r\nhello", Then::Close)
            .may("200, open", GET),
        answer("RFC 9112 6.3: no length, and a reset is no end", "HTTP/1.1 200 OK\r\n\r\nhello", Then::Reset)
            .may("200 cut, closed", GET)
            .may("502, open", GET)
            .blamed(),
        answer("RFC 9112 6.3: no body and no length", "HTTP/1.1 200 OK\r\n\r\n", Then::Close)
            .may("200, open", GET),
        answer(
            "RFC 9110 15.3.6: 205 with a length of 0",
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
            Then::Keep,
        )
        .may("205, open", GET),
        answer(
            "RFC 9110 15.6.1: 500 is an answer",
            "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nhi",
            Then::Keep,
        )
        .may("500, open", GET)
        .judged(),
    ]
}
