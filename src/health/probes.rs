//! The tasks that check all endpoints, each at its own pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use super::probe::{self, ProbePlan, Speech};
use super::state::{CheckState, Condition, EAGER, ProbeError, ProbeResult, QUICK};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::routing::EndpointId;

/// Checks under way at once, over all endpoints: a big reload must neither flood the network nor eat all descriptors.
const AT_ONCE: usize = 64;

/// Checks endpoints until dropped.
#[derive(Debug)]
pub struct Probes {
    clock: Clock,
    reports: mpsc::Sender<Report>,
    turns: Arc<Semaphore>,
    running: BTreeMap<EndpointId, Running>,
    tasks: JoinSet<()>,
}

/// A check that ended. One of an endpoint that is no longer wanted may still be on its way: pass over it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whose.
    pub id: EndpointId,
    /// What is known now, this check included.
    pub state: CheckState,
}

#[derive(Debug)]
struct Running {
    plan: watch::Sender<ProbePlan>,
    hurry: Arc<Notify>,
    task: AbortHandle,
}

/// One endpoint's task.
struct Patient {
    id: EndpointId,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    turns: Arc<Semaphore>,
    plans: watch::Receiver<ProbePlan>,
    hurry: Arc<Notify>,
}

/// How the time between two checks was spent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// As long as the pace says.
    Full,
    /// Cut short.
    Hurried,
}

/// Whoever wanted the checks is gone.
struct Unwanted;

impl Probes {
    /// Checks nothing yet. Every check is reported to `reports`; while that is full, checking waits.
    pub fn new(clock: Clock, reports: mpsc::Sender<Report>) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { clock, reports, turns, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// From now on checks exactly these. A new endpoint is checked at once, one whose plan changed is checked at once
    /// by the new plan and keeps its state, and one that is no longer there is left alone. Call it within a tokio
    /// runtime.
    pub fn reconcile(&mut self, wanted: BTreeMap<EndpointId, ProbePlan>) {
        self.reap();
        self.running.retain(|id, running| {
            let stays = wanted.contains_key(id) && !running.task.is_finished();
            if !stays {
                running.task.abort();
            }
            stays
        });
        for (id, plan) in wanted {
            match self.running.get(&id) {
                Some(running) => {
                    running.plan.send_if_modified(|current| {
                        let changed = *current != plan;
                        *current = plan;
                        changed
                    });
                }
                None => self.start(id, plan),
            }
        }
    }

    /// Checks this endpoint sooner: something else says that it may have changed. Not sooner than 500 ms (or the
    /// interval; 100 ms while it is new) after its last check, however often this is called. A check that is under way
    /// is made anew: what it waits for may have been there before the change.
    pub fn hurry(&self, id: EndpointId) {
        if let Some(running) = self.running.get(&id) {
            running.hurry.notify_one();
        }
    }

    fn start(&mut self, id: EndpointId, plan: ProbePlan) {
        let (plan, plans) = watch::channel(plan);
        let hurry = Arc::new(Notify::new());
        let patient = Patient {
            id,
            clock: self.clock.clone(),
            reports: self.reports.clone(),
            turns: self.turns.clone(),
            plans,
            hurry: hurry.clone(),
        };
        let task = self.tasks.spawn(async move {
            let Err(Unwanted) = patient.watch().await;
        });
        self.running.insert(id, Running { plan, hurry, task });
    }

    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(failure) = ended
                && failure.is_panic()
            {
                error!(%failure, "an endpoint's health checks broke down and start anew");
            }
        }
    }
}

impl Patient {
    async fn watch(mut self) -> Result<std::convert::Infallible, Unwanted> {
        let mut state = CheckState::new(self.clock.now());
        let mut speech: Option<Speech> = None;
        loop {
            let plan = self.plans.borrow_and_update().clone();
            let known = speech.take().filter(|known| known.is_for(&plan));
            let speech = speech.insert(known.unwrap_or_else(|| Speech::new(&plan.connection)));
            let result = tokio::select! {
                result = check(&plan, speech, &self.clock, &self.turns) => result,
                changed = self.plans.changed() => {
                    changed.map_err(|_| Unwanted)?;
                    continue;
                }
                () = self.hurry.notified() => {
                    state.refresh(self.clock.now());
                    continue;
                }
            };
            let now = self.clock.now();
            state.record(now, result, &plan.spec);
            let report = Report { id: self.id, state: state.clone() };
            self.reports.send(report).await.map_err(|_| Unwanted)?;
            let hasty = if state.condition == Condition::New { EAGER } else { QUICK };
            let soonest = now + plan.spec.interval.min(hasty);
            if self.rest(soonest, due(now, state.pace(now, &plan.spec))).await? == Rest::Hurried {
                state.refresh(self.clock.now());
            }
        }
    }

    /// Waits until `at`; in a hurry only until `soonest`; with a new plan not at all.
    async fn rest(&mut self, soonest: Timestamp, at: Timestamp) -> Result<Rest, Unwanted> {
        let (mut at, mut rest) = (at, Rest::Full);
        loop {
            tokio::select! {
                () = self.clock.sleep_until(at) => return Ok(rest),
                changed = self.plans.changed() => return changed.map(|()| rest).map_err(|_| Unwanted),
                () = self.hurry.notified() => (at, rest) = (at.min(soonest), Rest::Hurried),
            }
        }
    }
}

/// One check when its turn comes. It runs as a task of its own: should it panic, that is its result.
async fn check(plan: &ProbePlan, speech: &Speech, clock: &Clock, turns: &Semaphore) -> ProbeResult {
    let _turn = turns.acquire().await.expect("the semaphore is never closed: Probes");
    let mut alone = JoinSet::new();
    alone.spawn(probe::check(plan.clone(), speech.clone(), clock.clone()));
    match alone.join_next().await.expect("one task was spawned: the line above") {
        Ok(result) => result,
        Err(failure) => {
            error!(endpoint = %plan.address, %failure, "a health check broke down");
            ProbeResult::Failed(ProbeError::Ours(failure.to_string()))
        }
    }
}

/// When the next check is: ±10 %, so that those of many endpoints don't march in step, but in groups, one for each hundredth of
/// their pace. Whoever wakes for one of a thousand endpoints checks ten.
fn due(now: Timestamp, pace: Duration) -> Timestamp {
    let at = (now + pace.mul_f64(0.9 + 0.2 * fastrand::f64())).as_micros();
    let group = u64::try_from(pace.as_micros() / 100).unwrap_or(u64::MAX).max(1);
    Timestamp::from_micros(at - at % group)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::clock::Manual;
    use crate::config::spec::HealthSpec;
    use crate::domain::proxy_protocol::ProxyProtocol;
    use crate::domain::routing::Connection;
    use crate::health::{Condition, LastCheck};

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    const FOREVER: Duration = Duration::from_secs(3600);

    /// What an endpoint does with one connection, after it read the request.
    #[derive(Clone, Copy)]
    enum Act {
        /// Sends this and closes.
        Say(&'static str),
        /// Sends this byte by byte and closes.
        Trickle(&'static str),
        /// Sends this and goes quiet.
        Stall(&'static str),
    }

    /// An endpoint that plays `script`, a connection per act, the last one over and over. The requests it got come
    /// out of the receiver.
    async fn endpoint(script: &'static [Act]) -> (SocketAddr, mpsc::Receiver<String>, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (heard, requests) = mpsc::channel(1024);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut quiet = Vec::new();
            for turn in 0.. {
                let (mut client, _from) = listener.accept().await.expect("a connection");
                heard.send(head(&mut client).await).await.expect("the test listens");
                match script[turn.min(script.len() - 1)] {
                    Act::Say(answer) => client.write_all(answer.as_bytes()).await.expect("sent"),
                    Act::Trickle(answer) => trickle(&mut client, answer).await,
                    Act::Stall(answer) => {
                        client.write_all(answer.as_bytes()).await.expect("sent");
                        quiet.push(client);
                    }
                }
            }
        });
        (address, requests, tasks)
    }

    /// Reads a request's head; empty when the client only connected.
    async fn head(client: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match client.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_closed) => break,
            }
        }
        String::from_utf8(head).expect("text")
    }

    async fn trickle(client: &mut TcpStream, answer: &str) {
        client.set_nodelay(true).expect("a socket");
        for byte in answer.as_bytes() {
            client.write_all(&[*byte]).await.expect("sent");
            tokio::task::yield_now().await;
        }
    }

    fn spec() -> HealthSpec {
        HealthSpec { path: Some("/healthz".into()), timeout: FOREVER, ..HealthSpec::default() }
    }

    /// Over the PROXY protocol.
    fn relayed(plan: ProbePlan) -> ProbePlan {
        let connection = Connection { proxy_protocol: Some(ProxyProtocol::V1), ..plan.connection };
        ProbePlan { connection, ..plan }
    }

    fn plan(address: SocketAddr, spec: HealthSpec) -> ProbePlan {
        ProbePlan { address, host: "shop.example".into(), connection: Connection::default(), spec }
    }

    fn id(slot: u32) -> EndpointId {
        EndpointId { slot, birth: 7 }
    }

    struct Bench {
        clock: Arc<Manual>,
        probes: Probes,
        reports: mpsc::Receiver<Report>,
    }

    impl Bench {
        fn new() -> Self {
            let (clock, manual) = Clock::manual(Timestamp::from_micros(1_000_000));
            let (sender, reports) = mpsc::channel(1024);
            Self { clock: manual, probes: Probes::new(clock, sender), reports }
        }

        fn watch(&mut self, plans: impl IntoIterator<Item = ProbePlan>) {
            self.probes.reconcile((0..).map(id).zip(plans).collect());
        }

        async fn report(&mut self) -> CheckState {
            self.reports.recv().await.expect("a report").state
        }

        async fn next_after(&mut self, wait: Duration) -> CheckState {
            self.clock.advance(wait);
            self.report().await
        }
    }

    fn words(state: &CheckState) -> String {
        state.last.as_ref().map(|LastCheck { result, .. }| result.to_string()).unwrap_or_default()
    }

    /// The first report on an endpoint that plays `script`, in words.
    async fn first_words(script: &'static [Act], spec: HealthSpec) -> String {
        let (address, _requests, _endpoint) = endpoint(script).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, spec)]);
        words(&bench.report().await)
    }

    #[tokio::test]
    async fn a_check_is_one_request_that_says_who_asks() {
        let (address, mut requests, _endpoint) = endpoint(&[Act::Say(OK)]).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, spec())]);
        let state = bench.report().await;
        assert_eq!((state.condition, words(&state).as_str()), (Condition::Up, "200 in 0 ms"));
        let agent = concat!("user-agent: adit-health/", env!("CARGO_PKG_VERSION"));
        let request = requests.recv().await.expect("a request");
        let lines: Vec<_> = request.trim_end().split("\r\n").collect();
        assert_eq!(
            lines,
            ["GET /healthz HTTP/1.1", "host: shop.example", agent, "accept: */*", "connection: close"]
        );
    }

    #[tokio::test]
    async fn a_check_of_an_endpoint_that_wants_a_proxy_header_speaks_for_itself() {
        let (address, mut requests, _endpoint) = endpoint(&[Act::Say(OK)]).await;
        let mut bench = Bench::new();
        bench.watch([relayed(plan(address, spec()))]);
        assert_eq!(words(&bench.report().await), "200 in 0 ms");
        let request = requests.recv().await.expect("a request");
        assert!(request.starts_with("PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n"), "{request}");
        // A connection is enough, but not a silent one: the endpoint would wait for the header.
        let (address, mut requests, _endpoint) = endpoint(&[Act::Say("")]).await;
        let spec = HealthSpec { path: None, ..spec() };
        bench.watch([relayed(plan(address, spec))]);
        assert_eq!(requests.recv().await.as_deref(), Some("PROXY UNKNOWN\r\n"));
    }

    #[tokio::test]
    async fn an_answer_is_judged_by_its_status_and_its_end() {
        const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok";
        const REDIRECT: &str = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
        let cases: [(&[Act], &str); 9] = [
            (&[Act::Say(OK)], "200 in 0 ms"),
            (&[Act::Trickle(OK)], "200 in 0 ms"),
            (&[Act::Say("HTTP/1.1 204 No Content\r\n\r\n")], "204 in 0 ms"),
            (&[Act::Say("HTTP/1.0 200 OK\r\n\r\nuntil closed")], "200 in 0 ms"),
            (&[Act::Say(UNAVAILABLE)], "answered 503"),
            (&[Act::Say(REDIRECT)], "answered 302, a redirect to /login, which checks don't follow"),
            (&[Act::Say(CUT)], "closed the connection before a complete answer"),
            (&[Act::Say("")], "closed the connection before a complete answer"),
            (&[Act::Say("SSH-2.0-OpenSSH_9.9\r\n")], "the answer is not HTTP: invalid HTTP version parsed"),
        ];
        for (script, expected) in cases {
            assert_eq!(first_words(script, spec()).await, expected);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_goes_quiet_times_out() {
        let hasty = HealthSpec { timeout: Duration::from_millis(50), ..spec() };
        for script in [&[Act::Stall("")], &[Act::Stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")]] {
            assert_eq!(first_words(script, hasty.clone()).await, "timed out after 50 ms");
        }
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_is_read_only_so_far() {
        const ENDLESS: &str = concat!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "padding");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut endpoint = JoinSet::new();
        endpoint.spawn(async move {
            let (mut client, _from) = listener.accept().await.expect("a connection");
            head(&mut client).await;
            client.write_all(ENDLESS.as_bytes()).await.expect("sent");
            while client.write_all(&[b'x'; 1024]).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let mut bench = Bench::new();
        bench.watch([plan(address, spec())]);
        assert_eq!(words(&bench.report().await), "200 in 0 ms");
        endpoint.join_next().await.expect("one task").expect("the connection was closed");
    }

    #[tokio::test]
    async fn nobody_listening_is_a_refused_connection() {
        // Bound but not listening: nobody else can get the port.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = socket.local_addr().expect("bound");
        for path in [None, Some("/".to_owned())] {
            let mut bench = Bench::new();
            bench.watch([plan(address, HealthSpec { path, ..spec() })]);
            assert_eq!(words(&bench.report().await), "connection refused");
        }
    }

    #[tokio::test]
    async fn without_a_path_a_connection_is_enough() {
        let (address, mut requests, _endpoint) = endpoint(&[Act::Stall("")]).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, HealthSpec { path: None, ..spec() })]);
        assert_eq!(words(&bench.report().await), "connected in 0 ms");
        assert_eq!(requests.recv().await.as_deref(), Some(""));
    }

    #[tokio::test]
    async fn a_path_that_can_t_be_sent_is_told_so() {
        let spec = HealthSpec { path: Some("/a b".into()), ..spec() };
        let words = first_words(&[Act::Say(OK)], spec).await;
        assert_eq!(words, "the check can't be sent: invalid uri character");
    }

    #[tokio::test]
    async fn the_clock_drives_an_endpoint_through_its_conditions() {
        let script = &[Act::Say(OK), Act::Say(UNAVAILABLE), Act::Say(UNAVAILABLE), Act::Say(UNAVAILABLE)];
        let (address, _requests, _endpoint) = endpoint(script).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, spec())]);
        assert_eq!(bench.report().await.condition, Condition::Up);
        let interval = Duration::from_millis(2200);
        let quick = Duration::from_millis(550);
        assert_eq!(bench.next_after(interval).await.streak, -1);
        assert_eq!(bench.next_after(quick).await.streak, -2);
        let state = bench.next_after(quick).await;
        assert_eq!((state.condition, state.streak), (Condition::Down, -3));
        assert_eq!(bench.next_after(interval).await.streak, -4);
    }

    #[tokio::test]
    async fn no_check_runs_before_its_time() {
        let (address, mut requests, _endpoint) = endpoint(&[Act::Say(OK)]).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, spec())]);
        bench.report().await;
        requests.recv().await;
        bench.clock.advance(Duration::from_millis(1799));
        // A second endpoint is checked after the clock moved: had the first been due, it would have come before.
        let (other, _others, _endpoint) = endpoint(&[Act::Say(OK)]).await;
        bench.watch([plan(address, spec()), plan(other, spec())]);
        assert_eq!(bench.reports.recv().await.map(|report| report.id), Some(id(1)));
        assert!(requests.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_changed_plan_is_tried_at_once_and_keeps_the_state() {
        let (address, mut requests, _endpoint) = endpoint(&[Act::Say(OK)]).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, spec())]);
        assert_eq!(bench.report().await.streak, 1);
        bench.watch([plan(address, spec())]);
        bench.watch([plan(address, HealthSpec { path: Some("/ready".into()), ..spec() })]);
        assert_eq!(bench.report().await.streak, 2);
        requests.recv().await;
        assert!(requests.recv().await.is_some_and(|request| request.starts_with("GET /ready ")));
    }

    #[tokio::test]
    async fn a_changed_plan_does_not_wait_for_a_check_that_hangs() {
        let (hanging, mut hung, _endpoint) = endpoint(&[Act::Stall("")]).await;
        let (answering, _requests, _other) = endpoint(&[Act::Say(OK)]).await;
        let mut bench = Bench::new();
        bench.watch([plan(hanging, spec())]);
        hung.recv().await;
        bench.watch([plan(answering, spec())]);
        assert_eq!(bench.report().await.streak, 1);
    }

    #[tokio::test]
    async fn a_vanished_endpoint_is_left_alone() {
        let (hanging, mut hung, _endpoint) = endpoint(&[Act::Stall("")]).await;
        let mut bench = Bench::new();
        bench.watch([plan(hanging, spec())]);
        hung.recv().await;
        bench.watch([]);
        let Bench { probes: Probes { tasks: mut left, reports, .. }, reports: mut received, .. } = bench;
        drop(reports);
        assert!(left.join_next().await.is_some_and(|ended| ended.is_err_and(|end| end.is_cancelled())));
        assert_eq!(received.recv().await, None);
    }

    #[tokio::test]
    async fn in_a_hurry_the_next_check_comes_after_half_a_second() {
        let (address, _requests, _endpoint) = endpoint(&[Act::Say(OK)]).await;
        let mut bench = Bench::new();
        bench.watch([plan(address, spec())]);
        bench.report().await;
        bench.probes.hurry(id(0));
        bench.probes.hurry(id(1));
        assert_eq!(bench.next_after(QUICK).await.streak, 2);
    }

    #[tokio::test]
    async fn many_new_endpoints_are_checked_in_turns() {
        const ENDPOINTS: usize = 3 * AT_ONCE + 8;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut bench = Bench::new();
        bench.watch(std::iter::repeat_n(plan(address, spec()), ENDPOINTS));
        let mut open = Vec::new();
        for accepted in 1..=ENDPOINTS {
            open.push(listener.accept().await.expect("a connection").0);
            if open.len() == AT_ONCE || accepted == ENDPOINTS {
                // Nobody is answered before all who may ask at once have asked, so nobody else may be waiting.
                tokio::select! {
                    biased;
                    _more = listener.accept() => panic!("more than {AT_ONCE} checks at once"),
                    () = tokio::task::yield_now() => {}
                }
                for mut client in open.drain(..) {
                    head(&mut client).await;
                    client.write_all(OK.as_bytes()).await.expect("sent");
                }
            }
        }
        for _ in 0..ENDPOINTS {
            assert_eq!(bench.report().await.condition, Condition::Up);
        }
    }

    #[test]
    fn the_checks_of_a_thousand_endpoints_wake_their_thread_a_few_times_only() {
        let (now, pace) = (Timestamp::from_micros(1_700_000_000_123_456), Duration::from_secs(2));
        let times: BTreeSet<_> = (0..1_000).map(|_| due(now, pace) - now).collect();
        let (first, last) = (times.first().copied(), times.last().copied());
        assert!(times.len() <= 21, "{} moments", times.len());
        assert!(first >= Some(pace.mul_f64(0.89)) && last <= Some(pace.mul_f64(1.1)), "{times:?}");
    }
}
