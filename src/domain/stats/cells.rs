//! Counters that only one worker writes and control sums: no lock, no shared cache line, no atomic
//! read-modify-write on the request path.

use std::ops::Index;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::{CodeClass, ErrorReason, GrpcCode, Histogram, MethodLabel};

/// A monotone counter with exactly one writing thread.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. Must be called from the one thread that owns this counter: it loads and stores.
    #[inline]
    pub fn add(&self, n: u64) {
        // Release: who reads this count also sees the counts that were written before it.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Release);
    }

    /// The count so far, from any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A value that goes up and down, with exactly one writing thread.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `n`, which may be negative. Must be called from the one thread that owns this gauge.
    #[inline]
    pub fn add(&self, n: i64) {
        // Release: who reads this value also sees what the thread had done before.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Release);
    }

    /// The value now, from any thread.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// One `T` per worker, each on cache lines of its own.
#[derive(Debug)]
pub struct PerWorker<T>(Box<[Padded<T>]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> PerWorker<T> {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Padded::default()).collect())
    }
}

impl<T> PerWorker<T> {
    /// All workers' cells, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// The sum over all workers of what `read` takes from each.
    pub fn sum(&self, read: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(read).sum()
    }
}

impl<T> Index<usize> for PerWorker<T> {
    type Output = T;

    /// The cells of worker `index`, counted from 0.
    fn index(&self, index: usize) -> &T {
        &self.0[index].0
    }
}

/// One worker's counters of one version of a service (or of the requests that no version got).
#[derive(Debug)]
pub struct VersionCells {
    codes: Box<[OnceLock<Box<[Count; MethodLabel::ALL.len()]>>; CODES]>,
    durations: [OnceLock<Box<Histogram>>; CodeClass::ALL.len()],
    first_bytes: OnceLock<Box<Histogram>>,
    errors: [Count; ErrorReason::ALL.len()],
    grpc: OnceLock<Box<[Count; GrpcCode::ALL.len()]>>,
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Connections that changed to another protocol and are open.
    pub tunnels: Gauge,
    /// Body bytes received from clients.
    pub request_bytes: Count,
    /// Body bytes sent to clients.
    pub response_bytes: Count,
    /// Attempts after the first.
    pub retries: Count,
    /// Requests of this version that stable answered in its place.
    pub rescues: Count,
    /// Requests that the version failed, each once, whoever answered its client in the end. [`Self::errors`] counts attempts.
    pub failed: Count,
}

/// Status codes 100 to 599.
const CODES: usize = 500;

impl Default for VersionCells {
    fn default() -> Self {
        Self {
            codes: Box::new([const { OnceLock::new() }; CODES]),
            durations: Default::default(),
            first_bytes: OnceLock::new(),
            errors: Default::default(),
            grpc: OnceLock::new(),
            in_flight: Gauge::default(),
            tunnels: Gauge::default(),
            request_bytes: Count::default(),
            response_bytes: Count::default(),
            retries: Count::default(),
            rescues: Count::default(),
            failed: Count::default(),
        }
    }
}

impl VersionCells {
    /// Counts a request that ended: `code` is the status the client saw (or 499 when it went away first).
    #[inline]
    pub fn ended(&self, method: MethodLabel, code: u16, micros: u64) {
        let code = code.clamp(100, 599);
        let methods = self.codes[usize::from(code - 100)].get_or_init(Box::default);
        methods[method as usize].add(1);
        self.durations[CodeClass::of(code) as usize].get_or_init(Box::default).record(micros);
    }

    /// Counts an answer that is no failure, by the time until its first byte.
    #[inline]
    pub fn answered(&self, micros: u64) {
        self.first_bytes.get_or_init(Box::default).record(micros);
    }

    /// Times until the first byte of answers that are no failures; `None` before the first.
    pub fn first_bytes(&self) -> Option<&Histogram> {
        self.first_bytes.get().map(AsRef::as_ref)
    }

    /// Counts an attempt on an endpoint that failed.
    #[inline]
    pub fn error(&self, reason: ErrorReason) {
        self.errors[reason as usize].add(1);
    }

    /// Counts a gRPC call that ended, by the code that the client saw.
    #[inline]
    pub fn grpc_ended(&self, code: GrpcCode) {
        self.grpc.get_or_init(Box::default)[usize::from(code.number())].add(1);
    }

    /// gRPC calls that ended with this code; `None` before the first with any.
    pub fn grpc_calls(&self, code: GrpcCode) -> Option<u64> {
        self.grpc.get().map(|codes| codes[usize::from(code.number())].get())
    }

    /// Failed attempts by reason.
    pub fn errors(&self, reason: ErrorReason) -> u64 {
        self.errors[reason as usize].get()
    }

    /// Requests that ended with this status and method.
    pub fn requests(&self, code: u16, method: MethodLabel) -> u64 {
        let index = usize::from(code.clamp(100, 599) - 100);
        self.codes[index].get().map_or(0, |methods| methods[method as usize].get())
    }

    /// The status codes seen so far.
    pub fn codes(&self) -> impl Iterator<Item = u16> {
        (100u16..).zip(self.codes.iter()).filter(|(_, seen)| seen.get().is_some()).map(|(code, _)| code)
    }

    /// Durations of the requests that ended with a status of this class; `None` before the first.
    pub fn durations(&self, class: CodeClass) -> Option<&Histogram> {
        self.durations[class as usize].get().map(AsRef::as_ref)
    }
}

/// The counters of one endpoint.
#[derive(Debug)]
pub struct EndpointCells {
    /// What each worker counted.
    pub workers: PerWorker<EndpointCounts>,
    streak: AtomicU32,
    dismissed: AtomicBool,
    lost: AtomicBool,
}

/// One worker's counters of one endpoint.
#[derive(Debug, Default)]
pub struct EndpointCounts {
    /// Attempts that ended, well or badly. Client faults are left out.
    pub attempts: Count,
    /// Attempts that the endpoint failed: no connection, no answer, a broken answer, 502, 503 or 504.
    pub failures: Count,
    /// Attempts under way now.
    pub in_flight: Gauge,
    /// Connections that changed to another protocol and are open.
    pub tunnels: Gauge,
    /// 1 while the worker may give it requests: from the first snapshot that it saw the endpoint in until the first
    /// without it.
    pub open: Gauge,
}

impl EndpointCounts {
    /// Requests in flight and open tunnels.
    #[inline]
    pub fn busy(&self) -> i64 {
        self.in_flight.get() + self.tunnels.get()
    }
}

impl EndpointCells {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: PerWorker::new(workers),
            streak: AtomicU32::new(0),
            dismissed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    /// Notes a good answer: the streak of failures is over.
    #[inline]
    pub fn succeeded(&self) {
        // Read first: while all is well this line of memory stays shared between the workers.
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure and returns how many have come in a row over all workers.
    #[inline]
    pub fn failed(&self) -> u32 {
        self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Whether it has no request in flight and no tunnel, and can't be given one any more, provided that it is in no
    /// newer snapshot.
    pub fn is_drained(&self) -> bool {
        // In this order: a worker that has let go counted everything that it gave before.
        let let_go = self.workers.iter().all(|worker| worker.open.get() == 0);
        let_go && self.busy() == 0
    }

    /// Requests in flight and open tunnels.
    pub fn busy(&self) -> i64 {
        self.workers.iter().map(EndpointCounts::busy).sum()
    }

    /// Control's word: the endpoint is about to go, or to be worked on. What would stay for hours ends. One that only
    /// fails its checks, or is ejected, keeps what it has.
    pub fn dismiss(&self, dismissed: bool) {
        self.dismissed.store(dismissed, Ordering::Release);
    }

    /// Whether its tunnels must end.
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Control's word: what is behind the endpoint can't answer any more (its container ended, or was frozen), or can again.
    /// A request that waits for it and is safe to repeat need not wait until its time is up.
    pub fn lose(&self, lost: bool) {
        self.lost.store(lost, Ordering::Release);
    }

    /// Whether nothing that is sent there is answered.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Failures in a row so far.
    pub fn streak(&self) -> u32 {
        self.streak.load(Ordering::Relaxed)
    }

    /// Starts a new streak: after an ejection the endpoint begins anew.
    pub fn forgive(&self) {
        self.streak.store(0, Ordering::Relaxed);
    }
}
