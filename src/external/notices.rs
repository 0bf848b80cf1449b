//! Hooks that are told how a rollout ended. Nothing waits for them; what could not be delivered yet is kept by whoever
//! wrote the letters, so that a crash loses none.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use super::call::{self, Call};
use super::hooks::{body, key};
use super::{Client, Message, Report};
use crate::clock::Clock;
use crate::domain::ServiceName;
use crate::domain::rollout::{End, HookPoint, Rollout, Transition};

/// Letters on their way at once.
const AT_ONCE: usize = 64;

/// What one hook is to be told. Kept until it was, or until that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// About which service.
    pub service: ServiceName,
    /// About its rollout of this number.
    pub rollout: u64,
    call: Call,
}

/// Delivers letters until dropped.
#[derive(Debug)]
pub struct Notices {
    client: Client,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    turns: Arc<Semaphore>,
    under_way: BTreeMap<i64, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Letter {
    /// What the hooks of a rollout are told of its end: `abort` hooks of an abort, `done` hooks of every end. None when
    /// `transition` does not end it.
    pub fn about(service: &ServiceName, rollout: &Rollout, transition: &Transition) -> Vec<Self> {
        let points: &[HookPoint] = match transition.to.end() {
            Some(End::Aborted) => &[HookPoint::Abort, HookPoint::Done],
            Some(End::Promoted | End::Superseded) => &[HookPoint::Done],
            None => &[],
        };
        let mut letters = Vec::new();
        for point in points {
            let Some(message) = Message::after(*point, service, rollout, transition) else { continue };
            let body = body(&message);
            letters.extend(call::at(&rollout.plan.hooks, *point).map(|(index, hook)| {
                let which = (index, rollout.started);
                let key = key(service, rollout.number, *point, transition.step, which);
                let call = Call::new(hook, key, body.clone());
                Self { service: service.clone(), rollout: rollout.number, call }
            }));
        }
        letters
    }
}

impl Notices {
    /// Delivers nothing yet. What became of a letter goes to `reports`.
    pub fn new(client: Client, clock: Clock, reports: mpsc::Sender<Report>) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, clock, reports, turns, under_way: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Delivers these, by number. Those that were given before are on their way, or reported; what is no longer given is
    /// forgotten. Call it within a tokio runtime.
    pub fn reconcile(&mut self, letters: Vec<(i64, Letter)>) {
        self.reap();
        let wanted: BTreeMap<_, _> = letters.into_iter().collect();
        self.under_way.retain(|id, task| {
            let stays = wanted.contains_key(id);
            if !stays {
                task.abort();
            }
            stays
        });
        for (id, letter) in wanted {
            if !self.under_way.contains_key(&id) {
                self.deliver(id, letter);
            }
        }
    }

    fn deliver(&mut self, id: i64, letter: Letter) {
        let (client, clock) = (self.client.clone(), self.clock.clone());
        let (reports, turns) = (self.reports.clone(), self.turns.clone());
        let task = self.tasks.spawn(async move {
            let _turn = turns.acquire().await.expect("the semaphore is never closed: Notices");
            let made = letter.call.make(&client, &clock).await;
            let Letter { service, rollout, call } = letter;
            let posted = made
                .map_err(|why| format!("the {} hook of {service}, rollout {rollout}: {why}", call.hook.at));
            // Control may have stopped meanwhile: then the letter is still kept.
            let _gone = reports.send(Report::Posted(id, posted)).await;
        });
        self.under_way.insert(id, task);
    }

    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(failure) = ended
                && failure.is_panic()
            {
                error!(%failure, "delivering a letter broke down; it is delivered after the next start");
            }
        }
    }
}
