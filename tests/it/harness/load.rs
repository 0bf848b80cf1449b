//! Clients that send requests at a given rate, or as fast as they are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use super::client::{Client, Response};
use super::wait::{LIMIT, now, until};

/// Errors that are kept word for word.
const KEPT: usize = 20;

/// A load to be started.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    to: SocketAddr,
    connections: u32,
    per_second: Option<u32>,
    requests: u64,
    method: &'static str,
    path: &'static str,
    patience: Duration,
}

/// A load that runs. Stops when dropped.
pub(crate) struct Running {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Whole answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Whole answers by version; ours (no endpoint's) are under the empty name.
    pub(crate) versions: BTreeMap<String, u64>,
    /// Requests without a whole answer.
    pub(crate) broken: u64,
    /// What became of the first few that were broken or 5xx.
    pub(crate) errors: Vec<String>,
}

struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    tally: Mutex<Tally>,
}

impl Load {
    /// GETs over 8 keep-alive connections, as fast as they are answered, until stopped.
    pub(crate) fn on(to: SocketAddr) -> Self {
        Self {
            to,
            connections: 8,
            per_second: None,
            requests: u64::MAX,
            method: "GET",
            path: "/",
            patience: LIMIT,
        }
    }

    /// Over so many connections.
    pub(crate) fn connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    /// So many requests a second in all.
    pub(crate) fn per_second(self, rate: u32) -> Self {
        Self { per_second: Some(rate), ..self }
    }

    /// So many requests in all.
    pub(crate) fn requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    /// With another method.
    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// For another path.
    pub(crate) fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// From clients that go away when nothing comes for so long.
    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Runs until all requests are answered.
    pub(crate) fn run(self) -> Tally {
        assert!(self.requests < u64::MAX, "a load without an end must be started and stopped");
        self.start().finish()
    }

    /// Starts, and returns at once.
    pub(crate) fn start(self) -> Running {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            tally: Mutex::new(Tally::default()),
        });
        let clients = (0..self.connections)
            .map(|number| {
                let (load, shared) = (self.clone(), shared.clone());
                std::thread::spawn(move || load.client(number, &shared))
            })
            .collect();
        Running { shared, clients }
    }

    fn client(&self, number: u32, shared: &Shared) {
        let period = self.per_second.map(|rate| Duration::from_secs(1) * self.connections / rate);
        // The clients' turns are spread evenly over a period.
        let mut due = now() + period.unwrap_or_default() * number / self.connections;
        let mut connection = None;
        while !shared.stop.load(Ordering::Relaxed)
            && shared.sent.fetch_add(1, Ordering::Relaxed) < self.requests
        {
            if let Some(period) = period {
                wait_until_due(due);
                due = due + period;
            }
            self.one(&mut connection, shared);
        }
    }

    fn one(&self, connection: &mut Option<Client>, shared: &Shared) {
        let answer = match connection.take() {
            Some(client) => Ok(client),
            None => Client::with_patience(self.to, self.patience),
        }
        .and_then(|mut client| {
            let response = client.request(self.method, self.path, &[], b"")?;
            Ok((client, response))
        });
        match answer {
            Ok((client, response)) => {
                shared.tally().answered(&response);
                *connection = Some(client).filter(|client| !client.closing);
            }
            Err(error) => shared.tally().broke(&error),
        }
    }
}

impl Running {
    /// What clients saw so far.
    pub(crate) fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Waits until so many more requests are answered (or broken) than are now.
    pub(crate) fn wait_for_more(&self, requests: u64) -> Tally {
        let before = self.tally().total();
        until(
            "more requests under load",
            || Some(self.tally()).filter(|tally| tally.total() >= before + requests),
            || format!("{:?}", self.tally()),
        )
    }

    /// Stops after the requests under way; says what clients saw.
    pub(crate) fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    fn finish(mut self) -> Tally {
        for client in self.clients.drain(..) {
            client.join().expect("a load client never panics");
        }
        self.tally()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    /// Requests that were sent.
    pub(crate) fn total(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.broken
    }

    /// Requests that this version answered.
    pub(crate) fn of(&self, version: &str) -> u64 {
        self.versions.get(version).copied().unwrap_or_default()
    }

    /// Requests answered with a status of 500 or more.
    pub(crate) fn server_errors(&self) -> u64 {
        self.statuses.range(500..).map(|(_, count)| count).sum()
    }

    /// Panics unless every request was answered 200.
    pub(crate) fn assert_all_good(&self) {
        let good = self.statuses.get(&200).copied().unwrap_or_default();
        assert_eq!(good, self.total(), "every request must be answered 200: {self:#?}");
    }

    fn answered(&mut self, response: &Response) {
        *self.statuses.entry(response.status).or_default() += 1;
        *self.versions.entry(response.version().to_owned()).or_default() += 1;
        if response.status >= 500 && self.errors.len() < KEPT {
            let why = response.head.field("proxy-status").unwrap_or("from the endpoint");
            self.errors.push(format!("{} {why}", response.status));
        }
    }

    fn broke(&mut self, error: &std::io::Error) {
        self.broken += 1;
        if self.errors.len() < KEPT {
            self.errors.push(format!("{:?}: {error}", error.kind()));
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no client panics while it holds the tally")
    }
}

fn wait_until_due(due: adit::domain::Timestamp) {
    loop {
        let left = due - now();
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
