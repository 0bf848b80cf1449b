//! A proxy with two services: `/admin` has an endpoint of its own, everything else goes to the public one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::Timestamp;
use adit::domain::routing::{Matcher, Snapshot};
use adit::domain::stats::ErrorReason;

use crate::case::{Case, Protocol, Step};
use crate::client::{At, Peer, Reply};
use crate::endpoint::nobody;
use crate::h2;
use crate::recorder::{Connection, NEXT, Recorder};
use crate::world::{Proxy, Web, route};

/// A proxy, ours or another's, and what is behind it.
pub(crate) struct Front {
    pub(crate) at: At,
    pub(crate) public: Recorder,
    pub(crate) admin: Recorder,
    /// How long nothing may come before that is taken for an answer.
    pub(crate) patience: Duration,
    pub(crate) ours: Option<Ours>,
}

/// What can be known of our own.
pub(crate) struct Ours {
    pub(crate) proxy: Proxy,
    pub(crate) hand: Arc<Manual>,
}

/// What came of a case.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// As outcomes say it.
    pub(crate) client: Vec<String>,
    pub(crate) replies: Vec<Reply>,
    pub(crate) faults: Vec<String>,
    pub(crate) public: Vec<Connection>,
    pub(crate) admin: Vec<Connection>,
}

/// No answer of ours takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

impl Front {
    /// Our own, for one case.
    pub(crate) fn ours(case: &Case) -> Self {
        let public = Recorder::start(case.script.clone());
        let admin = Recorder::start(case.script.clone());
        let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        let proxy = Proxy::start_with(Web::at(&[]), 1, clock, Duration::ZERO);
        proxy.shared.live.store(Arc::new(snapshot(public.address, admin.address)));
        let at = At::Tcp(proxy.address);
        Self { at, public, admin, patience: PATIENCE, ours: Some(Ours { proxy, hand }) }
    }

    /// Runs a case. The endpoints' side is filled in by who knows when all has come.
    pub(crate) fn converse(&self, case: &Case) -> Seen {
        let mut seen = Seen::default();
        let mut peer = Peer::connect(&self.at, self.patience);
        let bodiless = case.bytes().starts_with(b"HEAD ");
        for step in &case.send {
            match step {
                Step::Send(bytes) => peer.send(bytes),
                Step::Asked(wanted) => {
                    self.wait_until(|| self.public.asked() + self.admin.asked() >= *wanted)
                }
                Step::Reached(end) => self.wait_until(|| self.public.has_seen(end)),
                Step::Answer => seen.replies.extend(peer.reply(bodiless)),
                Step::Finish => peer.finish(),
                timed => self.time_passes(&mut peer, timed, &mut seen),
            }
        }
        match case.protocol {
            Protocol::Http1 => Self::read_http1(case, &mut peer, bodiless, &mut seen),
            Protocol::Http2 => h2::read(case, &mut peer, &mut seen),
        }
        seen
    }

    fn wait_until(&self, is_so: impl Fn() -> bool) {
        let polls = self.patience.as_millis();
        for _ in 0..polls {
            if is_so() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Moves the clock on in steps that the worker can follow, until `is_so`. How long that took.
    fn pass(&self, limit: Duration, mut is_so: impl FnMut(&Ours) -> bool) -> Option<Duration> {
        let ours = self.ours.as_ref()?;
        let mut passed = Duration::ZERO;
        while !is_so(ours) {
            if passed >= limit {
                return None;
            }
            ours.hand.advance(STEP);
            passed += STEP;
        }
        Some(passed)
    }

    fn time_passes(&self, peer: &mut Peer, step: &Step, seen: &mut Seen) {
        let before = peer.ahead.len();
        // A worker that gets no turn looks late: nothing may come too early, but late is not wrong.
        let late = |limit: Duration| limit * 4;
        let fault = match step {
            Step::Wait(time) => {
                let closed = self.pass(*time, |_| peer.has_closed(MOMENT));
                closed.map(|passed| format!("closed after {passed:?}, before {time:?} were over"))
            }
            Step::Closes(limit) => {
                let closed = self.pass(late(*limit), |_| peer.has_closed(MOMENT));
                closed.is_none().then(|| format!("not closed after {limit:?}"))
            }
            Step::Until(limit) => {
                let came = self.pass(late(*limit), |_| peer.has_closed(MOMENT) || peer.ahead.len() > before);
                came.is_none().then(|| format!("nothing came in {limit:?}"))
            }
            Step::Settles(limit) => {
                let settled = self.pass(late(*limit), |ours| {
                    std::thread::park_timeout(MOMENT);
                    ours.in_flight().0 == 0
                });
                settled.is_none().then(|| format!("still in flight after {limit:?}"))
            }
            Step::Send(_) | Step::Asked(_) | Step::Reached(_) | Step::Answer | Step::Finish => None,
        };
        seen.faults.extend(fault);
    }

    fn read_http1(case: &Case, peer: &mut Peer, bodiless: bool, seen: &mut Seen) {
        let wanted = case.may.iter().map(|outcome| statuses(outcome.client)).max().unwrap_or(0);
        while seen.replies.iter().filter(|reply| reply.status >= 200).count() < wanted {
            let Some(reply) = peer.reply(bodiless) else { break };
            seen.replies.push(reply);
        }
        seen.client = seen.replies.iter().map(Reply::summary).collect();
        let ends = |end: &str| {
            let of = |client: &str| matches(client.rsplit_once(", ").map_or("", |it| it.0), &seen.client);
            case.may.iter().any(|it| it.client.ends_with(end) && of(it.client))
        };
        let closing =
            seen.replies.last().is_some_and(|reply| !reply.whole || reply.all("connection") == ["close"]);
        if ends("closed") && (closing || !ends("open")) || wanted == 0 {
            peer.drain();
        }
        let mut closed = peer.closed;
        if !closed && !peer.silent {
            peer.send(format!("GET {NEXT} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            match peer.reply(false) {
                Some(reply) if reply.body == NEXT.as_bytes() => {}
                Some(reply) => seen.faults.push(format!("the next request on it is answered with {reply:?}")),
                None => closed = peer.closed,
            }
        }
        if !peer.ahead.is_empty() {
            seen.faults.push(format!("after the answers: {:?}", String::from_utf8_lossy(&peer.ahead)));
        }
        let end = if closed {
            "closed"
        } else if peer.silent {
            "silent"
        } else {
            "open"
        };
        seen.client.push(end.into());
    }
}

/// How far the clock goes at once, and how long the worker has to follow.
const STEP: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_millis(4);

/// How many final answers an outcome speaks of.
fn statuses(client: &str) -> usize {
    client.split(", ").filter(|item| item.starts_with(['2', '3', '4', '5'])).count()
}

/// Whether this came of it: `200, 400|501, closed`.
pub(crate) fn matches(client: &str, seen: &[String]) -> bool {
    let items: Vec<&str> = client.split(", ").filter(|item| !item.is_empty()).collect();
    let one = |(item, seen): (&&str, &String)| match item.split_once(": ") {
        // HTTP/2: `1: 200|400`.
        Some((stream, item)) => seen
            .strip_prefix(stream)
            .and_then(|seen| seen.strip_prefix(": "))
            .is_some_and(|seen| item.split('|').any(|it| it == seen)),
        None => item.split('|').any(|it| it == seen),
    };
    items.len() == seen.len() && items.iter().zip(seen).all(one)
}

fn snapshot(public: SocketAddr, admin: SocketAddr) -> Snapshot {
    // The public endpoint is a canary's: what would be held against it is evidence.
    let mut snapshot = Web::canary(&[nobody()], &[public], 100.0).snapshot();
    let routes = [(route("/"), 0), (route("/admin"), 1)];
    snapshot.matcher = Arc::new(Matcher::new(routes));
    snapshot.services.append(&mut Web::at(&[admin]).snapshot().services);
    snapshot
}

impl Ours {
    pub(crate) fn panics(&self) -> u64 {
        self.proxy.workers.as_ref().unwrap().vitals().panics()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.proxy.workers.as_ref().unwrap().vitals().connections()
    }

    /// Failures of endpoints, errors of versions that an endpoint is to blame for, and failures in the evidence.
    pub(crate) fn blamed(&self) -> (u64, u64, u64) {
        let snapshot = self.proxy.shared.live.load();
        let versions = || snapshot.services.iter().flat_map(|service| &service.versions);
        let endpoints = versions().flat_map(|version| &version.endpoints);
        let failures = endpoints.map(|it| it.cells.workers.sum(|counts| counts.failures.get())).sum();
        let clients = [ErrorReason::HttpRequestError, ErrorReason::HttpRequestDenied];
        let reasons = || ErrorReason::ALL.iter().filter(|reason| !clients.contains(reason));
        let errors =
            versions().map(|it| it.cells.sum(|cells| reasons().map(|why| cells.errors(*why)).sum())).sum();
        (failures, errors, self.proxy.evidence().canary.failed)
    }

    /// Requests in flight: by versions, by endpoints.
    pub(crate) fn in_flight(&self) -> (i64, i64) {
        let snapshot = self.proxy.shared.live.load();
        let endpoints = snapshot.services.iter().flat_map(|it| &it.versions).flat_map(|it| &it.endpoints);
        let counts = endpoints.flat_map(|it| it.cells.workers.iter().map(|counts| counts.in_flight.get()));
        (self.proxy.in_flight(), counts.sum())
    }
}
