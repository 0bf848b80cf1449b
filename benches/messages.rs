//! What a message costs on its way through: its head read, its fields rewritten, its head written. Through the doors that the
//! fuzz targets use, whose own price (a buffer, a copy of fields and line) is in the figures.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use adit::domain::routing::TrustedProxies;
use adit::proxy::fuzzing;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

criterion_group!(benches, heads_read, fields_rewritten, heads_written, chunks);
criterion_main!(benches);

const REQUEST: &[(&str, &str)] = &[
    ("host", "shop.example"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "de,en-US;q=0.7,en;q=0.3"),
    ("connection", "keep-alive"),
    ("cookie", "session=8a1f0c77d2; adit-web=0123456789abcdef0123456789abcdef"),
    ("x-forwarded-for", "203.0.113.7"),
];

const ANSWER: &[(&str, &str)] = &[
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "0"),
    ("cache-control", "no-cache"),
    ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
    ("keep-alive", "timeout=5"),
    ("vary", "accept-encoding"),
];

/// The fields and so many more of a kind that nobody knows: 20 are the most that the door lets through.
fn fields(known: &[(&'static str, &'static str)], more: usize) -> HeaderMap {
    let known = known.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let unknown = (0..more).map(|number| (format!("x-field-{number}"), format!("value number {number}")));
    let parse = |(name, value): (String, String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(&value).ok()?))
    };
    known.chain(unknown).filter_map(parse).collect()
}

fn wire(line: &str, fields: &HeaderMap) -> Vec<u8> {
    let mut wire = format!("{line}\r\n").into_bytes();
    for (name, value) in fields {
        wire.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

fn heads_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head read");
    for more in [0, 12] {
        let request = wire("GET /cart/7/items?page=2 HTTP/1.1", &fields(REQUEST, more));
        let read = fuzzing::requests(&request, request.len());
        assert!(read.len() == 1 && read[0].whole, "{read:?}");
        group.bench_function(BenchmarkId::new("request of fields", REQUEST.len() + more), |bencher| {
            bencher.iter(|| fuzzing::requests(black_box(&request), request.len()));
        });
        let answer = wire("HTTP/1.1 200 OK", &fields(ANSWER, more));
        let read = fuzzing::answers(&answer, answer.len());
        assert!(read.len() == 1 && read[0].whole, "{read:?}");
        group.bench_function(BenchmarkId::new("answer of fields", ANSWER.len() + more), |bencher| {
            bencher.iter(|| fuzzing::answers(black_box(&answer), answer.len()));
        });
    }
    // A head that comes byte by byte must not be read from its beginning each time.
    let slow = wire("GET / HTTP/1.1", &fields(REQUEST, 0));
    group.bench_function("request, byte by byte", |bencher| {
        bencher.iter(|| fuzzing::requests(black_box(&slow), 1));
    });
}

fn fields_rewritten(criterion: &mut Criterion) {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 40_000));
    let nobody = TrustedProxies::default();
    let mut group = criterion.benchmark_group("fields rewritten");
    for more in [0, 12] {
        let request = fields(REQUEST, more);
        group.bench_function(BenchmarkId::new("to the endpoint", request.len()), |bencher| {
            bencher.iter_batched(
                || request.clone(),
                |fields| fuzzing::to_endpoint(peer, &nobody, fields),
                BatchSize::SmallInput,
            );
        });
        let answer = fields(ANSWER, more);
        group.bench_function(BenchmarkId::new("to the client", answer.len()), |bencher| {
            bencher.iter_batched_ref(|| answer.clone(), fuzzing::to_client, BatchSize::SmallInput);
        });
    }
}

fn heads_written(criterion: &mut Criterion) {
    let target = Uri::from_static("/cart/7/items?page=2");
    let mut group = criterion.benchmark_group("head written");
    for more in [0, 12] {
        let request = fields(REQUEST, more);
        group.bench_function(BenchmarkId::new("request of fields", request.len()), |bencher| {
            bencher.iter(|| fuzzing::written(&Method::GET, &target, black_box(&request)));
        });
    }
}

fn chunks(criterion: &mut Criterion) {
    let answer = fuzzing::written_in_chunks(&fields(&ANSWER[..1], 0), &[b'x'; 700]);
    let read = fuzzing::answers(&answer, answer.len());
    assert!(read.len() == 1 && read[0].body.len() == 700, "{read:?}");
    criterion.bench_function("answer in 100 chunks written", |bencher| {
        let fields = fields(&ANSWER[..1], 0);
        bencher.iter(|| fuzzing::written_in_chunks(black_box(&fields), &[b'x'; 700]));
    });
    criterion.bench_function("answer in 100 chunks read", |bencher| {
        bencher.iter(|| fuzzing::answers(black_box(&answer), answer.len()));
    });
}
