//! Endpoints that are lost: frozen, ended, taken away. In most tests time stands still: whoever waits would wait for ever.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::routing::{Connection, Protocol, Rescue, Retry, Salt, Split, Version};
use adit::domain::stats::{
    ArmCounts, BUCKETS, EndpointCells, Epoch, EpochCounts, Pace, Quantile, Sampling, bucket_of,
};
use adit::domain::{Timestamp, Weight};
use h2::server::Builder;

use crate::endpoint::{Mortal, Scripted, Style, nobody, ok};
use crate::frames::{Speaker, read, say};
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually, version};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const PUT: &str = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nabcd";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nabcd";
/// The canary's place among the versions.
const CANARY: usize = 1;

/// A release whose canary, with all the traffic, has one endpoint; and what is left when that is lost.
struct Losing {
    proxy: Proxy,
    hand: Arc<Manual>,
    cells: Arc<EndpointCells>,
    after: Web,
}

impl Losing {
    fn new(web: Web, left: &[SocketAddr]) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        let cells = web.versions[CANARY].endpoints[0].cells.clone();
        let mut after = web.again();
        after.versions[CANARY] = Version { cells: web.versions[CANARY].cells.clone(), ..version("v2", left) };
        Self { proxy: Proxy::start_with(web, 1, clock, Duration::ZERO), hand, cells, after }
    }

    /// A client that has asked for this, and waits.
    fn asking(&self, request: &str) -> Wire {
        let mut client = self.proxy.client();
        let before = self.in_flight();
        client.send(request);
        eventually("the endpoint is being asked", || self.in_flight() > before);
        client
    }

    /// The same, and the endpoint has the head of it.
    fn asking_at(&self, endpoint: &Scripted, request: &str) -> Wire {
        let before = endpoint.heads().len();
        let client = self.asking(request);
        eventually("the endpoint has it", || endpoint.heads().len() > before);
        client
    }

    fn in_flight(&self) -> i64 {
        self.cells.workers.iter().map(|worker| worker.in_flight.get()).sum()
    }

    /// The engine says that the endpoint's container was frozen.
    fn lose(&self) {
        self.cells.lose(true);
        self.proxy.publish(self.after.again());
    }

    fn retries(&self) -> u64 {
        let snapshot = self.proxy.shared.live.load();
        snapshot.services[0].versions[CANARY].cells.sum(|cells| cells.retries.get())
    }

    #[track_caller]
    fn assert_nobody_is_blamed(&self, completed: u64) {
        eventually("the exchanges ended", || self.proxy.in_flight() == 0);
        let counts = |read: fn(&EndpointCells) -> u64| read(&self.cells);
        let failures = counts(|cells| cells.workers.sum(|worker| worker.failures.get()));
        assert_eq!((failures, self.cells.streak()), (0, 0), "the endpoint's");
        let evidence = self.proxy.evidence();
        assert_eq!((evidence.canary.completed, evidence.canary.failed), (completed, 0), "the canary's");
        assert!(!self.proxy.woken(), "control was told of a failure");
    }
}

fn release(canary: SocketAddr, protocol: Protocol) -> Web {
    let mut web = Web::canary(&[nobody()], &[canary], 100.0);
    web.policy.connection = Connection { protocol, ..Connection::default() };
    web
}

fn http1(canary: &Scripted) -> Web {
    release(canary.address, Protocol::Http1)
}

/// Takes requests and answers none, as the sockets of a frozen container do.
fn frozen() -> Scripted {
    Scripted::start(|wire| {
        wire.request();
        // Until the proxy lets go of it.
        wire.head();
    })
}

/// Answers when it is thawed, and not before.
fn thawing() -> (Scripted, Arc<AtomicBool>) {
    let thawed = Arc::<AtomicBool>::default();
    let is_thawed = thawed.clone();
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        eventually("it is thawed", || is_thawed.load(Ordering::SeqCst));
        wire.send(ok("late"));
    });
    (endpoint, thawed)
}

/// Says what it got.
fn echo() -> Scripted {
    Scripted::start(|wire| {
        while let Some((_, body)) = wire.request() {
            wire.send(ok(&format!("got {}", String::from_utf8(body).unwrap())));
        }
    })
}

/// The same two in HTTP/2.
fn http2_pair() -> (Speaker, Speaker) {
    let frozen = Speaker::start(Builder::new(), |request, respond| async move {
        let _held = (request, respond);
        std::future::pending::<()>().await;
    });
    let echo = Speaker::start(Builder::new(), |request, respond| async {
        let body = read(request.into_body()).await.unwrap_or_default();
        say(respond, [b"got ".to_vec(), body].concat());
    });
    (frozen, echo)
}

#[test]
fn what_waits_for_a_lost_endpoint_and_is_safe_to_repeat_goes_to_another_at_once() {
    for (request, answer) in [(GET, "got "), (PUT, "got abcd")] {
        let (frozen, echo) = (frozen(), echo());
        let losing = Losing::new(http1(&frozen), &[echo.address]);
        let mut client = losing.asking_at(&frozen, request);
        losing.lose();
        assert_eq!(client.reply().text(), answer);
        assert_eq!((losing.retries(), losing.in_flight()), (1, 0));
        losing.assert_nobody_is_blamed(1);
    }
}

#[test]
fn so_it_does_over_http2_and_its_neighbours_wait_on() {
    let (frozen, echo) = http2_pair();
    let losing = Losing::new(release(frozen.address, Protocol::Http2), &[echo.address]);
    let mut post = losing.asking(POST);
    let mut waiting = [GET, PUT].map(|request| losing.asking(request));
    eventually("the frozen endpoint has all of them", || frozen.requests().len() == 3);
    losing.lose();
    assert_eq!(waiting.each_mut().map(|client| client.reply().text().to_owned()), ["got ", "got abcd"]);
    assert_eq!(losing.in_flight(), 1, "the POST is still there");
    eventually("its time is over", || {
        losing.hand.advance(Duration::from_secs(1));
        losing.in_flight() == 0
    });
    assert_eq!(post.reply().status, 504);
    losing.assert_nobody_is_blamed(2);
    assert_eq!((frozen.connections(), echo.requests().len()), (1, 2));
}

#[test]
fn an_upload_under_way_begins_anew_at_another_endpoint_and_goes_on() {
    let frozen = Scripted::start(|wire| {
        wire.request_head();
        wire.rest();
    });
    let echo = echo();
    let losing = Losing::new(http1(&frozen), &[echo.address]);
    let mut client = losing.asking_at(&frozen, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nabcd");
    losing.lose();
    eventually("the other endpoint has the beginning", || {
        !echo.heads().is_empty() || echo.connections() == 1
    });
    client.send("efgh");
    assert_eq!(client.reply().text(), "got abcdefgh");
    losing.assert_nobody_is_blamed(1);
}

#[test]
fn what_is_not_safe_to_repeat_waits_until_a_frozen_endpoint_goes_on() {
    let large = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n{}", "x".repeat(70_000));
    for request in [POST, &large] {
        let ((endpoint, thawed), echo) = (thawing(), echo());
        let losing = Losing::new(http1(&endpoint), &[echo.address]);
        let mut client = losing.asking_at(&endpoint, request);
        losing.lose();
        assert_eq!(losing.proxy.get("/").text(), "got ", "nothing new goes there");
        assert_eq!(losing.in_flight(), 1);
        losing.cells.lose(false);
        thawed.store(true, Ordering::SeqCst);
        assert_eq!((client.reply().text(), echo.heads().len()), ("late", 1));
        losing.assert_nobody_is_blamed(2);
    }
}

#[test]
fn a_frozen_endpoint_that_does_not_go_on_in_time_is_a_504_that_counts_against_nobody() {
    let (frozen, echo) = (frozen(), echo());
    let losing = Losing::new(http1(&frozen), &[echo.address]);
    let mut client = losing.asking_at(&frozen, POST);
    losing.lose();
    eventually("its time is over", || {
        losing.hand.advance(Duration::from_secs(1));
        losing.in_flight() == 0
    });
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.header("proxy-status")),
        (504, Some("adit; error=http_response_timeout"))
    );
    losing.assert_nobody_is_blamed(0);
}

#[test]
fn where_nobody_else_is_a_get_waits_for_whoever_comes_first() {
    let ((endpoint, thawed), echo) = (thawing(), echo());
    for comes_back in [true, false] {
        let mut losing = Losing::new(http1(&endpoint), &[]);
        let mut client = losing.asking_at(&endpoint, GET);
        losing.lose();
        assert_eq!(losing.proxy.get("/").status, 503, "nothing new goes there");
        assert_eq!(losing.in_flight(), 1);
        if comes_back {
            thawed.store(true, Ordering::SeqCst);
            assert_eq!(client.reply().text(), "late");
            thawed.store(false, Ordering::SeqCst);
        } else {
            losing.after.versions[CANARY].endpoints = version("v2", &[echo.address]).endpoints;
            losing.lose();
            assert_eq!(client.reply().text(), "got ");
            thawed.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_canary_that_lost_its_only_endpoint_is_rescued_and_not_blamed() {
    let (frozen, stable) = (frozen(), echo());
    let mut web = Web::canary(&[stable.address], &[frozen.address], 100.0);
    web.policy.rescue = Rescue::default();
    let mut losing = Losing::new(web, &[]);
    let mut client = losing.asking_at(&frozen, GET);
    let evidence = losing.proxy.shared.live.load().services[0].split.epoch.clone().unwrap();
    // As control would have it: a canary without endpoints gets nothing.
    losing.after.set_weight(0.0);
    losing.lose();
    assert_eq!(client.reply().text(), "got ");
    eventually("the exchange ended", || losing.proxy.in_flight() == 0);
    let nothing = ArmCounts { routed: 0, completed: 0, failed: 0 };
    let canary = ArmCounts { routed: 1, ..nothing };
    assert_eq!(evidence.counts(), EpochCounts { canary, stable: nothing });
}

/// A canary that is held against a stable that answers within 10 ms.
fn timed(canary: &Scripted) -> Web {
    let mut times = [0; BUCKETS];
    times[bucket_of(10_000)] = 1_000;
    let mut epoch = Epoch::new(1, Weight::FULL, Sampling::Every, 2);
    let limits = adit::domain::stats::Limits::of(&times, &Quantile::ALL, 4);
    epoch.pace = Some(Pace { limits, warmup: Duration::ZERO });
    let mut web = http1(canary);
    web.split = Split::new(web.split.arms().to_vec(), Salt(3, 4), Some(Arc::new(epoch)));
    web
}

#[test]
fn the_time_that_a_lost_endpoint_was_waited_for_is_not_its_versions() {
    let (frozen, echo) = (frozen(), echo());
    let losing = Losing::new(timed(&frozen), &[echo.address]);
    let mut answered = losing.asking_at(&frozen, GET);
    let left = losing.asking_at(&frozen, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    losing.hand.advance(Duration::from_secs(5));
    losing.lose();
    assert_eq!(answered.reply().status, 200);
    drop(left);
    losing.assert_nobody_is_blamed(1);
    let epoch = losing.proxy.shared.live.load().services[0].split.epoch.clone().unwrap();
    let canary = epoch.slow(losing.proxy.shared.clock.now()).tolerated[0].canary;
    assert_eq!((canary.completed, canary.failed), (1, 0), "slow ones");
}

/// An address that lets nobody in: a connection to it is neither made nor refused.
fn unreachable() -> (SocketAddr, Vec<socket2::Socket>) {
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Those that fill the queue, which nobody empties.
    let mut held = vec![listener];
    for _ in 0..4 {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        let _under_way = client.connect(&address);
        held.push(client);
    }
    (address.as_socket().unwrap(), held)
}

#[test]
fn a_connection_to_a_lost_endpoint_is_not_waited_for_and_its_request_goes_elsewhere_whatever_its_method() {
    let (address, _held) = unreachable();
    let (_, http2_echo) = http2_pair();
    let http1_echo = echo();
    for (protocol, left) in [(Protocol::Http1, http1_echo.address), (Protocol::Http2, http2_echo.address)] {
        let losing = Losing::new(release(address, protocol), &[left]);
        let mut client = losing.asking(POST);
        losing.lose();
        assert_eq!(client.reply().text(), "got abcd", "{protocol:?}");
        losing.assert_nobody_is_blamed(1);
    }
}

#[test]
fn what_no_endpoint_saw_and_none_is_left_for_is_a_503_at_once() {
    let (address, _held) = unreachable();
    let losing = Losing::new(release(address, Protocol::Http1), &[]);
    let mut client = losing.asking(POST);
    losing.lose();
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.header("proxy-status"), Some("adit; error=destination_unavailable"));
    losing.assert_nobody_is_blamed(0);
}

#[test]
fn an_attempt_that_was_lost_is_none_of_those_that_a_service_allows() {
    let (frozen, echo) = (frozen(), echo());
    let mut web = http1(&frozen);
    web.policy.retry = Retry { attempts: 1, budget: 0.0, ..Retry::default() };
    let losing = Losing::new(web, &[echo.address]);
    let mut client = losing.asking_at(&frozen, GET);
    losing.lose();
    assert_eq!(client.reply().text(), "got ");
}

#[test]
fn a_request_leaves_two_lost_endpoints_and_stays_with_the_third() {
    let (first, second, (third, thawed)) = (frozen(), frozen(), thawing());
    let echo = echo();
    let mut losing = Losing::new(http1(&first), &[second.address]);
    let mut client = losing.asking_at(&first, GET);
    for (now, next) in [(&second, third.address), (&third, echo.address)] {
        losing.lose();
        eventually("the next one has it", || now.heads().len() == 1);
        losing.cells = losing.after.versions[CANARY].endpoints[0].cells.clone();
        losing.after.versions[CANARY].endpoints = version("v2", &[next]).endpoints;
    }
    losing.lose();
    thawed.store(true, Ordering::SeqCst);
    assert_eq!((client.reply().text(), echo.heads().len()), ("late", 0));
}

#[test]
fn the_body_of_an_answer_is_waited_for() {
    let thawed = Arc::<AtomicBool>::default();
    let is_thawed = thawed.clone();
    let endpoint = Scripted::start(move |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst");
        eventually("it is thawed", || is_thawed.load(Ordering::SeqCst));
        wire.send("later");
    });
    let losing = Losing::new(http1(&endpoint), &[nobody()]);
    let mut client = losing.asking(GET);
    let head = client.head().unwrap();
    losing.lose();
    thawed.store(true, Ordering::SeqCst);
    assert_eq!((head.starts_with("HTTP/1.1 200"), client.up_to(10)), (true, b"firstlater".to_vec()));
}

#[test]
fn an_endpoint_that_is_lost_after_it_left_is_noticed_at_the_next_tick() {
    let (frozen, echo) = (frozen(), echo());
    let losing = Losing::new(http1(&frozen), &[echo.address]);
    let mut client = losing.asking_at(&frozen, GET);
    losing.proxy.publish(losing.after.again());
    assert_eq!(losing.proxy.get("/").text(), "got ");
    assert_eq!(losing.in_flight(), 1, "one that is only on its way out still answers");
    losing.cells.lose(true);
    eventually("it goes elsewhere", || {
        losing.hand.advance(Duration::from_millis(100));
        losing.in_flight() == 0
    });
    assert_eq!(client.reply().text(), "got ");
}

#[test]
fn a_connection_never_passes_from_one_endpoint_to_another_at_the_same_address() {
    let (_, http2) = http2_pair();
    let http1 = echo();
    for (protocol, address) in [(Protocol::Http1, http1.address), (Protocol::Http2, http2.address)] {
        let web = release(address, protocol);
        let mut reborn = web.again();
        // The same slot, of another birth.
        let mut endpoint = version("v2", &[address]).endpoints.remove(0);
        endpoint.id.slot = web.versions[CANARY].endpoints[0].id.slot;
        reborn.versions[CANARY].endpoints = vec![endpoint];
        let proxy = Proxy::start(web);
        let ask = || assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
        ask();
        proxy.publish(reborn);
        ask();
    }
    assert_eq!((http1.connections(), http2.connections()), (2, 2));
}

#[test]
fn as_many_endpoints_as_vanish_together_the_one_that_is_left_gets_every_get() {
    for (total, style) in [(3, Style::KeepsConnections), (3, Style::ClosesEach), (5, Style::KeepsConnections)]
    {
        let endpoints: Vec<_> = (0..total).map(|_| Mortal::start(style)).collect();
        let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        let proxy = Proxy::start_with(Web::at(&addresses), 2, Clock::real(), Duration::ZERO);
        let together = Barrier::new(total - 1);
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..16)
                .map(|_| {
                    let mut client = proxy.client();
                    scope.spawn(move || {
                        for asked in 0..200 {
                            client.send(GET);
                            let reply = client.reply();
                            assert_eq!((reply.status, reply.whole), (200, true), "request {asked}");
                        }
                    })
                })
                .collect();
            eventually("load", || proxy.ended(0, 200) > 800);
            for mortal in &endpoints[1..] {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    mortal.kill();
                });
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        eventually("all counted", || proxy.ended(0, 200) == 3_200);
    }
}

#[test]
fn of_many_that_refuse_connections_any_request_finds_the_one_that_does_not() {
    let echo = echo();
    let mut addresses = vec![echo.address];
    addresses.extend((0..7).map(|_| nobody()));
    let proxy = Proxy::start(Web::at(&addresses));
    for _ in 0..20 {
        assert_eq!(proxy.ask(POST).text(), "got abcd");
    }
    let failures: u64 = (0..8).map(|endpoint| proxy.endpoint_counts(0, endpoint).1).sum();
    assert!(failures > 20, "{failures}: hardly any was asked");
}
