//! A proxy that runs, with a snapshot of our making.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::routing::{
    Arm, Endpoint, EndpointId, Hold, HostPattern, Limiter, Limits, Matcher, PathPrefix, Policy, Rescue, Role,
    RouteMatch, Salt, Service, Snapshot, Split, Spoken, Standing, TrustedProxies, Version,
};
use adit::domain::stats::{EndpointCells, Epoch, EpochCounts, PerWorker, Sampling};
use adit::domain::{Timestamp, Weight};
use adit::proxy::{Listener, Shared, Workers};
use adit::telemetry::AccessLog;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::Notify;

use crate::endpoint::Scripted;
use crate::wire::{Reply, Wire};

/// Longer than anything takes when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Of all listeners; the first one is `address`.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) shared: Shared,
    pub(crate) workers: Option<Workers>,
}

/// A service `web` in the making.
pub(crate) struct Web {
    pub(crate) policy: Policy,
    pub(crate) versions: Vec<Version>,
    pub(crate) split: Split,
    pub(crate) routes: Vec<RouteMatch>,
    pub(crate) hold: Option<Arc<Hold>>,
    pub(crate) trusted: TrustedProxies,
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) limits: Limits,
}

impl Proxy {
    /// With a clock that stands still: nothing that depends on time happens, however slow the machine is.
    pub(crate) fn start(web: Web) -> Self {
        let (clock, _hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        Self::start_with(web, 1, clock, Duration::from_secs(8))
    }

    /// With a listener that takes this protocol.
    pub(crate) fn start_speaking(web: Web, protocol: Spoken) -> Self {
        let (clock, _hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        Self::start_at(vec![Listener { protocol, ..plain() }], web, 1, clock, Duration::from_secs(8))
    }

    pub(crate) fn start_with(web: Web, workers: usize, clock: Clock, drain: Duration) -> Self {
        Self::start_at(vec![plain()], web, workers, clock, drain)
    }

    pub(crate) fn start_at(
        listeners: Vec<Listener>,
        web: Web,
        workers: usize,
        clock: Clock,
        drain: Duration,
    ) -> Self {
        let live = Arc::new(ArcSwap::from_pointee(web.snapshot()));
        let shared = Shared {
            live,
            wake: Arc::new(Notify::new()),
            published: Arc::new(Notify::new()),
            clock,
            log: AccessLog::off(),
        };
        let bound = Workers::bind(listeners, workers).unwrap();
        let addresses = bound.addresses();
        let workers = bound.start(shared.clone(), drain).unwrap();
        Self { address: addresses[0], addresses, shared, workers: Some(workers) }
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
        self.shared.published.notify_waiters();
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
            policy: Policy { eject_after: 5, rescue: unrescued(), ..Policy::default() },
            versions: vec![version("v1", addresses)],
            split: Split::whole(0),
            routes: vec![route("/")],
            hold: None,
            trusted: TrustedProxies::default(),
            limiter: None,
            limits: Limits::default(),
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
            hold: self.hold.clone(),
            trusted: self.trusted.clone(),
            limiter: self.limiter.clone(),
            limits: self.limits.clone(),
        }
    }

    pub(crate) fn snapshot(self) -> Snapshot {
        Snapshot {
            generation: 1,
            matcher: Arc::new(Matcher::new(self.routes.into_iter().map(|route| (route, 0)))),
            services: vec![Arc::new(Service {
                name: "web".into(),
                policy: Arc::new(self.policy),
                versions: self.versions,
                split: self.split,
                rollout: None,
                hold: self.hold,
                limiter: self.limiter,
            })],
            trusted: Arc::new(self.trusted),
            limits: Arc::new(self.limits),
            unrouted: Arc::new(PerWorker::new(WORKERS)),
        }
    }
}

/// On any free port.
fn plain() -> Listener {
    Listener::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// Nothing is: a failure is seen by whoever met it.
fn unrescued() -> Rescue {
    Rescue { methods: Vec::new(), ..Rescue::default() }
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

/// Networks, or single addresses.
pub(crate) fn networks(texts: &[&str]) -> Vec<IpNet> {
    let network = |text: &&str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    texts.iter().map(network).collect::<Result<_, _>>().unwrap()
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
