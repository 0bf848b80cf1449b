//! Clients with keep-alive connections at a bounded rate: GETs and, now and then, a POST.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use adit::domain::Timestamp;

use crate::harness::{Client, now};

/// Errors that are kept word for word.
const KEPT: usize = 20;
/// What a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A load to be started.
#[derive(Clone)]
pub(crate) struct Load {
    connect: Arc<dyn Fn() -> io::Result<TcpStream> + Send + Sync>,
    host: String,
    clients: u32,
    per_second: u32,
    posts_every: Option<u64>,
}

/// A load that runs. Stops when dropped.
pub(crate) struct Running {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Whole answers by method and status.
    pub(crate) answers: BTreeMap<(&'static str, u16), u64>,
    /// Whole answers by version; Adit's own are under the empty name.
    pub(crate) versions: BTreeMap<String, u64>,
    /// Requests without a whole answer, by method.
    pub(crate) broken: BTreeMap<&'static str, u64>,
    /// The first few that were not answered 200, and when since the start.
    pub(crate) errors: Vec<String>,
}

struct Shared {
    started: Timestamp,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

impl Load {
    /// 150 GETs a second from 6 clients to this host behind this listener.
    pub(crate) fn on(to: SocketAddr, host: &str) -> Self {
        Self::over(move || TcpStream::connect(to), host)
    }

    /// The same, over connections made so.
    pub(crate) fn over(
        connect: impl Fn() -> io::Result<TcpStream> + Send + Sync + 'static,
        host: &str,
    ) -> Self {
        Self {
            connect: Arc::new(connect),
            host: host.to_owned(),
            clients: 6,
            per_second: 150,
            posts_every: None,
        }
    }

    /// Every n-th request of each client is a POST with a body.
    pub(crate) fn posts_every(self, n: u64) -> Self {
        Self { posts_every: Some(n), ..self }
    }

    pub(crate) fn start(&self) -> Running {
        let shared =
            Arc::new(Shared { started: now(), stop: AtomicBool::new(false), tally: Mutex::default() });
        let clients = (0..self.clients)
            .map(|number| {
                let (load, shared) = (self.clone(), shared.clone());
                std::thread::spawn(move || load.client(number, &shared))
            })
            .collect();
        Running { shared, clients }
    }

    fn client(&self, number: u32, shared: &Shared) {
        let period = Duration::from_secs(1) * self.clients / self.per_second;
        let mut due = now() + period * number / self.clients;
        let (mut connection, mut sent) = (None, 0_u64);
        while !shared.stop.load(Ordering::Relaxed) {
            wait_until(due);
            // Behind time, as after a pause of the machine, there is no rush to catch up.
            due = now().max(due + period);
            sent += 1;
            let posts = self.posts_every.is_some_and(|n| sent.is_multiple_of(n));
            self.request(if posts { "POST" } else { "GET" }, &mut connection, shared);
        }
    }

    fn request(&self, method: &'static str, connection: &mut Option<Client>, shared: &Shared) {
        let body: &[u8] = if method == "POST" { b"a body of a POST" } else { b"" };
        let client = connection.take().map_or_else(|| Client::over((self.connect)()?, PATIENCE), Ok);
        let asked = now();
        let answer = client.and_then(|mut client| {
            let answer = client.request(method, "/", &[("host", &self.host)], body)?;
            Ok((client, answer))
        });
        let mut tally = shared.tally.lock().unwrap();
        let error = match &answer {
            Ok((_, answer)) => {
                *tally.answers.entry((method, answer.status)).or_default() += 1;
                *tally.versions.entry(answer.version().to_owned()).or_default() += 1;
                let why = answer.head.field("proxy-status").unwrap_or("from the endpoint");
                (answer.status != 200).then(|| format!("{} {why}", answer.status))
            }
            Err(error) => {
                *tally.broken.entry(method).or_default() += 1;
                Some(format!("{:?}: {error}", error.kind()))
            }
        };
        if let Some(error) = error.filter(|_| tally.errors.len() < KEPT) {
            let (at, took) = (asked - shared.started, now() - asked);
            tally.errors.push(format!("{method} after {at:.3?}, which took {took:.3?}: {error}"));
        }
        *connection = answer.ok().map(|(client, _)| client).filter(|client| !client.closing);
    }
}

impl Running {
    /// What clients saw so far.
    pub(crate) fn tally(&self) -> Tally {
        self.shared.tally.lock().unwrap().clone()
    }

    /// Stops after the requests under way; says what clients saw.
    pub(crate) fn stop(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client never panics");
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
        self.answers.values().chain(self.broken.values()).sum()
    }

    /// Requests that this version answered.
    pub(crate) fn of(&self, version: &str) -> u64 {
        self.versions.get(version).copied().unwrap_or_default()
    }

    /// Requests with this method that were not answered 200.
    pub(crate) fn failed(&self, method: &str) -> u64 {
        let answers = self.answers.iter().filter(|((sent, status), _)| *sent == method && *status != 200);
        answers.map(|(_, count)| count).sum::<u64>() + self.broken.get(method).copied().unwrap_or_default()
    }
}

pub(crate) fn wait_until(due: Timestamp) {
    loop {
        let left = due - now();
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
