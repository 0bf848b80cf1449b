//! The syntax of fields and the limits on them.

use super::get;
use crate::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    [names(), values(), folds(), limits()].into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    let latin = b"GET /x HTTP/1.1\r\nHost: a\r\nX-\xe9: 1\r\n\r\n";
    vec![
        case("RFC 9112 5.1: a space before the colon", get("X-A : 1\r\n")).refused(),
        case("RFC 9112 5.1: a tab before the colon", get("X-A\t: 1\r\n")).refused(),
        case("RFC 9112 5.1: a space before the colon of a length", get("Content-Length : 5\r\n")).refused(),
        case("RFC 9110 5.1: no colon", get("X-A\r\n")).refused(),
        case("CVE-2023-25725: an empty name", get(": 1\r\n")).refused(),
        case("CVE-2023-25725: an empty name before a length", get(":\r\nContent-Length: 5\r\n")).refused(),
        case("RFC 9110 5.1: a space in the name", get("X A: 1\r\n")).refused(),
        case("RFC 9110 5.1: parentheses in the name", get("X(A): 1\r\n")).refused(),
        case("RFC 9110 5.1: a quote in the name", get("X\"A: 1\r\n")).refused(),
        case("RFC 9110 5.1: a slash in the name", get("X/A: 1\r\n")).refused(),
        case("RFC 9110 5.1: an at sign in the name", get("X@A: 1\r\n")).refused(),
        case("RFC 9110 5.1: a letter with an accent in the name", latin.as_slice()).refused(),
        case("RFC 9110 5.1: a NUL in the name", get("X\0A: 1\r\n")).refused(),
        case("RFC 9110 5.1: a CR in the name", get("X\rA: 1\r\n")).refused(),
        case("RFC 9110 5.6.2: every special character of a token", get("!#$%&'*+-.^_`|~9: 1\r\n"))
            .passed(&["GET /x"]),
        case("CVE-2021-40346: a name of 70,000 bytes", get(&format!("{}: 1\r\n", "X".repeat(70_000))))
            .may("400|431, closed", &[]),
        case("CVE-2021-40346: a name of 270 bytes, an integer of eight bits", {
            get(&format!("Content-Length0{}: 1\r\nContent-Length: 0\r\n", "a".repeat(255)))
        })
        .passed(&["GET /x"]),
    ]
}

fn values() -> Vec<Case> {
    let text = b"GET /x HTTP/1.1\r\nHost: a\r\nX-A: \xe9\xff\r\n\r\n";
    vec![
        case("RFC 9110 5.5: a NUL in the value", get("X-A: 1\x002\r\n")).refused(),
        case("RFC 9110 5.5: a CR in the value", get("X-A: 1\r2\r\n")).refused(),
        case("RFC 9110 5.5: a CR before a hidden field", get("X-A: 1\rX-Forwarded-For: 10.0.0.1\r\n"))
            .refused(),
        case("RFC 9112 2.2: a LF before a hidden field", get("X-A: 1\nX-Forwarded-For: 10.0.0.1\r\n"))
            .passed(&["GET /x"])
            .refused()
            .with("x-a: 1"),
        case("RFC 9110 5.5: a control character in the value", get("X-A: 1\x012\r\n")).refused(),
        case("RFC 9110 5.5: a DEL in the value", get("X-A: 1\x7f2\r\n")).refused(),
        case("RFC 9110 5.5: a tab in the value", get("X-A: 1\t2\r\n")).passed(&["GET /x"]).with("x-a: 1\t2"),
        case("RFC 9110 5.5: opaque bytes in the value", text.as_slice()).passed(&["GET /x"]),
        case("RFC 9112 5.1: space around the value is no part of it", get("X-A: \t 1 \t \r\n"))
            .passed(&["GET /x"])
            .with("x-a: 1"),
        case("RFC 9112 5.1: no space before the value", get("X-A:1\r\n")).passed(&["GET /x"]).with("x-a: 1"),
        case("RFC 9110 5.5: an empty value", get("X-A:\r\n")).passed(&["GET /x"]).with("x-a: "),
        case("RFC 9110 5.3: two fields of one name", get("X-A: 1\r\nX-A: 2\r\n"))
            .passed(&["GET /x"])
            .with("x-a: 1")
            .with("x-a: 2"),
        case("RFC 9113 8.2.3: two cookies are one", get("Cookie: a=1\r\nCookie: b=2\r\n"))
            .passed(&["GET /x"])
            .with("cookie: a=1; b=2"),
    ]
}

fn folds() -> Vec<Case> {
    vec![
        case("RFC 9112 5.2: a folded value", get("X-A: 1\r\n 2\r\n")).refused(),
        case("RFC 9112 5.2: a value folded with a tab", get("X-A: 1\r\n\t2\r\n")).refused(),
        case("RFC 9112 5.2: a folded transfer coding", get("Transfer-Encoding:\r\n chunked\r\n")).refused(),
        case("RFC 9112 5.2: a folded length", get("Content-Length: 5\r\n 0\r\n")).refused(),
        case(
            "RFC 9112 2.2: a space before the first field",
            "GET /x HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n",
        )
        .refused(),
        case("RFC 9112 2.2: a line of spaces among the fields", get("X-A: 1\r\n  \r\n")).refused(),
        case("RFC 9112 2.2: a CR too many", get("X-A: 1\r\r\n")).refused(),
        case("RFC 9112 2.1: LF LF ends the head where CR LF was meant", {
            "GET /x HTTP/1.1\r\nHost: a\r\nX-A: 1\n\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
        })
        .may("200, 200, open", &["GET /x", "admin: GET /admin"])
        .refused(),
    ]
}

fn limits() -> Vec<Case> {
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    vec![
        case("RFC 6585 5: 99 fields and a Host", get(&fields(99))).passed(&["GET /x"]),
        case("RFC 6585 5: 101 fields", get(&fields(100))).may("431|400, closed", &[]),
        case("RFC 6585 5: 5,000 fields", get(&fields(5_000))).may("431|400, closed", &[]),
        case("RFC 6585 5: a field of 30,000 bytes", get(&format!("X-A: {}\r\n", "x".repeat(30_000))))
            .passed(&["GET /x"])
            .may("431, closed", &[])
            .although("heads may have 32 KiB; the others' buffers hold 8 and 15 KiB"),
        case("RFC 6585 5: a field of 40,000 bytes", get(&format!("X-A: {}\r\n", "x".repeat(40_000))))
            .may("431|400, closed", &[]),
        case("RFC 6585 5: a field of a mebibyte", get(&format!("X-A: {}\r\n", "x".repeat(1 << 20))))
            .may("431|400, closed", &[])
            .may("closed", &[]),
        case("RFC 6585 5: 500 cookies that fit one by one", {
            get(&(0..90).map(|n| format!("Cookie: c{n}={}\r\n", "x".repeat(500))).collect::<String>())
        })
        .may("431|400, closed", &[]),
    ]
}
