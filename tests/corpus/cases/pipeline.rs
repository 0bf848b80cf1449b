//! Several requests on a connection, answers that come early, and when a connection ends.

use super::{chunked, get, post};
use crate::case::{Answer, Case, Step, Then, When, case, send, steps};

pub(crate) fn cases() -> Vec<Case> {
    [pipelines(), expectations(), old(), early()].into_iter().flatten().collect()
}

fn pipelines() -> Vec<Case> {
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let three = [one("/1"), one("/2"), one("/3")].concat();
    vec![
        case("RFC 9112 9.3.2: three requests at once", three.clone())
            .may("200, 200, 200, open", &["GET /1", "GET /2", "GET /3"]),
        steps(
            "RFC 9112 9.3.2: three requests byte by byte",
            three.bytes().map(|byte| send([byte])).collect(),
        )
        .may("200, 200, 200, open", &["GET /1", "GET /2", "GET /3"]),
        case("RFC 9112 9.3.2: a good one, then a bad one", one("/1") + "GET /2 HTTP/1.1\r\n\r\n")
            .may("200, 400, closed", &["GET /1"]),
        case(
            "RFC 9112 9.6: nothing is read behind a bad one",
            "GET /1 HTTP/1.1\r\n\r\n".to_owned() + &one("/admin"),
        )
        .refused(),
        case(
            "RFC 9112 9.6: nothing is read behind a bad body",
            [chunked("zz\r\n"), one("/admin").into()].concat(),
        )
        .refused_midway(),
        case("RFC 9112 9.6: nothing is read behind Connection: close", {
            [get("Connection: close\r\n"), one("/admin").into()].concat()
        })
        .may("200, closed", &["GET /x"]),
        case(
            "RFC 9112 9.3.2: a body, then a request",
            [post("Content-Length: 5\r\n", "hello"), one("/2").into()].concat(),
        )
        .may("200, 200, open", &["POST /x hello", "GET /2"]),
        case(
            "RFC 9112 9.3.2: chunks, then a request",
            [chunked("5\r\nhello\r\n0\r\n\r\n"), one("/2").into()].concat(),
        )
        .may("200, 200, open", &["POST /x hello", "GET /2"]),
        case("RFC 9112 9.3.2: each goes by its own path", one("/1") + &one("/admin") + &one("/3"))
            .may("200, 200, 200, open", &["GET /1", "GET /3", "admin: GET /admin"]),
        case("RFC 9112 2.2: an empty line between requests", one("/1") + "\r\n" + &one("/2"))
            .may("200, 200, open", &["GET /1", "GET /2"]),
        case(
            "RFC 9112 9.3.2: HTTP/2's preface behind a request",
            one("/1") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        )
        .may("200, 400|505, closed", &["GET /1"])
        .may("200, closed", &["GET /1"]),
        steps(
            "RFC 9112 9.3.2: half a second request",
            vec![send(one("/1") + "GET /2 HT"), Step::Answer, Step::Finish],
        )
        .may("200, closed", &["GET /1"])
        .may("200, 400, closed", &["GET /1"]),
    ]
}

fn expectations() -> Vec<Case> {
    let asking = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    vec![
        steps(
            "RFC 9110 10.1.1: 100 comes before the body is sent",
            vec![send(post(asking, "")), Step::Answer, send("hello")],
        )
        .may("100, 200, open", &["POST /x hello"]),
        case("RFC 9110 10.1.1: the body comes without waiting", post(asking, "hello"))
            .may("200, open", &["POST /x hello"])
            .may("100, 200, open", &["POST /x hello"]),
        case(
            "RFC 9110 10.1.1: an expectation nobody knows",
            post("Content-Length: 5\r\nExpect: x\r\n", "hello"),
        )
        .may("417, closed", &[])
        .may("200, open", &["POST /x hello"]),
        case("CVE-2024-24791: an answer without reading the body that was held back", post(asking, ""))
            .when(When::Head)
            .answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", Then::Keep)
            .may("403, closed", &["..."])
            .may("100, 403, closed", &["..."])
            .alone(),
        case("RFC 9110 10.1.1: an expectation without a body", get("Expect: 100-continue\r\n"))
            .passed(&["GET /x"]),
        case("RFC 9110 10.1.1: an expectation in HTTP/1.0", {
            "POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
        })
        .may("200, closed", &["POST /x hello"]),
    ]
}

fn old() -> Vec<Case> {
    vec![
        case("RFC 9112 9.3: HTTP/1.0 closes", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n")
            .may("200, closed", &["GET /x"]),
        case(
            "RFC 9112 9.3: HTTP/1.0 that asks to keep",
            "GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        )
        .may("200, open", &["GET /x"])
        .may("200, closed", &["GET /x"]),
        case("RFC 9112 9.6: Connection: close", get("Connection: close\r\n")).may("200, closed", &["GET /x"]),
        case("RFC 9112 9.6: Connection: CLOSE", get("Connection: CLOSE\r\n")).may("200, closed", &["GET /x"]),
        case("RFC 9112 9.6: close among others", get("Connection: x, close\r\n"))
            .may("200, closed", &["GET /x"]),
        case("RFC 9112 6.3: HTTP/1.0 gets no chunks", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n")
            .answering(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                Then::Keep,
            )
            .may("200, closed", &["GET /x"])
            .hides(&["transfer-encoding"]),
        case(
            "RFC 9110 9.3.2: HEAD has no body and the connection goes on",
            "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .may("200, open", &["HEAD /x"]),
        steps("RFC 9112 9.5: the client sends nothing and leaves", vec![Step::Finish]).may("closed", &[]),
        steps(
            "RFC 9112 9.5: the client leaves within a head",
            vec![send("GET /x HTTP/1.1\r\nHo"), Step::Finish],
        )
        .may("closed", &[])
        .refused(),
    ]
}

/// The endpoint answers before the body has come.
fn early() -> Vec<Case> {
    let no = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";
    let hidden = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let rest = |name: &'static str, sent: Vec<u8>| {
        let mut case = steps(name, vec![send(sent), Step::Answer, send(hidden)]).when(When::Head).alone();
        case.script.answer = Answer::Bytes(no.into());
        case
    };
    vec![
        rest(
            "CVE-2025-4366: the rest of a body is no request",
            post("Content-Length: 1000\r\n", "beginning"),
        )
        .may("413, closed", &["..."]),
        rest("CVE-2025-4366: the rest of the chunks is no request", chunked("5\r\nhello\r\n"))
            .may("413, closed", &["..."]),
        rest("CVE-2025-4366: the rest of a body is no request, though an upgrade was asked for", {
            let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
            post(&format!("Content-Length: 1000\r\n{upgrade}"), "beginning")
        })
        .may("413, closed", &["..."]),
        case(
            "RFC 9112 9.5: the endpoint closes in the middle of the body",
            post("Content-Length: 1000\r\n", "beginning"),
        )
        .when(When::Head)
        .answering("", Then::Close)
        .may("502, closed", &["..."])
        .alone(),
        case(
            "RFC 9112 9.5: the endpoint resets in the middle of the body",
            post("Content-Length: 1000\r\n", "beginning"),
        )
        .when(When::Head)
        .answering("", Then::Reset)
        .may("502, closed", &["..."])
        .alone(),
    ]
}
