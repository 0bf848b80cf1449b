//! A Docker Engine on a unix socket that says what a test wants: recorded JSON, events, and every way to fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// How an engine fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It takes the question and never answers.
    Hang,
    /// It closes the connection without an answer.
    Close,
    /// It answers half of it.
    Cut,
    /// It answers what is no JSON.
    Garbage,
    /// It refuses with this status.
    Refuse(u16),
}

/// What happens on the streams of events.
#[derive(Clone)]
enum Told {
    Text(String),
    End,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Value>,
    faults: Vec<(&'static str, Fault)>,
}

pub(crate) struct FakeEngine {
    _folder: tempfile::TempDir,
    path: PathBuf,
    state: Arc<Mutex<State>>,
    told: broadcast::Sender<Told>,
    /// Every request line so far.
    asked: Arc<watch::Sender<Vec<String>>>,
    running: JoinSet<()>,
}

/// What was recorded of a real engine.
pub(crate) fn recorded(name: &str) -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/docker").join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("recorded JSON")
}

impl FakeEngine {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("docker.sock");
        let mut engine = Self {
            _folder: folder,
            path,
            state: Arc::default(),
            told: broadcast::channel(256).0,
            asked: Arc::new(watch::Sender::new(Vec::new())),
            running: JoinSet::new(),
        };
        engine.listen();
        engine
    }

    /// As after a restart: a new socket at the same place.
    pub(crate) fn listen(&mut self) {
        let listener = UnixListener::bind(&self.path).expect("a socket");
        let (state, told, asked) = (self.state.clone(), self.told.clone(), self.asked.clone());
        self.running.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                answers.spawn(answer(stream, state.clone(), told.clone(), asked.clone()));
            }
        });
    }

    /// All its connections break, and its socket is gone.
    pub(crate) async fn die(&mut self) {
        self.running.shutdown().await;
        fs::remove_file(&self.path).expect("the socket is there");
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// There is such a container now: this recording under another id.
    pub(crate) fn put(&self, id: &str, recording: &str) {
        self.put_changed(id, recording, |_| {});
    }

    pub(crate) fn put_changed(&self, id: &str, recording: &str, change: impl FnOnce(&mut Value)) {
        let mut container = recorded(recording);
        container["Id"] = id.into();
        container["Name"] = format!("/web-{id}").into();
        change(&mut container);
        self.state().containers.insert(id.to_owned(), container);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.state().containers.remove(id);
    }

    /// From now on it fails where a request has this in its path.
    pub(crate) fn fail(&self, path: &'static str, fault: Fault) {
        self.state().faults.push((path, fault));
    }

    pub(crate) fn heal(&self) {
        self.state().faults.clear();
    }

    /// Tells that something happened to a container.
    pub(crate) fn tell(&self, id: &str, action: &str, about: &[(&str, &str)]) {
        let mut attributes =
            json!({"adit.service": "web", "image": "web:1.4.0", "name": format!("web-{id}")});
        for (name, value) in about {
            attributes[*name] = (*value).into();
        }
        let event =
            json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": attributes}});
        self.tell_text(&format!("{event}\n"));
    }

    pub(crate) fn tell_text(&self, text: &str) {
        let listeners = self.told.send(Told::Text(text.to_owned()));
        assert!(listeners.is_ok(), "nobody listens to the events");
    }

    pub(crate) fn end_events(&self) {
        let listeners = self.told.send(Told::End);
        assert!(listeners.is_ok(), "nobody listens to the events");
    }

    /// How many requests had this in their line.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.asked.borrow().iter().filter(|line| line.contains(what)).count()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// Waits until so many requests had this in their line.
    pub(crate) async fn until_asked(&self, what: &str, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|lines| lines.iter().filter(|line| line.contains(what)).count() >= times);
        let waited = tokio::time::timeout(crate::harness::LIMIT, enough).await.is_ok();
        assert!(waited, "not asked {times} times for {what}: {:#?}", self.asked());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked in here")
    }
}

async fn answer(
    mut stream: UnixStream,
    state: Arc<Mutex<State>>,
    told: broadcast::Sender<Told>,
    asked: Arc<watch::Sender<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let (method, target) = line.split_once(' ').unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let is_post = method == "POST";
    let fault = {
        let state = state.lock().expect("no test panicked in here");
        state.faults.iter().find(|(place, _)| path.contains(place)).map(|(_, fault)| *fault)
    };
    let events = told.subscribe();
    asked.send_modify(|lines| lines.push(line));
    let body = body(&path, is_post, &state);
    let written = match (fault, body) {
        (Some(Fault::Hang), _) => return std::future::pending().await,
        (Some(Fault::Close), _) => return,
        (Some(Fault::Cut), body) => {
            let body = body.unwrap_or_default();
            let half = &body[..body.len() / 2];
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{half}", body.len())
        }
        (Some(Fault::Garbage), _) => ok("<html>no engine</html>"),
        (Some(Fault::Refuse(status)), _) => status_line(status, "{\"message\":\"not allowed here\"}"),
        (None, _) if path.ends_with("/events") => return tell_events(stream, events).await,
        (None, Some(_)) if is_post => status_line(204, ""),
        (None, Some(body)) => ok(&body),
        (None, None) => status_line(404, "{\"message\":\"No such thing\"}"),
    };
    // The other side may have gone by now.
    let _written = stream.write_all(written.as_bytes()).await;
    let _closed = stream.shutdown().await;
}

async fn tell_events(mut stream: UnixStream, mut events: broadcast::Receiver<Told>) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(Told::Text(text)) = events.recv().await {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            return;
        }
    }
    let _ended = stream.write_all(b"0\r\n\r\n").await;
}

fn body(path: &str, is_post: bool, state: &Mutex<State>) -> Option<String> {
    let bare = path.strip_prefix("/v1.41").unwrap_or(path);
    let state = state.lock().expect("no test panicked in here");
    if bare == "/version" {
        return Some(recorded("version").to_string());
    }
    if bare == "/containers/json" {
        let listed = state.containers.iter().map(|(id, container)| {
            json!({"Id": id, "Names": [container["Name"]], "Labels": container["Config"]["Labels"], "State": container["State"]["Status"]})
        });
        return Some(Value::Array(listed.collect()).to_string());
    }
    if bare.starts_with("/images/") {
        return Some(recorded("image").to_string());
    }
    let rest = bare.strip_prefix("/containers/")?;
    let id = rest.strip_suffix(if is_post { "/restart" } else { "/json" })?;
    state.containers.get(id).map(Value::to_string)
}

fn ok(body: &str) -> String {
    status_line(200, body)
}

fn status_line(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
