//! What the way from a request to an endpoint costs: route, version, endpoint.

use std::hint::black_box;
use std::sync::Arc;

use adit::domain::Weight;
use adit::domain::routing::{
    Arm, Endpoint, EndpointId, HostPattern, Matcher, PathPrefix, Point, RequestParts, Role, RouteMatch, Salt,
    Split, Standing, pick,
};
use adit::domain::stats::EndpointCells;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method};

criterion_group!(benches, route_lookup, split_choose, endpoint_pick);
criterion_main!(benches);

fn route(host: &str, path: &str) -> RouteMatch {
    RouteMatch {
        host: HostPattern::parse(host).expect("a host"),
        path: PathPrefix::parse(path).expect("a path"),
        methods: Vec::new(),
        headers: Vec::new(),
        strip_prefix: false,
    }
}

/// `count` routes: by host, by wildcard, and by path under one host, with a route for all the rest.
fn routes(count: usize) -> Matcher {
    let hosts = (1..count).map(|number| match number % 3 {
        0 => route(&format!("s{number}.shop.example"), "/"),
        1 => route(&format!("*.t{number}.shop.example"), "/api"),
        _ => route("shop.example", &format!("/api/v{number}/items")),
    });
    Matcher::new(hosts.chain([route("*", "/")]).zip(0..))
}

fn route_lookup(criterion: &mut Criterion) {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("*/*"));
    let mut group = criterion.benchmark_group("route lookup");
    for count in [10, 10_000] {
        let matcher = routes(count);
        for (what, host, path) in [
            ("exact host", "s6.shop.example", "/cart/7/items"),
            ("wildcard", "eu.t7.shop.example", "/api/cart/7/items"),
            ("deep path", "shop.example", "/api/v8/items/7/reviews/9"),
            ("no host known", "elsewhere.example", "/cart/7/items"),
        ] {
            let request = RequestParts { host, path, method: &Method::GET, headers: &headers };
            assert!(matcher.resolve(&request).is_some(), "{what} finds a route");
            group.bench_function(BenchmarkId::new(what, count), |bencher| {
                bencher.iter(|| matcher.resolve(black_box(&request)));
            });
        }
    }
}

fn split_choose(criterion: &mut Criterion) {
    let weight = Weight::from_percent(5.0).expect("a percentage");
    let arm = |version, weight, role| Arm { version, weight, role };
    let arms = vec![arm(0, weight.rest(), Role::Stable), arm(1, weight, Role::Canary)];
    let split = Split::new(arms, Salt(1, 2), None);
    let mut random = fastrand::Rng::with_seed(1);
    criterion.bench_function("split, by a draw", |bencher| {
        bencher.iter(|| split.choose(Point::from_bits(random.u64(..))).map(|arm| arm.version));
    });
    let cookie = b"0123456789abcdef0123456789abcdef";
    criterion.bench_function("split, by a cookie", |bencher| {
        bencher.iter(|| {
            split.choose(Point::from_bits(split.salt.hash(black_box(cookie)))).map(|arm| arm.version)
        });
    });
}

fn endpoint_pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoint pick");
    for count in [2, 100] {
        let endpoints: Vec<Endpoint> = (0..count).map(endpoint).collect();
        let mut random = fastrand::Rng::with_seed(1);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| pick(&endpoints, random.u64(..), |endpoint| endpoint.id.slot & 3, |_| true));
        });
    }
}

fn endpoint(slot: u32) -> Endpoint {
    Endpoint {
        id: EndpointId { slot, birth: slot },
        address: ([127, 0, 0, 1], 9000).into(),
        declared: "127.0.0.1:9000".into(),
        standing: Standing::Ready,
        cells: Arc::new(EndpointCells::new(1)),
    }
}
