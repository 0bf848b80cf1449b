//! What the tests are made of: a proxy with a snapshot of our making, endpoints that follow a script, clients that send
//! raw bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::routing::{
    Arm, Endpoint, EndpointId, HostPattern, Matcher, PathPrefix, Policy, Role, RouteMatch, Salt, Service,
    Snapshot, Split, Standing, Version,
};
use adit::domain::stats::{EndpointCells, Epoch, EpochCounts, PerWorker, Sampling};
use adit::domain::{Timestamp, Weight};
use adit::proxy::{Shared, Workers};
use adit::telemetry::AccessLog;
use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// Longer than anything takes when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Shared,
    pub(crate) workers: Option<Workers>,
}

/// A service `web` in the making.
pub(crate) struct Web {
    pub(crate) policy: Policy,
    pub(crate) versions: Vec<Version>,
    pub(crate) split: Split,
    pub(crate) routes: Vec<RouteMatch>,
}

/// An endpoint that follows a script.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

/// A connection, at either end.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    ahead: Vec<u8>,
    log: Option<Arc<Log>>,
    /// Which connection to the endpoint this is, counted from 0.
    pub(crate) number: usize,
}

/// What a client got.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came as far as the head promised.
    pub(crate) whole: bool,
}

impl Proxy {
    /// With a clock that stands still: nothing that depends on time happens, however slow the machine is.
    pub(crate) fn start(web: Web) -> Self {
        let (clock, _hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        Self::start_with(web, 1, clock, Duration::from_secs(8))
    }

    pub(crate) fn start_with(web: Web, workers: usize, clock: Clock, drain: Duration) -> Self {
        let live = Arc::new(ArcSwap::from_pointee(web.snapshot()));
        let shared = Shared { live, wake: Arc::new(Notify::new()), clock, log: AccessLog::off() };
        let bound = Workers::bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], workers).unwrap();
        let address = bound.addresses()[0];
        let workers = bound.start(shared.clone(), drain).unwrap();
        Self { address, shared, workers: Some(workers) }
    }

    pub(crate) fn client(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Reply {
        let mut client = self.client();
        client.send(request);
        client.reply_to(request.split(' ').next().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
    }

    pub(crate) fn publish(&self, web: Web) {
        self.shared.live.store(Arc::new(web.snapshot()));
    }

    /// Whether control was woken since the last time.
    pub(crate) fn woken(&self) -> bool {
        use std::task::{Context, Waker};
        let notified = std::pin::pin!(self.shared.wake.notified());
        notified.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub(crate) fn endpoint_counts(&self, version: usize, endpoint: usize) -> (u64, u64) {
        let snapshot = self.shared.live.load();
        let cells = &snapshot.services[0].versions[version].endpoints[endpoint].cells;
        (cells.workers.sum(|counts| counts.attempts.get()), cells.workers.sum(|counts| counts.failures.get()))
    }

    /// Requests of version `index` that ended with `code`, whatever the method.
    pub(crate) fn ended(&self, index: usize, code: u16) -> u64 {
        use adit::domain::stats::MethodLabel;
        let snapshot = self.shared.live.load();
        let cells = &snapshot.services[0].versions[index].cells;
        cells.sum(|cells| MethodLabel::ALL.iter().map(|method| cells.requests(code, *method)).sum())
    }

    pub(crate) fn in_flight(&self) -> i64 {
        let snapshot = self.shared.live.load();
        let versions = snapshot.services.iter().flat_map(|service| &service.versions);
        versions.flat_map(|version| version.cells.iter().map(|cells| cells.in_flight.get())).sum()
    }

    pub(crate) fn evidence(&self) -> EpochCounts {
        self.shared.live.load().services[0].split.epoch.as_ref().unwrap().counts()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.stop();
            workers.join();
        }
    }
}

impl Web {
    /// One version with these endpoints, all traffic to it.
    pub(crate) fn of(endpoints: &[&Scripted]) -> Self {
        let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        Self::at(&addresses)
    }

    pub(crate) fn at(addresses: &[SocketAddr]) -> Self {
        Self {
            policy: Policy { eject_after: 5, ..Policy::default() },
            versions: vec![version("v1", addresses)],
            split: Split::whole(0),
            routes: vec![route("/")],
        }
    }

    /// Stable `v1` and canary `v2` with this weight in percent, under evidence.
    pub(crate) fn canary(stable: &[SocketAddr], canary: &[SocketAddr], weight: f64) -> Self {
        let mut web = Self::at(stable);
        web.versions.push(version("v2", canary));
        web.set_weight(weight);
        web
    }

    pub(crate) fn set_weight(&mut self, weight: f64) {
        let weight = Weight::from_percent(weight).unwrap();
        let arms = vec![
            Arm { version: 1, weight, role: Role::Canary },
            Arm { version: 0, weight: weight.rest(), role: Role::Stable },
        ];
        let epoch = Arc::new(Epoch::new(1, weight, Sampling::Every, WORKERS));
        self.split = Split::new(arms, Salt(3, 4), Some(epoch));
    }

    /// The same service again, for another snapshot.
    pub(crate) fn again(&self) -> Self {
        let again = |version: &Version| Version {
            name: version.name.clone(),
            endpoints: version.endpoints.clone(),
            cells: version.cells.clone(),
        };
        Self {
            policy: self.policy.clone(),
            versions: self.versions.iter().map(again).collect(),
            split: self.split.clone(),
            routes: self.routes.clone(),
        }
    }

    fn snapshot(self) -> Snapshot {
        Snapshot {
            generation: 1,
            matcher: Arc::new(Matcher::new(self.routes.into_iter().map(|route| (route, 0)))),
            services: vec![Arc::new(Service {
                name: "web".into(),
                policy: Arc::new(self.policy),
                versions: self.versions,
                split: self.split,
                rollout: None,
            })],
            unrouted: Arc::new(PerWorker::new(WORKERS)),
        }
    }
}

/// As many as any test starts.
const WORKERS: usize = 2;

pub(crate) fn route(prefix: &str) -> RouteMatch {
    RouteMatch {
        host: HostPattern::Any,
        path: PathPrefix::parse(prefix).unwrap(),
        methods: Vec::new(),
        headers: Vec::new(),
        strip_prefix: false,
    }
}

pub(crate) fn version(name: &str, addresses: &[SocketAddr]) -> Version {
    static BORN: AtomicU32 = AtomicU32::new(0);
    let endpoint = |address: &SocketAddr| {
        let birth = BORN.fetch_add(1, Ordering::Relaxed);
        Endpoint {
            id: EndpointId { slot: birth, birth },
            address: *address,
            declared: address.to_string().into(),
            standing: Standing::Ready,
            cells: Arc::new(EndpointCells::new(WORKERS)),
        }
    };
    Version {
        name: name.into(),
        endpoints: addresses.iter().map(endpoint).collect(),
        cells: Arc::new(PerWorker::new(WORKERS)),
    }
}

/// An address where nobody listens: refuses connections.
pub(crate) fn nobody() -> SocketAddr {
    // Bound, not listening: nobody else can take it while the test runs.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

impl Scripted {
    /// Runs `script` for every connection, each on a thread of its own. The connection closes when it returns.
    pub(crate) fn start(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (log, script) = (Arc::new(Log::default()), Arc::new(script));
        let endpoint = Self { address, log: log.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, script) = (log.clone(), script.clone());
                let number = log.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    script(&mut Wire { number, log: Some(log), ..Wire::new(stream) });
                });
            }
        });
        endpoint
    }

    /// Answers every request with 200 and this text.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::start(move |wire| {
            while wire.request().is_some() {
                wire.send(ok(text));
            }
        })
    }

    /// Answers every request with these bytes and keeps the connection.
    pub(crate) fn answering(bytes: &'static str) -> Self {
        Self::start(move |wire| {
            while wire.request().is_some() {
                wire.send(bytes);
            }
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// The heads of the requests it saw.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.log.heads.lock().unwrap().clone()
    }
}

/// An endpoint that can be killed like a process: all its sockets close at once, in the middle of whatever they do.
pub(crate) struct Mortal {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<Mortality>>,
}

/// How an endpoint treats connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    KeepsConnections,
    ClosesEach,
}

#[derive(Default)]
struct Mortality {
    dead: bool,
    in_flight: usize,
    streams: Vec<TcpStream>,
}

impl Mortal {
    pub(crate) fn start(style: Style) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Mortality::default()));
        let life = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = life.lock().unwrap();
                if state.dead {
                    // Before anybody can say that it is dead, the listener is gone.
                    drop(listener);
                    return;
                }
                state.streams.push(stream.try_clone().unwrap());
                let life = life.clone();
                std::thread::spawn(move || Self::serve(&mut Wire::new(stream), style, &life));
            }
        });
        Self { address, state }
    }

    fn serve(wire: &mut Wire, style: Style, life: &Mutex<Mortality>) {
        while wire.request().is_some() {
            life.lock().unwrap().in_flight += 1;
            std::thread::park_timeout(Duration::from_millis(1));
            let mut state = life.lock().unwrap();
            state.in_flight -= 1;
            if state.dead {
                return;
            }
            // Whole or not at all: an answer that has begun can't be saved.
            match style {
                Style::KeepsConnections => wire.send(ok("hello")),
                Style::ClosesEach => {
                    wire.send("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello");
                    return;
                }
            }
        }
    }

    /// How many requests were in flight then.
    pub(crate) fn kill(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        state.dead = true;
        for stream in &state.streams {
            let _closed_before = stream.shutdown(std::net::Shutdown::Both);
        }
        let in_flight = state.in_flight;
        drop(state);
        // Wakes the listener, so that it goes as well.
        let _refused = TcpStream::connect(self.address);
        in_flight
    }
}

/// A whole answer.
pub(crate) fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new(), log: None, number: 0 }
    }

    /// Sends bytes. Whoever hung up does not get them.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.stream.write_all(bytes.as_ref());
    }

    /// The head and body of the next request; `None` when there is none.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.request_head()?;
        let body = self.body(&head, Framing::of_request(&head)).0;
        Some((head, body))
    }

    pub(crate) fn request_head(&mut self) -> Option<String> {
        let head = self.head()?;
        if let Some(log) = &self.log {
            log.heads.lock().unwrap().push(head.clone());
        }
        Some(head)
    }

    /// The answer to a request with this method.
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        loop {
            let head = self.head().expect("an answer");
            let status: u16 = head[9..12].parse().unwrap();
            if status == 100 {
                continue;
            }
            let bodyless = method == "HEAD" || [204, 304].contains(&status);
            let framing = if bodyless { Framing::Length(0) } else { Framing::of_reply(&head) };
            let (body, whole) = self.body(&head, framing);
            return Reply { status, head, body, whole };
        }
    }

    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads and throws away so many bytes, fewer at the end of the stream. How many it were.
    pub(crate) fn swallow(&mut self, length: usize) -> usize {
        let mut swallowed = 0;
        loop {
            swallowed += self.ahead.len();
            self.ahead.clear();
            if swallowed >= length || self.more() == 0 {
                return swallowed;
            }
        }
    }

    /// Whether the other side closed (or reset) the connection, once it does.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// The bytes up to an empty line, in lower case.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.ahead.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.more() == 0 {
                return None;
            }
        }
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).unwrap_or(0);
        self.ahead.extend_from_slice(&buffer[..read]);
        read
    }

    fn body(&mut self, head: &str, framing: Framing) -> (Vec<u8>, bool) {
        if head.to_lowercase().contains("expect: 100-continue") {
            self.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        match framing {
            Framing::Length(length) => {
                while self.ahead.len() < length && self.more() > 0 {}
                let whole = self.ahead.len() >= length;
                (self.ahead.drain(..length.min(self.ahead.len())).collect(), whole)
            }
            Framing::Chunked => self.chunked(),
            Framing::Close => {
                while self.more() > 0 {}
                (std::mem::take(&mut self.ahead), true)
            }
        }
    }

    fn chunked(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.ahead.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None if self.more() == 0 => return (body, false),
                    None => {}
                }
            };
            let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            while self.ahead.len() < size + 2 {
                if self.more() == 0 {
                    return (body, false);
                }
            }
            body.extend(self.ahead.drain(..size + 2).take(size));
            if size == 0 {
                return (body, true);
            }
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl Framing {
    fn of_request(head: &str) -> Self {
        match Self::of_reply(head) {
            Self::Close => Self::Length(0),
            framed => framed,
        }
    }

    fn of_reply(head: &str) -> Self {
        let head = head.to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return Self::Chunked;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        length.map_or(Self::Close, |length| Self::Length(length.parse().unwrap()))
    }
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// The value of a field in a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let clock = Clock::real();
    let start: Timestamp = clock.now();
    while !is_so() {
        assert!(clock.now() - start < PATIENCE, "still not so: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
