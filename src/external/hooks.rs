//! Hooks that a rollout waits for. All hooks of a gate are asked side by side; what they say together is reported once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{error, info, warn};

use super::call::{self, Call};
use super::{Client, Message, Report};
use crate::clock::Clock;
use crate::domain::rollout::{GateAnswer, Hook, HookPoint, Otherwise, Rollout};
use crate::domain::{ServiceName, Timestamp};

/// Gates asked at once, over all services. A gate may take an hour over its answer, so others don't wait lightly.
const AT_ONCE: usize = 256;

/// Which gate: an answer is good for this one and no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GateId {
    /// Which service.
    pub service: ServiceName,
    /// The rollout's number.
    pub rollout: u64,
    /// Which point.
    pub at: HookPoint,
    /// The step that the rollout waits at, from 1; 0 before the first.
    pub step: usize,
}

/// What the hooks of a gate are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    hooks: Vec<(usize, Hook)>,
    message: Message,
    started: Timestamp,
}

/// Asks hooks until dropped.
#[derive(Debug)]
pub struct Gates {
    client: Client,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    turns: Arc<Semaphore>,
    asked: BTreeMap<GateId, AbortHandle>,
    tasks: JoinSet<()>,
}

impl GateId {
    /// The gate that a rollout waits at; `None` while it waits at none.
    pub fn of(service: &ServiceName, rollout: &Rollout) -> Option<Self> {
        let gate = rollout.gate.as_ref().filter(|gate| !gate.open && gate.at.gates())?;
        Some(Self { service: service.clone(), rollout: rollout.number, at: gate.at, step: rollout.step() })
    }

    /// The same for every attempt and after a restart; another one for another rollout, even when the numbers began anew
    /// with an empty store.
    fn key(&self, hook: usize, started: Timestamp) -> String {
        key(&self.service, self.rollout, self.at, self.step, (hook, started))
    }
}

/// What tells a hook that it was called for the same reason before.
pub(super) fn key(
    service: &ServiceName,
    rollout: u64,
    at: HookPoint,
    step: usize,
    (hook, started): (usize, Timestamp),
) -> String {
    format!("adit:{service}:{rollout}:{at}:{step}:{hook}:{}", started.as_micros())
}

impl Question {
    /// What `message` asks of the rollout's hooks at this point.
    pub fn new(rollout: &Rollout, at: HookPoint, message: Message) -> Self {
        let hooks = call::at(&rollout.plan.hooks, at).map(|(index, hook)| (index, hook.clone())).collect();
        Self { hooks, message, started: rollout.started }
    }
}

impl Gates {
    /// Asks nobody yet. What hooks said goes to `reports`.
    pub fn new(client: Client, clock: Clock, reports: mpsc::Sender<Report>) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, clock, reports, turns, asked: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// From now on asks exactly these: `question` gives what to ask at a gate that is new. Calls for a gate that is no
    /// longer there are cancelled. Call it within a tokio runtime.
    pub fn reconcile(&mut self, wanted: Vec<GateId>, mut question: impl FnMut(&GateId) -> Option<Question>) {
        self.reap();
        self.asked.retain(|id, task| {
            let stays = wanted.contains(id);
            if !stays {
                task.abort();
            }
            stays
        });
        for id in wanted {
            if !self.asked.contains_key(&id)
                && let Some(question) = question(&id)
            {
                self.ask(id, question);
            }
        }
    }

    fn ask(&mut self, id: GateId, question: Question) {
        let (client, clock) = (self.client.clone(), self.clock.clone());
        let (reports, turns) = (self.reports.clone(), self.turns.clone());
        info!(gate = %id, hooks = question.hooks.len(), "asking hooks");
        let about = id.clone();
        let task = self.tasks.spawn(async move {
            let _turn = turns.acquire().await.expect("the semaphore is never closed: Gates");
            let answer = answer(&about, question, &client, &clock).await;
            // Control may have stopped meanwhile; after a restart the gate is asked again.
            let _gone = reports.send(Report::Answered(about, answer)).await;
        });
        self.asked.insert(id, task);
    }

    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(failure) = ended
                && failure.is_panic()
            {
                error!(%failure, "asking hooks broke down");
            }
        }
    }
}

/// What all hooks say together. The one that says least prevails; where it is an abort, nobody else can change that, and
/// nobody else is waited for.
async fn answer(id: &GateId, question: Question, client: &Client, clock: &Clock) -> GateAnswer {
    let body = body(&question.message);
    let mut calls = JoinSet::new();
    for (index, hook) in question.hooks {
        let call = Call::new(&hook, id.key(index, question.started), body.clone());
        let (client, clock) = (client.clone(), clock.clone());
        calls.spawn(async move { (hook.otherwise, call.make(&client, &clock).await) });
    }
    let mut refusals = Vec::new();
    while let Some(ended) = calls.join_next().await {
        let (otherwise, why) = match ended {
            Ok((_, Ok(()))) => continue,
            Ok((otherwise, Err(why))) => (otherwise, why),
            // Without an answer nothing goes on by itself.
            Err(failure) => (Otherwise::default(), failure.to_string()),
        };
        warn!(gate = %id, on_refusal = ?otherwise, "hook: {why}");
        refusals.push((otherwise, why));
        if otherwise == Otherwise::Abort {
            break;
        }
    }
    summed(refusals)
}

fn summed(refusals: Vec<(Otherwise, String)>) -> GateAnswer {
    let then = refusals.iter().map(|(otherwise, _)| *otherwise).max().unwrap_or(Otherwise::Continue);
    if then == Otherwise::Continue {
        return GateAnswer::Open;
    }
    let decisive = refusals.into_iter().filter(|(otherwise, _)| *otherwise == then).map(|(_, why)| why);
    GateAnswer::Shut { why: decisive.collect::<Vec<_>>().join("; "), then }
}

pub(super) fn body(message: &Message) -> String {
    serde_json::to_string(message).expect("a message is words and finite numbers: Message")
}

impl fmt::Display for GateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {} (step {})", self.at, self.rollout, self.service, self.step)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::clock::Manual;
    use crate::domain::{VersionName, Weight};
    use crate::external::server::{Act, Server};

    const SAYS_YES: &[Act] = &[Act::Answer(204, "")];
    const SAYS_NO: &[Act] = &[Act::Answer(403, "not today\n")];
    const HANGS: &[Act] = &[Act::Hang];
    const DOWN_ONCE: &[Act] = &[Act::Answer(503, ""), Act::Answer(200, "")];
    const DOWN: &[Act] = &[Act::Answer(503, "down")];

    struct Bench {
        clock: Arc<Manual>,
        gates: Gates,
        reports: mpsc::Receiver<Report>,
    }

    impl Bench {
        fn new() -> Self {
            let (clock, manual) = Clock::manual(Timestamp::from_micros(1_000_000));
            let (sender, reports) = mpsc::channel(16);
            Self { clock: manual, gates: Gates::new(Client::default(), clock, sender), reports }
        }

        fn ask(&mut self, hooks: &[Hook]) {
            let question = Question {
                hooks: hooks.iter().cloned().enumerate().collect(),
                message: message(),
                started: Timestamp::from_micros(42),
            };
            self.gates.reconcile(vec![gate()], |_| Some(question.clone()));
        }

        async fn answer(&mut self) -> GateAnswer {
            match self.reports.recv().await.expect("a report") {
                Report::Answered(id, answer) => {
                    assert_eq!(id, gate());
                    answer
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn gate() -> GateId {
        GateId { service: ServiceName::from("web"), rollout: 7, at: HookPoint::Promote, step: 2 }
    }

    fn message() -> Message {
        Message {
            event: HookPoint::Promote,
            service: ServiceName::from("web"),
            rollout: 7,
            stable: VersionName::from("v1"),
            canary: VersionName::from("v2"),
            outcome: None,
            step: 2,
            steps: 2,
            weight: Weight::FULL,
            next_weight: Some(Weight::FULL),
            reason: "canary is no worse than stable".to_owned(),
            verdict: None,
            at: Timestamp::from_micros(0).to_string(),
            adit: "0.1.0".to_owned(),
        }
    }

    fn hook(server: &Server, otherwise: Otherwise) -> Hook {
        Hook {
            at: HookPoint::Promote,
            url: server.url("/gate?key=secret"),
            timeout: Duration::from_secs(3600),
            attempts: 3,
            otherwise,
            token_file: None::<PathBuf>,
        }
    }

    fn shut(server: &Server, said: &str, then: Otherwise) -> GateAnswer {
        GateAnswer::Shut { why: format!("{} {said}", server.url("/gate")), then }
    }

    #[tokio::test]
    async fn a_hook_is_sent_what_happens_and_how_to_know_it_again() {
        let mut server = Server::start(SAYS_YES).await;
        let mut bench = Bench::new();
        bench.ask(&[hook(&server, Otherwise::Pause)]);
        assert_eq!(bench.answer().await, GateAnswer::Open);
        let request = server.next().await;
        assert_eq!(request.line, "POST /gate?key=secret HTTP/1.1");
        assert_eq!(request.field("content-type"), Some("application/json"));
        assert_eq!(request.field("x-adit-event"), Some("promote"));
        assert_eq!(request.field("idempotency-key"), Some("adit:web:7:promote:2:0:42"));
        assert_eq!(serde_json::from_str::<Message>(&request.body).expect("JSON"), message());
        let json: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!((&json["event"], &json["next_weight"]), (&"promote".into(), &100.0.into()));
    }

    #[tokio::test]
    async fn a_refusal_is_the_hooks_policy() {
        for then in [Otherwise::Pause, Otherwise::Abort] {
            let server = Server::start(SAYS_NO).await;
            let mut bench = Bench::new();
            bench.ask(&[hook(&server, then)]);
            assert_eq!(bench.answer().await, shut(&server, "answered 403: not today", then));
            assert_eq!(server.waiting(), 1, "a refusal is not asked for twice");
        }
        let server = Server::start(SAYS_NO).await;
        let mut bench = Bench::new();
        bench.ask(&[hook(&server, Otherwise::Continue)]);
        assert_eq!(bench.answer().await, GateAnswer::Open);
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_with_the_same_key() {
        let mut server = Server::start(DOWN_ONCE).await;
        let mut bench = Bench::new();
        bench.ask(&[hook(&server, Otherwise::Abort)]);
        let first = server.next().await;
        // The pause begins when the answer has been read, so that one step of the clock might come too early.
        let pushed = async {
            loop {
                bench.clock.advance(Duration::from_secs(2));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = pushed => {}
            second = server.next() => {
                assert_eq!(second.field("idempotency-key"), first.field("idempotency-key"));
            }
        }
        assert_eq!(bench.answer().await, GateAnswer::Open);
    }

    #[tokio::test]
    async fn who_is_down_too_often_has_refused() {
        let server = Server::start(DOWN).await;
        let mut bench = Bench::new();
        bench.ask(&[hook(&server, Otherwise::Pause)]);
        let (clock, answer) = (bench.clock.clone(), bench.answer());
        let pushed = async {
            loop {
                clock.advance(Duration::from_secs(2));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = pushed => {}
            answer = answer => {
                let said = "answered 503: down (the last of 3 attempts)";
                assert_eq!(answer, shut(&server, said, Otherwise::Pause));
            }
        }
        assert_eq!(server.waiting(), 3);
    }

    #[tokio::test]
    async fn all_hooks_are_asked_side_by_side_and_the_strictest_prevails() {
        let (yes, no) = (Server::start(SAYS_YES).await, Server::start(SAYS_NO).await);
        let hang = Server::start(HANGS).await;
        let mut bench = Bench::new();
        bench.ask(&[
            hook(&yes, Otherwise::Abort),
            hook(&no, Otherwise::Continue),
            hook(&no, Otherwise::Pause),
        ]);
        assert_eq!(bench.answer().await, shut(&no, "answered 403: not today", Otherwise::Pause));
        // Nobody can change an abort: who hangs is not waited for.
        let mut bench = Bench::new();
        bench.ask(&[hook(&hang, Otherwise::Pause), hook(&no, Otherwise::Abort)]);
        assert_eq!(bench.answer().await, shut(&no, "answered 403: not today", Otherwise::Abort));
    }

    #[tokio::test]
    async fn a_gate_that_nobody_waits_at_any_more_is_forgotten() {
        let mut hang = Server::start(HANGS).await;
        let mut bench = Bench::new();
        bench.ask(&[hook(&hang, Otherwise::Pause)]);
        hang.next().await;
        bench.gates.reconcile(Vec::new(), |_| None);
        let ended = bench.gates.tasks.join_next().await.expect("one task was asking");
        assert!(ended.is_err_and(|failure| failure.is_cancelled()));
        assert!(bench.reports.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_gate_is_asked_once_however_often_it_is_wanted() {
        let mut server = Server::start(SAYS_YES).await;
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.ask(&[hook(&server, Otherwise::Pause)]);
        }
        bench.answer().await;
        bench.ask(&[hook(&server, Otherwise::Pause)]);
        server.next().await;
        assert_eq!(server.waiting(), 0);
    }

    #[tokio::test]
    async fn a_gate_without_hooks_is_open() {
        let mut bench = Bench::new();
        bench.ask(&[]);
        assert_eq!(bench.answer().await, GateAnswer::Open);
    }
}
