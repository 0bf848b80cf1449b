//! What clients should not do.

/// What one does in the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// Waits for an answer, and leaves.
    Reads,
    /// Reads so much, and leaves.
    Sips(usize),
    /// Leaves at once, with a FIN.
    Leaves,
    /// Leaves at once, with a RST.
    Resets,
}

/// A thing that a client should not do.
pub(super) struct Misdeed {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
    /// Whether an endpoint can have had a whole request, or the client a whole answer: that is evidence like any other.
    pub(super) whole: bool,
}

impl Misdeed {
    fn new(name: &'static str, bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { name, bytes: bytes.into(), then, whole: false }
    }

    fn may_be_whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

/// What is done over HTTP/1.1.
pub(super) fn on_http1() -> Vec<Misdeed> {
    [with_bodies(), without_bodies()].into_iter().flatten().collect()
}

fn with_bodies() -> Vec<Misdeed> {
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nhost: web.example\r\n{fields}\r\n\r\n{body}");
    let chunked = |body: &str| post("transfer-encoding: chunked", body);
    let upload = post("content-length: 4000000", &"x".repeat(300_000));
    vec![
        Misdeed::new("a chunk size that is none", chunked("5\r\nhello\r\nNOPE\r\n"), Then::Reads),
        Misdeed::new("a chunk longer than it says", chunked("5\r\nhello, world\r\n0\r\n\r\n"), Then::Reads),
        Misdeed::new("a chunk size beyond all bounds", chunked("fffffffffffffffff\r\n"), Then::Reads),
        Misdeed::new("chunks that end early", chunked("5\r\nhello\r\n5\r\nhe"), Then::Leaves),
        Misdeed::new("a body that ends early", post("content-length: 1000", "too short"), Then::Leaves),
        Misdeed::new("a body that never comes", post("content-length: 1000", ""), Then::Resets),
        Misdeed::new("an upload that is cut", upload.clone(), Then::Leaves),
        Misdeed::new("an upload that is reset", upload, Then::Resets),
        Misdeed::new(
            "a request that wants to be told to go on, and leaves",
            post("expect: 100-continue\r\ncontent-length: 9", ""),
            Then::Leaves,
        ),
        Misdeed::new(
            "a call of gRPC that is cut",
            post("content-type: application/grpc\r\nte: trailers\r\ncontent-length: 50", "\0\0"),
            Then::Leaves,
        ),
        Misdeed::new("two lengths", post("content-length: 5\r\ncontent-length: 6", "hello"), Then::Reads),
        Misdeed::new(
            "a length and chunks",
            post("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
            Then::Reads,
        )
        .may_be_whole(),
    ]
}

fn without_bodies() -> Vec<Misdeed> {
    const BIG: &str = "GET /big HTTP/1.1\r\nhost: web.example\r\n\r\n";
    const LITTLE: &str = "GET / HTTP/1.1\r\nhost: web.example\r\n\r\n";
    let large = "x".repeat(100_000);
    vec![
        Misdeed::new("garbage", "\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n", Then::Reads),
        Misdeed::new("a head without an end", "GET / HTTP/1.1\r\nhost: web.example\r\nx: ", Then::Leaves),
        Misdeed::new(
            "a head too large",
            format!("GET / HTTP/1.1\r\nhost: web.example\r\nx: {large}\r\n\r\n"),
            Then::Reads,
        ),
        Misdeed::new(
            "a target too long",
            format!("GET /{} HTTP/1.1\r\nhost: web.example\r\n\r\n", &large[..20_000]),
            Then::Reads,
        ),
        Misdeed::new("a download that is cut", BIG, Then::Sips(30_000)),
        Misdeed::new("a download that is reset", BIG, Then::Resets),
        Misdeed::new("a request that nobody waits for", LITTLE, Then::Resets).may_be_whole(),
        Misdeed::new("a pipeline that nobody waits for", LITTLE.repeat(20), Then::Leaves).may_be_whole(),
    ]
}

/// What is done over HTTP/2.
pub(super) fn on_http2() -> Vec<Misdeed> {
    [on_one_stream(), on_many_streams(), in_calls()].into_iter().flatten().collect()
}

fn on_one_stream() -> Vec<Misdeed> {
    vec![
        Misdeed::new(
            "a length that is not kept",
            with(&[open(&post(&[("content-length", "1000")])), frame(DATA, END_STREAM, 1, b"short")]),
            Then::Reads,
        ),
        Misdeed::new(
            "more than the length",
            with(&[open(&post(&[("content-length", "2")])), frame(DATA, END_STREAM, 1, b"too much")]),
            Then::Reads,
        ),
        Misdeed::new(
            "frames that are garbage",
            with(&[begin(1), frame(DATA, 0, 1, b"some"), b"garbage and more garbage".to_vec()]),
            Then::Reads,
        ),
        Misdeed::new("a frame for no stream", with(&[begin(1), frame(DATA, 0, 0, b"some")]), Then::Reads),
        Misdeed::new(
            "a trailer that is none",
            with(&[begin(1), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(&[(":path", "/")]))]),
            Then::Reads,
        )
        .may_be_whole(),
        Misdeed::new(
            "a field that breaks off",
            with(&[begin(1), frame(HEADERS, END_HEADERS | END_STREAM, 3, &[0, 200, 1])]),
            Then::Reads,
        ),
        Misdeed::new(
            "a head too large",
            with(&[frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[
                    head(&[(":method", "GET"), (":path", "/")]),
                    (0..120).flat_map(|_| head(&[("x", &"y".repeat(100))])).collect(),
                ]
                .concat(),
            )]),
            Then::Reads,
        )
        .may_be_whole(),
    ]
}

fn on_many_streams() -> Vec<Misdeed> {
    let streams = |each: &dyn Fn(u32) -> Vec<u8>| (0..25).flat_map(|n| each(2 * n + 1)).collect::<Vec<u8>>();
    let get = |id: u32, path: &str| {
        frame(HEADERS, END_HEADERS | END_STREAM, id, &head(&[(":method", "GET"), (":path", path)]))
    };
    let cancel = |id: u32| frame(RST_STREAM, 0, id, &[0, 0, 0, 8]);
    vec![
        Misdeed::new(
            "bodies that are reset",
            with(&[streams(&|id| [begin(id), frame(DATA, 0, id, b"some"), cancel(id)].concat())]),
            Then::Reads,
        ),
        Misdeed::new(
            "a storm of resets",
            with(&[streams(&|id| [get(id, "/"), cancel(id)].concat())]),
            Then::Reads,
        )
        .may_be_whole(),
        Misdeed::new(
            "uploads that are cut",
            with(&[streams(&|id| [begin(id), frame(DATA, 0, id, &[b'x'; 500])].concat())]),
            Then::Leaves,
        ),
        Misdeed::new(
            "uploads that are reset with their connection",
            with(&[streams(&|id| begin(id))]),
            Then::Resets,
        ),
        Misdeed::new("downloads that are cut", with(&[streams(&|id| get(id, "/big"))]), Then::Sips(30_000)),
        Misdeed::new(
            "downloads that are reset",
            with(&[streams(&|id| [get(id, "/big"), cancel(id)].concat())]),
            Then::Resets,
        ),
        Misdeed::new(
            "a window that is never opened",
            with(&[settings(&[(4, 0)]), streams(&|id| get(id, "/big"))]),
            Then::Leaves,
        ),
    ]
}

fn in_calls() -> Vec<Misdeed> {
    let called = post(&[("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1m")]);
    vec![
        Misdeed::new(
            "a call that breaks off in its first message",
            with(&[open(&called), frame(DATA, 0, 1, &[0, 0, 0, 1])]),
            Then::Leaves,
        ),
        Misdeed::new(
            "a call whose time is over",
            with(&[open(&post(&[
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("grpc-timeout", "1n"),
            ]))]),
            Then::Reads,
        ),
    ]
}

fn with(frames: &[Vec<u8>]) -> Vec<u8> {
    [opening(), frames.concat()].concat()
}

fn begin(id: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, id, &head(&post(&[])))
}

fn open(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &head(fields))
}

fn post<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[(":method", "POST"), (":path", "/")], fields].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn opening() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings(&[])].concat()
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &values)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("little").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK, each a literal; scheme and authority come with a path.
fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut all = fields.to_vec();
    if let Some(at) = all.iter().position(|(name, _)| *name == ":path")
        && all.iter().any(|(name, _)| *name == ":method")
    {
        all.splice(at..at, [(":scheme", "http"), (":authority", "web.example")]);
    }
    let literal = |(name, value): (&str, &str)| {
        let mut bytes = vec![0];
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    };
    all.into_iter().flat_map(literal).collect()
}
