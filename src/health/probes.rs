//! The tasks that check all endpoints, each at its own pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use super::probe::{self, ProbePlan};
use super::state::{CheckState, ProbeError, ProbeResult, QUICK};
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
    /// interval) after its last check, however often this is called.
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
        loop {
            let plan = self.plans.borrow_and_update().clone();
            let result = tokio::select! {
                result = check(&plan, &self.clock, &self.turns) => result,
                changed = self.plans.changed() => {
                    changed.map_err(|_| Unwanted)?;
                    continue;
                }
            };
            let now = self.clock.now();
            state.record(now, result, &plan.spec);
            let report = Report { id: self.id, state: state.clone() };
            self.reports.send(report).await.map_err(|_| Unwanted)?;
            let soonest = now + plan.spec.interval.min(QUICK);
            self.rest(soonest, now + jittered(state.pace(now, &plan.spec))).await?;
        }
    }

    /// Waits until `at`; in a hurry only until `soonest`; with a new plan not at all.
    async fn rest(&mut self, soonest: Timestamp, at: Timestamp) -> Result<(), Unwanted> {
        let mut at = at;
        loop {
            tokio::select! {
                () = self.clock.sleep_until(at) => return Ok(()),
                changed = self.plans.changed() => return changed.map_err(|_| Unwanted),
                () = self.hurry.notified() => at = at.min(soonest),
            }
        }
    }
}

/// One check when its turn comes. It runs as a task of its own: should it panic, that is its result.
async fn check(plan: &ProbePlan, clock: &Clock, turns: &Semaphore) -> ProbeResult {
    let _turn = turns.acquire().await.expect("the semaphore is never closed: Probes");
    let mut alone = JoinSet::new();
    alone.spawn(probe::check(plan.clone(), clock.clone()));
    match alone.join_next().await.expect("one task was spawned: the line above") {
        Ok(result) => result,
        Err(failure) => {
            error!(endpoint = %plan.address, %failure, "a health check broke down");
            ProbeResult::Failed(ProbeError::Ours(failure.to_string()))
        }
    }
}

/// ±10 %, so that checks of many endpoints don't march in step.
fn jittered(pace: Duration) -> Duration {
    pace.mul_f64(0.9 + 0.2 * fastrand::f64())
}
