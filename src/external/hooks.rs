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
