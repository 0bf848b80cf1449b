//! A scripted HTTP endpoint on a real socket. One thread accepts, one serves each connection.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use adit::domain::Timestamp;
use socket2::SockRef;

use super::script::{Answer, Script};
use super::wait::{LIMIT, now, until};
use super::wire::{Framing, Head, read_body};

/// The path of health checks.
const HEALTH: &str = "/healthz";

/// An endpoint of one version. Stops when dropped.
pub(crate) struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<(TcpListener, JoinHandle<()>)>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

struct Shared {
    version: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    script: Script,
    stopped: bool,
    connections: HashMap<u64, TcpStream>,
    connections_ever: u64,
    requests: u64,
    health_checks: u64,
    in_flight: u64,
    failures: Vec<Timestamp>,
    last_request: Option<Timestamp>,
    last_seen: Option<Seen>,
    fed: u64,
    finished: bool,
}

impl Endpoint {
    /// Starts on a free port; its answers name this version.
    pub(crate) fn start(version: &str) -> Self {
        let shared = Shared {
            version: version.to_owned(),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut endpoint = Self { address: loopback, shared: Arc::new(shared), acceptor: None };
        endpoint.resume();
        endpoint
    }

    /// Listens (again, on the port it had).
    pub(crate) fn resume(&mut self) {
        // The port may still be held for a moment by connections that are going away.
        let address = self.address;
        let listener = until("the port is free", || TcpListener::bind(address).ok(), || address);
        self.address = listener.local_addr().expect("a bound socket has an address");
        self.state().stopped = false;
        let shared = self.shared.clone();
        let copy = listener.try_clone().expect("a socket can be cloned");
        self.acceptor = Some((copy, std::thread::spawn(move || accept(&listener, &shared))));
    }

    /// Stops as a killed process does: listens no more, then cuts every connection. What connects now is refused.
    pub(crate) fn stop(&mut self) {
        let Some((listener, acceptor)) = self.acceptor.take() else { return };
        self.state().stopped = true;
        SockRef::from(&listener).shutdown(Shutdown::Both).expect("a listener can be shut down");
        acceptor.join().expect("the acceptor never panics");
        for stream in self.state().connections.values() {
            // It may have been closed by the other side already.
            drop(stream.shutdown(Shutdown::Both));
        }
        self.shared.changed.notify_all();
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the script, for requests under way too.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state().script);
        self.shared.changed.notify_all();
    }

    /// One more piece for every streaming answer.
    pub(crate) fn feed(&self) {
        self.state().fed += 1;
        self.shared.changed.notify_all();
    }

    /// Ends every streaming answer well.
    pub(crate) fn finish(&self) {
        self.state().finished = true;
        self.shared.changed.notify_all();
    }

    /// Requests that arrived, health checks apart.
    pub(crate) fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Health checks that arrived.
    pub(crate) fn health_checks(&self) -> u64 {
        self.state().health_checks
    }

    /// Requests that arrived and have not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.state().in_flight
    }

    /// Connections that were ever made to it.
    pub(crate) fn connections(&self) -> u64 {
        self.state().connections_ever
    }

    /// When it failed requests, one moment each, before the failure went out.
    pub(crate) fn failures(&self) -> Vec<Timestamp> {
        self.state().failures.clone()
    }

    /// When the last request arrived.
    pub(crate) fn last_request(&self) -> Option<Timestamp> {
        self.state().last_request
    }

    /// The last request.
    pub(crate) fn last_seen(&self) -> Option<Seen> {
        self.state().last_seen.clone()
    }

    /// Waits until its counts satisfy `fact`.
    pub(crate) fn wait_for(&self, what: &str, fact: impl Fn(&Self) -> bool) {
        until(what, || fact(self).then_some(()), || format!("{self:?}"));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Endpoint")
            .field("version", &self.shared.version)
            .field("address", &self.address)
            .field("script", &state.script)
            .field("requests", &state.requests)
            .field("health_checks", &state.health_checks)
            .field("in_flight", &state.in_flight)
            .field("failures", &state.failures.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Waits until `ready` gives something; `None` when the endpoint stops first.
    fn wait<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(found) = ready(&mut state) {
                return Some(found);
            }
            state = self.changed.wait_timeout(state, LIMIT).expect("no thread panics with the state").0;
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let mut state = shared.state();
        state.connections_ever += 1;
        let number = state.connections_ever;
        let Ok(copy) = stream.try_clone() else { continue };
        state.connections.insert(number, copy);
        drop(state);
        let shared = shared.clone();
        std::thread::spawn(move || {
            // Connections break all the time here, by design.
            drop(serve(stream, &shared));
            shared.state().connections.remove(&number);
        });
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut served = 0;
    while let Some(head) = Head::read(&mut reader)? {
        if served >= shared.state().script.requests_per_connection {
            return Ok(());
        }
        served += 1;
        if head.word(1) == HEALTH {
            let status = {
                let mut state = shared.state();
                state.health_checks += 1;
                state.script.health
            };
            write_answer(reader.get_mut(), shared, &head, status)?;
        } else {
            shared.state().in_flight += 1;
            let kept = exchange(&mut reader, shared, head);
            shared.state().in_flight -= 1;
            if !kept? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One request and its answer; says whether the connection goes on.
fn exchange(reader: &mut BufReader<TcpStream>, shared: &Shared, head: Head) -> io::Result<bool> {
    let number = {
        let mut state = shared.state();
        state.requests += 1;
        state.last_request = Some(now());
        state.requests
    };
    let body = read_body(reader, head.framing(Framing::Length(0))?)?;
    let closes = head.closes();
    shared.state().last_seen = Some(Seen { head: head.clone(), body });
    let Some(answer) = decide(shared, number, head.word(1)) else { return Ok(false) };
    let to = reader.get_mut();
    match answer {
        Answer::Status(status) => {
            write_answer(to, shared, &head, status)?;
            return Ok(!closes);
        }
        Answer::Cut => to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this")?,
        Answer::Garbage => to.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")?,
        Answer::Big(size) => return write_big(to, size).map(|()| !closes),
        Answer::Stream => return stream_answer(to, shared).map(|()| true),
        Answer::Close | Answer::Hang => {}
    }
    Ok(false)
}

/// Waits as the script says, then reads the answer from it.
fn decide(shared: &Shared, number: u64, path: &str) -> Option<Answer> {
    let arrived = now();
    let mut state = shared.state();
    loop {
        if state.stopped {
            return None;
        }
        let due = arrived + state.script.latency;
        let left = due - now();
        if state.script.answer != Answer::Hang && left.is_zero() {
            break;
        }
        let nap = if left.is_zero() { LIMIT } else { left };
        state = shared.changed.wait_timeout(state, nap).expect("no thread panics with the state").0;
    }
    let fails_now = state.script.fail_every.is_some_and(|n| number.is_multiple_of(n))
        || state.script.fail_path == Some(path);
    let answer = match state.script.big_path {
        _ if fails_now => Answer::Status(503),
        Some((large, size)) if large == path => Answer::Big(size),
        Some(_) | None => state.script.answer.clone(),
    };
    let failed = match answer {
        Answer::Status(status) => status >= 500,
        Answer::Big(_) | Answer::Stream => false,
        Answer::Hang | Answer::Close | Answer::Cut | Answer::Garbage => true,
    };
    if failed {
        state.failures.push(now());
    }
    Some(answer)
}

fn write_answer(to: &mut TcpStream, shared: &Shared, head: &Head, status: u16) -> io::Result<()> {
    let body = format!("{} answers {}\n", shared.version, head.word(1));
    let length = body.len();
    let version = &shared.version;
    let shown = if head.word(0) == "HEAD" { "" } else { body.as_str() };
    let text = format!(
        "HTTP/1.1 {status} Scripted\r\nx-version: {version}\r\ncontent-length: {length}\r\n\r\n{shown}"
    );
    to.write_all(text.as_bytes())
}

fn write_big(to: &mut TcpStream, size: u64) -> io::Result<()> {
    to.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").as_bytes())?;
    io::copy(&mut io::repeat(b'x').take(size), to).map(drop)
}

fn stream_answer(to: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let version = &shared.version;
    let head = format!("HTTP/1.1 200 OK\r\nx-version: {version}\r\ntransfer-encoding: chunked\r\n\r\n");
    to.write_all(head.as_bytes())?;
    let mut sent = shared.state().fed;
    loop {
        let fed = shared
            .wait(|state| (state.fed > sent || state.finished).then_some(state.fed))
            .ok_or(io::ErrorKind::ConnectionAborted)?;
        if fed == sent {
            return to.write_all(b"0\r\n\r\n");
        }
        for piece in sent..fed {
            let text = format!("piece {piece:06}\n");
            to.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
        }
        sent = fed;
    }
}
