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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Manual;
    use crate::domain::rollout::{Measured, NoData, Standing};
    use crate::domain::{Timestamp, VersionName};
    use crate::external::server::{Act, Server};

    const GOOD_THEN_BAD: &[Act] = &[
        Act::Answer(200, r#"{"status":"success","data":{"resultType":"scalar","result":[1,"0.05"]}}"#),
        Act::Answer(200, r#"{"status":"success","data":{"resultType":"scalar","result":[1,"0.5"]}}"#),
    ];

    struct Bench {
        clock: Arc<Manual>,
        checks: Checks,
        reports: mpsc::Receiver<Report>,
    }

    impl Bench {
        fn new() -> Self {
            let (clock, manual) = Clock::manual(Timestamp::from_micros(1_000_000));
            let (sender, reports) = mpsc::channel(16);
            Self { clock: manual, checks: Checks::new(Client::default(), clock, sender), reports }
        }

        fn measure(&mut self, check: &Check) {
            let subject = Subject {
                service: ServiceName::from("web"),
                stable: VersionName::from("v1"),
                canary: VersionName::from("v2"),
            };
            let round = Round { subject, checks: vec![check.clone()] };
            self.checks.reconcile(vec![(ServiceName::from("web"), 3)], |_| Some(round.clone()));
        }

        async fn measured(&mut self) -> Measured {
            match self.reports.recv().await.expect("a report") {
                Report::Measured { rollout: 3, check: 0, measured, .. } => measured,
                other => panic!("{other:?}"),
            }
        }

        /// The next measurement, an interval later.
        async fn next(&mut self) -> Measured {
            let clock = self.clock.clone();
            let pushed = async {
                loop {
                    clock.advance(Duration::from_secs(1));
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = pushed => panic!("a clock never stops"),
                measured = self.measured() => measured,
            }
        }
    }

    fn check(source: Source) -> Check {
        Check {
            name: "budget".to_owned(),
            source,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(3600),
            failures: 2,
            no_data: NoData::Hold,
            token_file: None,
        }
    }

    #[tokio::test]
    async fn a_query_is_measured_at_once_and_then_once_in_an_interval() {
        let mut server = Server::start(GOOD_THEN_BAD).await;
        let query = "errors{version=\"{{canary}}\"}".to_owned();
        let mut bench = Bench::new();
        bench.measure(&check(Source::Prometheus {
            address: server.url(""),
            query,
            min: None,
            max: Some(0.1),
        }));
        let first = bench.measured().await;
        assert_eq!((first.standing, first.text.as_str()), (Standing::Good, "0.05, at most 0.1"));
        assert_eq!(
            server.next().await.line,
            "GET /api/v1/query?query=errors%7Bversion%3D%22v2%22%7D HTTP/1.1"
        );
        assert_eq!(bench.next().await.standing, Standing::Suspicious);
        assert_eq!(bench.next().await.standing, Standing::Failed);
    }

    #[tokio::test]
    async fn a_url_that_can_not_be_reached_is_no_measurement() {
        let server = Server::start(&[Act::Close]).await;
        let url = server.url("/smoke?key=secret");
        let mut bench = Bench::new();
        bench.measure(&check(Source::Url { url }));
        let measured = bench.measured().await;
        let text = format!("{}: connection closed before message completed", server.url("/smoke"));
        assert_eq!((measured.standing, measured.text), (Standing::Unknown, text));
    }

    #[tokio::test]
    async fn nothing_is_measured_for_a_rollout_that_is_over() {
        let mut server = Server::start(&[Act::Hang]).await;
        let mut bench = Bench::new();
        bench.measure(&check(Source::Url { url: server.url("/") }));
        server.next().await;
        bench.checks.reconcile(Vec::new(), |_| None);
        let ended = bench.checks.tasks.join_next().await.expect("one task was measuring");
        assert!(ended.is_err_and(|failure| failure.is_cancelled()));
    }
}
