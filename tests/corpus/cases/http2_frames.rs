//! HTTP/2 frame by frame.

use crate::case::Case;
use crate::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITISED,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, data, field, frame, get, h2, headers, opens,
    raw, request, settings, sized,
};

pub(crate) fn cases() -> Vec<Case> {
    [opens_badly(), sizes(), ids(), states(), paddings(), windows(), floods(), tables()]
        .into_iter()
        .flatten()
        .collect()
}

const PROTOCOL: &str = "goaway PROTOCOL_ERROR, closed";

fn refused(case: Case) -> Case {
    case.may(PROTOCOL, &[])
}

fn post() -> Vec<u8> {
    opens(1, &request("POST", "/x", &[]))
}

fn opens_badly() -> Vec<Case> {
    vec![
        h2("RFC 9113 3.4: a good request", &[get(1)]).may("1: 200, open", &["GET /x"]),
        raw("RFC 9113 3.4: a preface with a byte wrong", {
            [b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n".to_vec(), settings(&[]), get(1)].concat()
        })
        .may("closed", &[])
        .may("silent", &[])
        .may("goaway PROTOCOL_ERROR, closed", &[]),
        // h2 does not insist on it: nothing else can be read from what comes instead.
        refused(raw("RFC 9113 3.4: no SETTINGS behind the preface", [PREFACE, &get(1)].concat()))
            .may("1: 200, open", &["GET /x"]),
        raw("RFC 9113 3.4: PING instead of SETTINGS", [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat())
            .may(PROTOCOL, &[])
            .may("open", &[]),
        raw("RFC 9113 3.4: the preface twice", [PREFACE, PREFACE, &settings(&[]), &get(1)].concat())
            .may("goaway FRAME_SIZE_ERROR, closed", &[])
            .may(PROTOCOL, &[]),
        refused(raw(
            "RFC 9113 3.4: an acknowledgement for SETTINGS",
            [PREFACE, &frame(SETTINGS, ACK, 0, &[]), &get(1)].concat(),
        ))
        .may("1: 200, open", &["GET /x"])
        .may(PROTOCOL, &["*", "..."]),
        raw(
            "RFC 9113 3.4: HTTP/1.1 behind the preface",
            [PREFACE, b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
        )
        .may("goaway FRAME_SIZE_ERROR, closed", &[])
        .may(PROTOCOL, &[]),
    ]
}

fn sizes() -> Vec<Case> {
    let size = |case: Case| case.may("goaway FRAME_SIZE_ERROR, closed", &[]).may(PROTOCOL, &[]);
    vec![
        size(h2(
            "RFC 9113 4.2: a frame larger than allowed",
            &[post(), frame(DATA, END_STREAM, 1, &[b'x'; 16_385])],
        ))
        .may("goaway FRAME_SIZE_ERROR, closed", &["..."]),
        size(h2("RFC 9113 4.2: a frame that says it has 16 MiB", &[sized(0xFF_FFFF, HEADERS, 5, 1, b"")])),
        size(h2("RFC 9113 6.5: SETTINGS of five bytes", &[frame(SETTINGS, 0, 0, &[0; 5]), get(1)])),
        size(h2(
            "RFC 9113 6.5: SETTINGS that acknowledge and say something",
            &[frame(SETTINGS, ACK, 0, &[0; 6]), get(1)],
        )),
        size(h2("RFC 9113 6.7: PING of seven bytes", &[frame(PING, 0, 0, &[0; 7]), get(1)])),
        size(h2(
            "RFC 9113 6.9: WINDOW_UPDATE of three bytes",
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 3]), get(1)],
        )),
        size(h2("RFC 9113 6.4: RST_STREAM of three bytes", &[post(), frame(RST_STREAM, 0, 1, &[0; 3])]))
            .may("goaway FRAME_SIZE_ERROR, closed", &["..."]),
        size(h2("RFC 9113 6.3: PRIORITY of four bytes", &[frame(PRIORITY, 0, 1, &[0; 4]), get(1)]))
            .may("1: reset FRAME_SIZE_ERROR, open", &[]),
        size(h2("RFC 9113 6.8: GOAWAY of seven bytes", &[frame(GOAWAY, 0, 0, &[0; 7]), get(1)])),
        refused(h2("RFC 9113 6.5.2: SETTINGS_ENABLE_PUSH of 2", &[settings(&[(2, 2)]), get(1)])),
        h2("RFC 9113 6.5.2: an initial window beyond 31 bits", &[settings(&[(4, 0x8000_0000)]), get(1)])
            .may("goaway FLOW_CONTROL_ERROR, closed", &[])
            .may(PROTOCOL, &[]),
        refused(h2("RFC 9113 6.5.2: a frame size below 16,384", &[settings(&[(5, 100)]), get(1)])),
        refused(h2("RFC 9113 6.5.2: a frame size beyond 24 bits", &[settings(&[(5, 0x100_0000)]), get(1)])),
        h2("RFC 9113 6.5.2: a setting nobody knows", &[settings(&[(0xFFFF, 7)]), get(1)])
            .may("1: 200, open", &["GET /x"]),
        h2(
            "RFC 9113 4.1: a kind of frame nobody knows",
            &[frame(0xFA, 0xFF, 1, b"?"), frame(0xFA, 0, 0, b"?"), get(1)],
        )
        .may("1: 200, open", &["GET /x"]),
        h2(
            "RFC 9113 4.1: the reserved bit of a stream's id",
            &[{ frame(HEADERS, END_HEADERS | END_STREAM, 0x8000_0001, &request("GET", "/x", &[])) }],
        )
        .may("1: 200, open", &["GET /x"])
        .may(PROTOCOL, &[]),
    ]
}

fn ids() -> Vec<Case> {
    vec![
        refused(h2("RFC 9113 6.2: HEADERS on stream 0", &[headers(0, &request("GET", "/x", &[]))])),
        refused(h2("RFC 9113 6.1: DATA on stream 0", &[data(0, b"x")])),
        refused(h2("RFC 9113 6.5: SETTINGS on a stream", &[frame(SETTINGS, 0, 1, &[]), get(1)])),
        refused(h2("RFC 9113 6.7: PING on a stream", &[frame(PING, 0, 1, &[0; 8]), get(1)])),
        refused(h2("RFC 9113 6.8: GOAWAY on a stream", &[frame(GOAWAY, 0, 1, &[0; 8]), get(1)])),
        refused(h2("RFC 9113 6.4: RST_STREAM on stream 0", &[frame(RST_STREAM, 0, 0, &[0; 4]), get(1)])),
        refused(h2("RFC 9113 6.3: PRIORITY on stream 0", &[frame(PRIORITY, 0, 0, &[0; 5]), get(1)])),
        refused(h2("RFC 9113 5.1.1: an even stream", &[get(2)])),
        h2("RFC 9113 5.1.1: a stream below one that was", &[get(5), get(3)])
            .may("5: 200, goaway PROTOCOL_ERROR, closed", &["GET /x"])
            .may("goaway PROTOCOL_ERROR, closed", &["GET /x"])
            .may("goaway PROTOCOL_ERROR, closed", &["..."])
            .may("goaway PROTOCOL_ERROR, closed", &[])
            .may("goaway STREAM_CLOSED, closed", &[]),
        refused(h2(
            "RFC 9113 6.6: PUSH_PROMISE of a client",
            &[frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])],
        )),
        refused(h2("RFC 9113 6.10: CONTINUATION of nothing", &[frame(CONTINUATION, END_HEADERS, 1, b"")])),
    ]
}

fn states() -> Vec<Case> {
    let whole = request("GET", "/x", &[]);
    let (half, rest) = whole.split_at(10);
    let begun = frame(HEADERS, END_STREAM, 1, half);
    let closed = |case: Case| {
        case.may("goaway STREAM_CLOSED, closed", &["..."])
            .may("goaway PROTOCOL_ERROR, closed", &["..."])
            .may("1: reset STREAM_CLOSED, open", &["..."])
            .may("1: reset PROTOCOL_ERROR, open", &["..."])
            .any_endpoint()
    };
    vec![
        h2(
            "RFC 9113 6.10: a head in two frames",
            &[begun.clone(), frame(CONTINUATION, END_HEADERS, 1, rest)],
        )
        .may("1: 200, open", &["GET /x"]),
        h2("RFC 9113 6.10: a head in one frame per byte", &{
            let mut frames = vec![frame(HEADERS, END_STREAM, 1, &[])];
            frames.extend(whole.iter().map(|byte| frame(CONTINUATION, 0, 1, &[*byte])));
            frames.push(frame(CONTINUATION, END_HEADERS, 1, &[]));
            frames
        })
        .may("1: 200, open", &["GET /x"])
        .may("goaway ENHANCE_YOUR_CALM, closed", &[])
        .may(PROTOCOL, &[]),
        refused(h2(
            "RFC 9113 6.10: another frame within a head",
            &[begun.clone(), frame(PING, 0, 0, &[0; 8])],
        )),
        refused(h2("RFC 9113 6.10: another stream's frame within a head", &[begun.clone(), get(3)])),
        refused(h2(
            "RFC 9113 6.10: a frame nobody knows within a head",
            &[begun.clone(), frame(0xFA, 0, 0, b"?")],
        )),
        refused(h2(
            "RFC 9113 6.10: CONTINUATION of another stream",
            &[begun, frame(CONTINUATION, END_HEADERS, 3, rest)],
        )),
        refused(h2("RFC 9113 5.1: DATA on a stream that isn't open", &[data(1, b"x")])),
        refused(h2(
            "RFC 9113 5.1: RST_STREAM on a stream that isn't open",
            &[frame(RST_STREAM, 0, 1, &[0; 4])],
        )),
        refused(h2(
            "RFC 9113 5.1: WINDOW_UPDATE on a stream that isn't open",
            &[frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])],
        )),
        closed(h2("RFC 9113 5.1: DATA behind the end of its stream", &[get(1), data(1, b"x")])),
        closed(h2("RFC 9113 5.1: HEADERS behind the end of their stream", &[get(1), get(1)])),
        h2(
            "RFC 9113 5.1: RST_STREAM and then DATA",
            &[post(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), data(1, b"x"), get(3)],
        )
        .may("3: 200, open", &["GET /x", "..."])
        .may("1: reset STREAM_CLOSED, 3: 200, open", &["GET /x", "..."])
        .may("goaway STREAM_CLOSED, closed", &["*", "..."])
        .may(PROTOCOL, &["*", "..."]),
        h2(
            "RFC 9113 5.3.1: PRIORITY of a stream on itself",
            &[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]), get(1)],
        )
        .may("1: 200, open", &["GET /x"])
        .may("1: reset PROTOCOL_ERROR, open", &[])
        .may(PROTOCOL, &[]),
        h2(
            "RFC 9113 5.3.1: HEADERS that depend on themselves",
            &[{
                let block = [&[0, 0, 0, 1, 0], &whole[..]].concat();
                frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &block)
            }],
        )
        .may("1: 200, open", &["GET /x"])
        .may("1: reset PROTOCOL_ERROR, open", &[])
        .may(PROTOCOL, &[]),
        h2("RFC 9113 6.8: GOAWAY, and a stream behind it", &[frame(GOAWAY, 0, 0, &[0; 8]), get(1)])
            .may("1: 200, open", &["GET /x"])
            .may("goaway NO_ERROR, closed", &[])
            .may("1: 200, goaway NO_ERROR, closed", &["GET /x"])
            .may("closed", &[]),
    ]
}

fn paddings() -> Vec<Case> {
    let block = request("GET", "/x", &[]);
    let padded = |length: u8, padding: usize| {
        let payload = [&[length], &block[..], &vec![0; padding]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &payload)
    };
    vec![
        h2("RFC 9113 6.2: padding", &[padded(20, 20)]).may("1: 200, open", &["GET /x"]),
        refused(h2("RFC 9113 6.2: more padding than frame", &[padded(255, 0)])),
        refused(h2(
            "RFC 9113 6.2: padding and nothing else",
            &[frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[0])],
        ))
        .may("goaway FRAME_SIZE_ERROR, closed", &[])
        .may("1: reset PROTOCOL_ERROR, open", &[])
        .may("1: 400, open", &[]),
        refused(h2(
            "RFC 9113 6.1: more padding than DATA",
            &[post(), frame(DATA, END_STREAM | PADDED, 1, &[9, b'x'])],
        ))
        .may(PROTOCOL, &["..."]),
        h2(
            "RFC 9113 6.1: no byte of DATA but padding",
            &[post(), frame(DATA, END_STREAM | PADDED, 1, &[3, 0, 0, 0])],
        )
        .may("1: 200, open", &["POST /x"]),
        refused(h2(
            "RFC 9113 6.1: DATA that is padded and empty",
            &[post(), frame(DATA, END_STREAM | PADDED, 1, &[])],
        ))
        .may(PROTOCOL, &["..."])
        .may("goaway FRAME_SIZE_ERROR, closed", &["..."]),
    ]
}

fn windows() -> Vec<Case> {
    let update = |stream: u32, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    vec![
        refused(h2("RFC 9113 6.9: a window that grows by 0", &[update(0, 0), get(1)])),
        h2("RFC 9113 6.9: a stream's window that grows by 0", &[post(), update(1, 0)])
            .may("1: reset PROTOCOL_ERROR, open", &["..."])
            .may(PROTOCOL, &["..."]),
        h2(
            "RFC 9113 6.9.1: a window beyond 31 bits",
            &[update(0, 0x7FFF_FFFF), update(0, 0x7FFF_FFFF), get(1)],
        )
        .may("goaway FLOW_CONTROL_ERROR, closed", &[]),
        h2("RFC 9113 6.9.1: a stream's window beyond 31 bits", &[post(), update(1, 0x7FFF_FFFF)])
            .may("1: reset FLOW_CONTROL_ERROR, open", &["..."])
            .may("goaway FLOW_CONTROL_ERROR, closed", &["..."]),
        h2(
            "RFC 9113 6.9.2: settings that take a window beyond 31 bits",
            &[post(), update(1, 0x7FFF_0000), settings(&[(4, 0x7FFF_FFFF)])],
        )
        .may("goaway FLOW_CONTROL_ERROR, closed", &["..."])
        .may("1: reset FLOW_CONTROL_ERROR, open", &["..."]),
        h2("RFC 9113 6.9.1: more DATA than the window allows", &{
            let mut frames = vec![post()];
            frames.extend(std::iter::repeat_n(frame(DATA, 0, 1, &[b'x'; 16_384]), 20));
            frames
        })
        .may("goaway FLOW_CONTROL_ERROR, closed", &["..."])
        .may("1: reset FLOW_CONTROL_ERROR, open", &["..."]),
        h2("CVE-2019-9517: a window of 0, and then a byte", &[settings(&[(4, 0)]), get(1), update(1, 100)])
            .may("1: 200, open", &["GET /x"]),
    ]
}

fn floods() -> Vec<Case> {
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let rapid: Vec<Vec<u8>> = (0..2_000).flat_map(|n| [get(n * 2 + 1), reset(n * 2 + 1)]).collect();
    let calm = "goaway ENHANCE_YOUR_CALM, closed";
    vec![
        h2("CVE-2023-44487: 2,000 requests, each reset at once", &rapid)
            .may(calm, &["*", "..."])
            .at_most(200),
        h2("CVE-2025-8671: 2,000 streams that we have to reset", &{
            let broken = |n: u32| {
                [opens(n * 2 + 1, &request("POST", "/x", &[])), frame(WINDOW_UPDATE, 0, n * 2 + 1, &[0; 4])]
            };
            (0..2_000).flat_map(broken).collect::<Vec<_>>()
        })
        .may(calm, &["*", "..."])
        .may(PROTOCOL, &["*", "..."]),
        h2("CVE-2024-27316: CONTINUATION without end", &{
            let mut frames = vec![frame(HEADERS, END_STREAM, 1, &request("GET", "/x", &[]))];
            frames.extend(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &field("x-a", "1")), 20_000));
            frames
        })
        .may(calm, &[])
        .may(PROTOCOL, &[]),
        h2("VU#421644: empty CONTINUATION without end", &{
            let mut frames = vec![frame(HEADERS, END_STREAM, 1, &request("GET", "/x", &[]))];
            frames.extend(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[]), 20_000));
            frames
        })
        .may(calm, &[])
        .may(PROTOCOL, &[]),
        h2("CVE-2019-9518: empty DATA without end", &{
            let mut frames = vec![post()];
            frames.extend(std::iter::repeat_n(frame(DATA, 0, 1, &[]), 60_000));
            frames
        })
        .may(calm, &["..."])
        .may(calm, &[]),
        h2("CVE-2019-9515: 20,000 SETTINGS", &{
            let mut frames = vec![settings(&[(3, 100)]); 20_000];
            frames.push(get(1));
            frames
        })
        .may("1: 200, open", &["GET /x"])
        .may(calm, &[]),
        h2("CVE-2019-9512: 20,000 PING", &{
            let mut frames = vec![frame(PING, 0, 0, &[0; 8]); 20_000];
            frames.push(get(1));
            frames
        })
        .may("1: 200, open", &["GET /x"])
        .may(calm, &[]),
        h2("CVE-2019-9513: 20,000 PRIORITY", &{
            let mut frames = vec![frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]); 20_000];
            frames.push(get(1));
            frames
        })
        .may("1: 200, open", &["GET /x"])
        .may(calm, &[]),
        h2("RFC 9113 5.1.2: 150 streams at once where 100 are allowed", &{
            let opened = |n: u32| opens(n * 2 + 1, &request("POST", "/x", &[]));
            (0..150).map(opened).chain([data(1, b"x")]).collect::<Vec<_>>()
        })
        .may("1: 200, 50 streams: reset REFUSED_STREAM, open", &["POST /x x", "..."]),
    ]
}

/// What HPACK must not swallow.
fn tables() -> Vec<Case> {
    // h2 does not tell COMPRESSION_ERROR from PROTOCOL_ERROR.
    let compression = |case: Case| case.may("goaway COMPRESSION_ERROR|goaway PROTOCOL_ERROR, closed", &[]);
    let four = request("GET", "/x", &[]);
    let with = |bytes: &[u8]| [headers(1, &[&four[..], bytes].concat())];
    vec![
        compression(h2("RFC 7541 2.3.3: an index of 0", &with(&[0x80]))),
        compression(h2("RFC 7541 2.3.3: an index beyond the table", &with(&[0xFF, 0x80, 0x01]))),
        compression(h2(
            "RFC 7541 5.1: an integer without end",
            &with(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        )),
        compression(h2("RFC 7541 5.2: a text longer than its block", &with(&[0x00, 0x7F, 0x10, b'x']))),
        compression(h2("RFC 7541 5.2: Huffman that ends in zeros", &with(&[0x00, 0x81, 0x00, 0x01, b'x']))),
        compression(h2(
            "RFC 7541 4.2: a table larger than allowed",
            &[headers(1, &[&[0x3F, 0xFF, 0xFF, 0x03], &four[..]].concat())],
        )),
        compression(h2("RFC 7541 4.2: a table that changes within a block", &with(&[0x20])))
            .may("1: 200, open", &["GET /x"]),
        h2("RFC 7541 2.3: a bomb of indexed fields", &{
            // One field of 4,000 bytes enters the table, and is named 4,000 times.
            let mut block = [&four[..], &[0x40, 1, b'x']].concat();
            block.extend([0x7F, 0xA1, 0x1E]);
            block.extend(vec![b'y'; 4_000]);
            block.extend(vec![0xBE; 4_000]);
            vec![headers(1, &block)]
        })
        .may("1: 431, open", &[])
        .may("1: reset REFUSED_STREAM, open", &[])
        .may("1: reset PROTOCOL_ERROR, open", &[])
        .may(PROTOCOL, &[])
        .may("goaway ENHANCE_YOUR_CALM, closed", &[]),
    ]
}
