//! Where a request ends: the classes of smuggling.

use super::{chunked, post};
use crate::case::{Case, Step, case, send, steps};

pub(crate) fn cases() -> Vec<Case> {
    [lengths(), both(), codings(), sizes(), chunks(), trailers(), good()].into_iter().flatten().collect()
}

/// A request hidden where only one of two readers finds it.
const HIDDEN: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

fn lengths() -> Vec<Case> {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    vec![
        case(
            "RFC 9112 6.3: two different Content-Length",
            post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        )
        .refused(),
        case(
            "RFC 9112 6.3: two equal Content-Length",
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        )
        .refused()
        .passed(&["POST /x hello"]),
        case("RFC 9112 6.3: two equal lengths in one field", length("5, 5"))
            .refused()
            .passed(&["POST /x hello"]),
        case("RFC 9112 6.3: two lengths in one field", length("5, 6")).refused(),
        case("CVE-2021-32715: a length with a plus", length("+5")).refused(),
        case("RFC 9110 8.6: a length with a minus", length("-5")).refused(),
        case("CVE-2023-40225: an empty length", length("")).refused(),
        case("RFC 9110 8.6: a length of hexadecimal digits", length("0x5")).refused(),
        case("RFC 9110 8.6: a length with letters", length("5a")).refused(),
        case("RFC 9110 8.6: a length with a space inside", length("5 0")).refused(),
        case("RFC 9110 8.6: a length with a dot", length("5.0")).refused(),
        case("RFC 9110 8.6: a length with an underscore", length("1_0")).refused(),
        case("RFC 9110 8.6: a length with a quote", length("\"5\"")).refused(),
        case("RFC 9110 8.6: a length beyond 64 bits", length("18446744073709551621")).refused(),
        case("RFC 9110 8.6: a length of 64 bits to the full", length("18446744073709551615"))
            .refused()
            .may("413|431, closed", &[]),
        case("RFC 9110 8.6: a length of 40 digits", length(&"1".repeat(40))).refused(),
        case("RFC 9110 8.6: a length with zeros in front", length("00005"))
            .refused()
            .passed(&["POST /x hello"]),
        case("RFC 9110 8.6: a length with a tab behind", length("5\t")).passed(&["POST /x hello"]).refused(),
        case("RFC 9110 8.6: a length with a vertical tab", length("\x0b5")).refused(),
        case("RFC 9110 8.6: digits of another script", length("٥")).refused(),
        case("RFC 9112 6.3: no length, and bytes that are no request", post("", "hello\r\n\r\n"))
            .may("200, 400, closed", &["POST /x"]),
        case("CVE-2025-4366: a GET with a body", {
            format!("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len())
        })
        .passed(&["GET /x GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"])
        .refused(),
        case("RFC 9110 9.3.2: a HEAD with a body", {
            format!("HEAD /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len())
        })
        .passed(&["HEAD /x GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"])
        .may("200, closed", &["HEAD /x GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"])
        .refused(),
    ]
}

/// The coding counts (RFC 9112 section 6.1). hyper takes the length away before anybody sees it and closes afterwards, so
/// this is not refused; the endpoint gets the coding alone.
fn both() -> Vec<Case> {
    let length_first =
        |body: &str| post(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()), body);
    let coding_first =
        |body: &str| post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len()), body);
    let hidden = format!("0\r\n\r\n{HIDDEN}");
    let both = |name: &'static str, bytes: Vec<u8>, read: &'static [&'static str]| {
        case(name, bytes).refused().may("200, closed", read)
    };
    vec![
        both("RFC 9112 6.3: CL.TE", length_first(&hidden), &["POST /x"]),
        both("RFC 9112 6.3: TE.CL", coding_first(&hidden), &["POST /x"]),
        both("RFC 9112 6.3: both agree", length_first("0\r\n\r\n"), &["POST /x"]),
        case("RFC 9112 6.3: TE.CL with a short length", {
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "14\r\nGPOST / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n")
        })
        .refused()
        .may("200, closed", &["POST /x GPOST / HTTP/1.1\r\n\r\n"]),
        case("RFC 9112 6.3: both, and a length of 0", {
            post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")
        })
        .refused()
        .may("200, closed", &["POST /x hello"]),
        case("RFC 9112 6.3: both, and the length is not valid", {
            post("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
        })
        .refused(),
        case("RFC 9112 6.3: both, and Connection names the coding", {
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n", "0\r\n\r\n")
        })
        .refused()
        .may("200, closed", &["POST /x"]),
        case("RFC 9112 6.3: both, and Connection names the length", {
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: Content-Length\r\n", "0\r\n\r\n")
        })
        .refused()
        .may("200, closed", &["POST /x"]),
        case("CVE-2026-2835: HTTP/1.0 with both", {
            format!(
                "POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{hidden}",
                hidden.len()
            )
        })
        .refused(),
    ]
}

fn codings() -> Vec<Case> {
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    let unknown = |case: Case| case.may("400|501, closed", &[]);
    vec![
        unknown(case("RFC 9112 6.1: chunked twice in one field", coding("chunked, chunked"))),
        unknown(case("RFC 9112 6.1: chunked twice in two fields", {
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
        })),
        unknown(case("RFC 9112 6.1: an unknown coding", coding("gzip, chunked"))),
        unknown(case("RFC 9112 6.3: chunked is not the last", coding("chunked, gzip"))),
        unknown(case("CVE-2021-21299: identity behind chunked", coding("chunked, identity"))),
        unknown(case("RFC 9112 6.1: identity alone", coding("identity"))),
        unknown(case("RFC 9112 6.1: a coding nobody knows", coding("xchunked"))),
        unknown(case("RFC 9112 6.1: chunked with a parameter", coding("chunked;q=1"))),
        unknown(case("RFC 9112 6.1: chunked in quotes", coding("\"chunked\""))),
        unknown(case("RFC 9112 6.1: chunked with a comma behind", coding("chunked,"))),
        unknown(case("RFC 9112 6.1: chunked with a comma in front", coding(", chunked"))),
        unknown(case("RFC 9112 6.1: an empty coding", coding(""))),
        unknown(case("RFC 9112 6.1: a space inside chunked", coding("chun ked"))),
        unknown(case("RFC 9112 6.1: a vertical tab before chunked", coding("\x0bchunked"))),
        unknown(case("RFC 9112 6.1: a NUL behind chunked", coding("chunked\0"))),
        unknown(case("RFC 9112 6.1: an accent in chunked", coding("chunkéd"))),
        unknown(case("RFC 9112 6.1: TE.TE, the second one unknown", {
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", "0\r\n\r\n")
        })),
        unknown(case("RFC 9112 6.1: TE.TE, the first one unknown", {
            post("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
        })),
        unknown(case("RFC 9112 6.1: TE.TE, one with a space before the colon", {
            post("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")
        })),
        case(
            "RFC 9112 6.1: an underscore for the dash",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        )
        .passed(&["POST /x 0\r\n\r\n"])
        .refused()
        .without(&["transfer_encoding"]),
        case("RFC 9112 6.1: the coding on another line, behind a LF", {
            post("X: x\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")
        })
        .refused()
        .may("200, closed", &["POST /x"]),
        case(
            "RFC 9112 6.1: a capital in chunked",
            post("Transfer-Encoding: Chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
        )
        .passed(&["POST /x hi"]),
        case("CVE-2021-33037: HTTP/1.0 and chunked", {
            "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        })
        .refused(),
    ]
}

fn sizes() -> Vec<Case> {
    let size = |size: &str| chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
    let midway = |name: &'static str, text: &str| case(name, size(text)).refused_midway();
    vec![
        midway("CVE-2021-32714: a chunk size beyond 64 bits", "10000000000000005"),
        midway("CVE-2021-32714: a chunk size of 20 digits", "fffffffffffffffffff5"),
        midway("RFC 9112 7.1: a chunk size with 0x", "0x5"),
        midway("RFC 9112 7.1: a chunk size with a plus", "+5"),
        midway("RFC 9112 7.1: a chunk size with a minus", "-5"),
        midway("RFC 9112 7.1: an empty chunk size", ""),
        midway("RFC 9112 7.1: a chunk size of letters", "xyz"),
        midway("RFC 9112 7.1: a space before the chunk size", " 5"),
        midway("RFC 9112 7.1: an underscore in the chunk size", "0_5"),
        midway("RFC 9112 7.1: a NUL behind the chunk size", "5\0"),
        midway("RFC 9112 7.1: two sizes", "5 5"),
        steps("RFC 9112 7.1: a chunk size of 64 bits to the full", {
            vec![send(size("ffffffffffffffff")), Step::Asked(1), Step::Finish]
        })
        .may("closed", &["..."])
        .refused_midway(),
        case("RFC 9112 7.1: a space behind the chunk size", size("5 "))
            .passed(&["POST /x hello"])
            .refused_midway(),
        case("RFC 9112 7.1: zeros before the chunk size", size("0005"))
            .passed(&["POST /x hello"])
            .refused_midway(),
        case("RFC 9112 7.1: a chunk size in capitals", chunked("A\r\n0123456789\r\n0\r\n\r\n"))
            .passed(&["POST /x 0123456789"]),
    ]
}

fn chunks() -> Vec<Case> {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let many = format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "e".repeat(400)).repeat(200));
    let midway = |name: &'static str, body: &str| case(name, chunked(body)).refused_midway();
    vec![
        midway("CVE-2025-22871: a chunk size that ends in LF", "5\nhello\r\n0\r\n\r\n"),
        midway("RFC 9112 7.1: a chunk that ends in LF", "5\r\nhello\n0\r\n\r\n"),
        midway("RFC 9112 7.1: a chunk that ends in CR", "5\r\nhello\r0\r\n\r\n"),
        midway("RFC 9112 7.1: a chunk longer than its size", "5\r\nhello world\r\n0\r\n\r\n"),
        midway("RFC 9112 7.1: a chunk shorter than its size", "9\r\nhello\r\n0\r\n\r\n\r\n\r\n"),
        midway("RFC 9112 7.1: a CR alone behind the size", "5\rhello\r\n0\r\n\r\n"),
        midway("RFC 9112 7.1: two bytes of anything behind a chunk", "5\r\nhelloXX0\r\n\r\n"),
        case("RFC 9112 7.1.1: an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"))
            .passed(&["POST /x hello"])
            .refused_midway(),
        case("RFC 9112 7.1.1: an extension in quotes", chunked("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"))
            .passed(&["POST /x hello"])
            .refused_midway(),
        midway("CVE-2025-55315: a LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        midway("CVE-2025-55315: a CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        midway("CVE-2025-55315: a LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
        midway("CVE-2023-39326: an extension of 20,000 bytes", &long),
        midway("CVE-2023-39326: 200 extensions of 400 bytes", &many),
        steps("RFC 9112 8: the body ends within a chunk", vec![send(chunked("5\r\nhel")), Step::Finish])
            .may("closed", &["..."])
            .may("400, closed", &["..."]),
        steps(
            "RFC 9112 8: the body ends before its last chunk",
            vec![send(chunked("5\r\nhello\r\n")), Step::Finish],
        )
        .may("closed", &["..."])
        .may("400, closed", &["..."]),
        steps(
            "RFC 9112 8: the body ends within its length",
            vec![send(post("Content-Length: 5\r\n", "hel")), Step::Finish],
        )
        .may("closed", &["..."])
        .may("400, closed", &["..."]),
    ]
}

fn trailers() -> Vec<Case> {
    let trailed = |trailers: &str| {
        post(
            "TE: trailers\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n",
            &format!("5\r\nhello\r\n0\r\n{trailers}\r\n"),
        )
    };
    let passes = |name: &'static str, trailers: &str| {
        case(name, trailed(trailers)).passed(&["POST /x hello"]).refused_midway()
    };
    let large = format!("X-T: {}\r\n", "x".repeat(40_000));
    let many = (0..300).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    vec![
        passes("RFC 9112 7.1.2: a trailer", "X-T: 1\r\n"),
        passes("RFC 9110 6.5.1: Host in a trailer", "Host: b\r\n"),
        passes("RFC 9110 6.5.1: a length in a trailer", "Content-Length: 100\r\n"),
        passes("RFC 9110 6.5.1: a coding in a trailer", "Transfer-Encoding: chunked\r\n"),
        passes("CVE-2023-46589: X-Forwarded-For in a trailer", "X-Forwarded-For: 10.0.0.1\r\n"),
        passes("RFC 9110 6.5.1: Authorization in a trailer", "Authorization: Basic x\r\n"),
        passes("RFC 9110 6.5.1: a cookie in a trailer", "Cookie: a=b\r\n"),
        case("CVE-2024-35161: a trailer without a colon", trailed("X-T\r\n")).refused_midway(),
        case("CVE-2024-35161: a trailer with a LF", trailed("X-T: 1\nX: 2\r\n"))
            .refused_midway()
            .passed(&["POST /x hello"]),
        case("CVE-2024-35161: a folded trailer", trailed("X-T: 1\r\n 2\r\n")).refused_midway(),
        case("CVE-2024-35161: a trailer with a space before the colon", trailed("X-T : 1\r\n"))
            .refused_midway(),
        case("RFC 9112 7.1.2: a trailer section of 40,000 bytes", trailed(&large)).refused_midway(),
        case("RFC 9112 7.1.2: 300 trailers", trailed(&many)).refused_midway().passed(&["POST /x hello"]),
    ]
}

fn chunks_of(method: &str, body: &str) -> Vec<u8> {
    format!("{method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

fn good() -> Vec<Case> {
    vec![
        case("RFC 9112 6.3: a length and a body", post("Content-Length: 5\r\n", "hello"))
            .passed(&["POST /x hello"]),
        case("RFC 9112 6.3: a length of 0", post("Content-Length: 0\r\n", "")).passed(&["POST /x"]),
        case("RFC 9112 7.1: chunks", chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")).passed(&["POST /x hello"]),
        case("RFC 9110 9.3.1: a GET with chunks", chunks_of("GET", "5\r\nhello\r\n0\r\n\r\n"))
            .passed(&["GET /x hello"]),
        case("RFC 9110 9.3.2: a HEAD with chunks", chunks_of("HEAD", "5\r\nhello\r\n0\r\n\r\n"))
            .passed(&["HEAD /x hello"]),
        case("RFC 9110 9.3.5: a DELETE with chunks", chunks_of("DELETE", "5\r\nhello\r\n0\r\n\r\n"))
            .passed(&["DELETE /x hello"]),
        case("RFC 9110 9.3.1: a GET with no chunk but the last", chunks_of("GET", "0\r\n\r\n"))
            .passed(&["GET /x"]),
        case("RFC 9110 9.3.1: a GET with a bad chunk", chunks_of("GET", "zz\r\n")).refused_midway(),
        case("RFC 9110 9.3.2: a HEAD with a bad chunk", chunks_of("HEAD", "zz\r\n")).refused_midway(),
        case("CVE-2025-4366: a request behind the chunks of a GET", {
            [chunks_of("GET", "5\r\nhello\r\n0\r\n\r\n"), HIDDEN.into()].concat()
        })
        .may("200, 200, open", &["GET /x hello", "admin: GET /admin"]),
        case(
            "RFC 9112 6.3: a body that looks like a request",
            post(&format!("Content-Length: {}\r\n", HIDDEN.len()), HIDDEN),
        )
        .passed(&["POST /x GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"]),
        case("RFC 9112 7.1: a chunk that looks like the last one and a request", {
            chunked(&format!("{:x}\r\n0\r\n\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len() + 5))
        })
        .passed(&["POST /x 0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"]),
        steps("RFC 9112 7.1: chunks byte by byte", {
            chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").into_iter().map(|byte| send([byte])).collect()
        })
        .passed(&["POST /x hello"]),
    ]
}
