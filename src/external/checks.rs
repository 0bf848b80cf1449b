//! The tasks that measure, each check of each rollout at its own pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderMap;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use super::client::{Client, Outgoing, shown};
use super::{Report, prometheus};
use crate::clock::Clock;
use crate::domain::ServiceName;
use crate::domain::rollout::{Check, Course, Reading, Source, Subject};

/// Measurements under way at once.
const AT_ONCE: usize = 64;
/// Of the answer of a URL, no more is read: only its status counts.
const BODY: usize = 4096;

/// Which rollout's checks: a service, and its rollout's number.
pub type RoundId = (ServiceName, u64);

/// The checks of one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Whom they are about.
    pub subject: Subject,
    /// By their index in the plan.
    pub checks: Vec<Check>,
}

/// Measures until dropped.
#[derive(Debug)]
pub struct Checks {
    client: Client,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    turns: Arc<Semaphore>,
    running: BTreeMap<RoundId, Vec<AbortHandle>>,
    tasks: JoinSet<()>,
}

/// One check's task.
struct Watch {
    id: RoundId,
    index: usize,
    check: Check,
    subject: Subject,
    client: Client,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    turns: Arc<Semaphore>,
}

impl Checks {
    /// Measures nothing yet. Every measurement is reported to `reports`; while that is full, measuring waits.
    pub fn new(client: Client, clock: Clock, reports: mpsc::Sender<Report>) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, clock, reports, turns, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// From now on measures exactly for these rollouts, a new one at once: `round` gives its checks. Call it within a
    /// tokio runtime.
    pub fn reconcile(&mut self, wanted: Vec<RoundId>, mut round: impl FnMut(&RoundId) -> Option<Round>) {
        self.reap();
        self.running.retain(|id, tasks| {
            let stays = wanted.contains(id);
            if !stays {
                tasks.iter().for_each(AbortHandle::abort);
            }
            stays
        });
        for id in wanted {
            if !self.running.contains_key(&id)
                && let Some(round) = round(&id)
            {
                self.start(id, round);
            }
        }
    }

    fn start(&mut self, id: RoundId, round: Round) {
        let mut tasks = Vec::new();
        for (index, check) in round.checks.into_iter().enumerate() {
            let watch = Watch {
                id: id.clone(),
                index,
                check,
                subject: round.subject.clone(),
                client: self.client.clone(),
                clock: self.clock.clone(),
                reports: self.reports.clone(),
                turns: self.turns.clone(),
            };
            tasks.push(self.tasks.spawn(watch.run()));
        }
        self.running.insert(id, tasks);
    }

    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(failure) = ended
                && failure.is_panic()
            {
                error!(%failure, "a check broke down");
            }
        }
    }
}

impl Watch {
    /// Measures until nobody wants to know any more.
    async fn run(self) {
        let mut course = Course::new(&self.check);
        loop {
            let began = self.clock.now();
            let reading = self.measure().await;
            course.record(&self.check, &reading);
            let report = Report::Measured {
                service: self.id.0.clone(),
                rollout: self.id.1,
                check: self.index,
                measured: course.measured().clone(),
            };
            if self.reports.send(report).await.is_err() {
                return;
            }
            self.clock.sleep_until(began + self.pace()).await;
        }
    }

    /// ±10 %, so that checks of many services don't march in step.
    fn pace(&self) -> Duration {
        self.check.interval.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    async fn measure(&self) -> Reading {
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed: Checks");
        match &self.check.source {
            Source::Prometheus { address, query, .. } => {
                match prometheus::url(address, &self.subject.fill(query)) {
                    Ok(url) => self.query(address, url).await,
                    Err(why) => Reading::Nothing(why),
                }
            }
            Source::Url { url } => match self.client.call(self.outgoing(url.clone(), BODY)).await {
                Ok(answer) => Reading::Status(answer.status),
                Err(silence) => Reading::Nothing(format!("{}: {silence}", shown(url))),
            },
        }
    }

    async fn query(&self, address: &str, url: String) -> Reading {
        match self.client.call(self.outgoing(url, prometheus::ANSWER)).await {
            Ok(answer) => prometheus::read(&answer),
            Err(silence) => Reading::Nothing(format!("{}: {silence}", shown(address))),
        }
    }

    fn outgoing(&self, url: String, most: usize) -> Outgoing {
        Outgoing {
            url,
            headers: HeaderMap::new(),
            body: None,
            token_file: self.check.token_file.clone(),
            timeout: self.check.timeout,
            most,
        }
    }
}
