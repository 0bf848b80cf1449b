//! Peers that are slow on purpose. The clock is the test's: nothing here takes as long as it says.

use std::time::Duration;

use super::{chunked, post};
use crate::case::{Answer, Case, Step, Then, send, steps};
use crate::h2;

pub(crate) fn cases() -> Vec<Case> {
    let all = [silent(), bodies(), unread(), endpoints(), http2()].into_iter().flatten();
    all.map(Case::alone).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn trickle(text: &str, every: u64) -> Vec<Step> {
    let bytes = text.bytes().flat_map(|byte| [send([byte]), Step::Wait(seconds(every))]);
    bytes.collect()
}

fn silent() -> Vec<Case> {
    vec![
        steps(
            "RFC 9112 9.5: a client that says nothing",
            vec![Step::Wait(seconds(4)), Step::Closes(seconds(10))],
        )
        .may("closed", &[]),
        steps("RFC 9112 9.5: a client that says P, as HTTP/2 does", {
            vec![send("P"), Step::Wait(seconds(4)), Step::Closes(seconds(20))]
        })
        .may("closed", &[]),
        steps("RFC 9112 9.5: half a head (Slowloris)", {
            vec![send("GET /x HTTP/1.1\r\nHost: a\r\n"), Step::Wait(seconds(9)), Step::Closes(seconds(20))]
        })
        .may("closed", &[])
        .may("408, closed", &[]),
        steps("RFC 9112 9.5: a head that trickles (Slowloris)", {
            let mut slow = trickle("GET /x HT", 1);
            slow.push(Step::Closes(seconds(20)));
            slow
        })
        .may("closed", &[])
        .may("408, closed", &[]),
        steps(
            "RFC 9112 9.5: empty lines and nothing else",
            vec![send("\r\n\r\n"), Step::Closes(seconds(20))],
        )
        .may("closed", &[])
        .refused(),
        steps("RFC 9112 9.5: an idle connection is closed in the end", {
            vec![
                send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
                Step::Answer,
                Step::Wait(seconds(60)),
                Step::Closes(seconds(40)),
            ]
        })
        .may("200, closed", &["GET /x"]),
        steps("RFC 9112 9.5: a second head that stays half", {
            vec![
                send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
                Step::Answer,
                send("GET /y HT"),
                Step::Wait(seconds(9)),
                Step::Closes(seconds(20)),
            ]
        })
        .may("200, closed", &["GET /x"])
        .may("200, 408, closed", &["GET /x"]),
    ]
}

fn bodies() -> Vec<Case> {
    let stalled = |name: &'static str, bytes: Vec<u8>| {
        steps(name, vec![send(bytes), Step::Asked(1), Step::Wait(seconds(25)), Step::Closes(seconds(60))])
            .may("408, closed", &["..."])
    };
    vec![
        stalled(
            "RFC 9110 15.5.9: a body that stalls within its length (RUDY)",
            post("Content-Length: 100\r\n", "beginning"),
        ),
        stalled("RFC 9110 15.5.9: a body that stalls within a chunk", chunked("100\r\nbeginning")),
        stalled("RFC 9110 15.5.9: a body that stalls within a chunk size", chunked("5\r\nhello\r\n1")),
        stalled(
            "RFC 9110 15.5.9: a body that stalls before its trailers end",
            chunked("5\r\nhello\r\n0\r\nX-T: 1"),
        ),
        steps("RFC 9110 15.5.9: a body that trickles is slow and no more", {
            let mut slow = vec![send(post("Content-Length: 5\r\n", "")), Step::Asked(1)];
            for byte in ["h", "e", "l", "l"] {
                slow.extend([send(byte), Step::Reached(byte), Step::Wait(seconds(20))]);
            }
            slow.push(send("o"));
            slow
        })
        .may("200, open", &["POST /x hello"]),
    ]
}

fn unread() -> Vec<Case> {
    let mut large = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
    large.resize(large.len() + LARGE, b'x');
    vec![
        steps("CVE-2019-9517: an answer that nobody reads", {
            vec![send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), Step::Asked(1), Step::Settles(seconds(200))]
        })
        .may("200 cut, closed", &["GET /x"])
        .answering(large, Then::Keep),
    ]
}

/// More than all buffers on the way hold.
const LARGE: usize = 30_000_000;

fn endpoints() -> Vec<Case> {
    let get = || {
        vec![
            send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
            Step::Asked(1),
            Step::Wait(seconds(20)),
            Step::Until(seconds(90)),
        ]
    };
    let slow = |name: &'static str, bytes: &str| {
        let mut case = steps(name, get()).blamed();
        case.script.answer = Answer::Bytes(bytes.into());
        case
    };
    vec![
        slow("RFC 9110 15.6.5: an endpoint that says nothing", "").may("504, open", &["GET /x"]),
        slow("RFC 9110 15.6.5: an endpoint that says half a head", "HTTP/1.1 200 OK\r\nContent-")
            .may("504, open", &["GET /x"]),
        slow("RFC 9110 15.6.5: an endpoint that says 100 and no more", "HTTP/1.1 100 Continue\r\n\r\n")
            .may("504, open", &["GET /x"]),
        slow(
            "RFC 9112 8: an endpoint that stalls within a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        )
        .may("200 cut, closed", &["GET /x"]),
        slow("RFC 9112 8: an endpoint that stalls within a chunk", {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\nhello"
        })
        .may("200 cut, closed", &["GET /x"]),
    ]
}

fn http2() -> Vec<Case> {
    let post = || h2::opens(1, &h2::request("POST", "/x", &[]));
    let waits = |name: &'static str, frames: Vec<Vec<u8>>, wait: Step| {
        let bytes = [h2::opening(), frames.concat()].concat();
        h2::in_steps(name, vec![send(bytes), wait])
    };
    let posted = vec![send([h2::opening(), post()].concat()), Step::Asked(1), Step::Settles(seconds(90))];
    vec![
        h2::in_steps("RFC 9113 3.4: half a preface", {
            vec![send(&h2::PREFACE[..20]), Step::Wait(seconds(4)), Step::Closes(seconds(20))]
        })
        .may("closed", &[]),
        waits("RFC 9113 5.1: a connection without a stream", vec![], Step::Closes(seconds(120)))
            .may("goaway NO_ERROR, closed", &[])
            .may("closed", &[]),
        waits(
            "CVE-2024-27316: HEADERS without an end",
            vec![h2::frame(h2::HEADERS, h2::END_STREAM, 1, &h2::request("GET", "/x", &[]))],
            Step::Closes(seconds(120)),
        )
        .may("goaway NO_ERROR, closed", &[])
        .may("closed", &[]),
        h2::in_steps("RFC 9110 15.5.9: a stream whose body never comes", posted)
            .may("1: 408|408 reset NO_ERROR, open", &["..."]),
    ]
}
