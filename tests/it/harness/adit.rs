//! The real program as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use adit::control::report::{ServiceStatus, Status};
use tempfile::TempDir;

use super::client::{Client, Response};
use super::wait::until;

/// Lines of output that are kept.
const KEPT: usize = 20_000;

/// A running program with a directory of its own. Killed when dropped.
pub(crate) struct Adit {
    child: Child,
    dir: TempDir,
    stdout: Lines,
    stderr: Lines,
}

/// A program, or a verb of it, that ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// The program that the tests are about.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.env_remove("ADIT_ADMIN").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs the program to its end, in an empty directory.
pub(crate) fn run_to_end(args: &[&str], dir: &Path) -> Ended {
    let output = program().args(args).current_dir(dir).output().expect("the program starts");
    Ended::from(output)
}

/// Runs `adit run` with a config that can't be served, to its end.
pub(crate) fn refused(config: &str) -> Ended {
    let dir = TempDir::new().expect("a temporary directory");
    let file = write_config(dir.path(), config);
    run_to_end(&["run", "-c", text(&file)], dir.path())
}

impl Adit {
    /// Starts with this config. Admin, state and one listener on a free port are added; what is given here comes first.
    /// Returns once it answers on its admin socket.
    pub(crate) fn start(config: &str) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        write_config(dir.path(), &complete(config, dir.path()));
        Self::start_in(dir)
    }

    /// Starts as `adit run ARGS`, in an empty directory, with its admin API on a unix socket there.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        Self::spawn(dir, args)
    }

    fn start_in(dir: TempDir) -> Self {
        let file = dir.path().join("adit.toml");
        Self::spawn(dir, &["run", "-c", text(&file)])
    }

    fn spawn(dir: TempDir, args: &[&str]) -> Self {
        let mut child = program()
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        let mut adit = Self { child, dir, stdout, stderr };
        adit.wait_until_up();
        adit
    }

    /// kill -9, then the same program again, with the same directory.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for");
        let unused = TempDir::new().expect("a temporary directory");
        let dir = std::mem::replace(&mut self.dir, unused);
        Self::start_in(dir)
    }

    fn wait_until_up(&mut self) {
        let stderr = self.stderr.clone();
        let ended = until(
            "the program answers on its admin socket",
            || match self.child.try_wait().expect("the child can be waited for") {
                Some(status) => Some(Some(status)),
                None => self.try_status().map(|_| None),
            },
            || stderr.text(),
        );
        assert!(ended.is_none(), "the program ended at once ({ended:?}):\n{}", self.stderr.text());
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        let status = self.status();
        status.listeners.first().and_then(|at| at.parse().ok()).expect("one listener with an address")
    }

    /// A new client of its listener.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address()).expect("the listener accepts")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its own directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How things stand.
    pub(crate) fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|| panic!("no status to be had:\n{}", self.stderr.text()))
    }

    /// How the service `web` stands.
    pub(crate) fn web(&self) -> ServiceStatus {
        self.status().service("web").cloned().expect("a service named web")
    }

    /// Waits until the status satisfies `fact`.
    pub(crate) fn wait_for(&self, what: &str, fact: impl Fn(&Status) -> bool) -> Status {
        until(
            what,
            || self.try_status().filter(&fact),
            || {
                let status = serde_json::to_string_pretty(&self.try_status()).expect("a status is JSON");
                format!("last status: {status}\nstderr:\n{}", self.stderr.text())
            },
        )
    }

    /// Waits until the service `web` satisfies `fact`.
    pub(crate) fn wait_for_web(&self, what: &str, fact: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        let status = self.wait_for(what, |status| status.service("web").is_some_and(&fact));
        status.service("web").cloned().expect("it was just there")
    }

    /// Waits until every service has a ready endpoint for its users.
    pub(crate) fn wait_until_ready(&self) -> &Self {
        self.wait_for("ready", |status| status.ready);
        self
    }

    /// A request to the admin API.
    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> Response {
        let fields: &[(&str, &str)] = match body {
            "" => &[("host", "localhost")],
            _json => &[("host", "localhost"), ("content-type", "application/json")],
        };
        Client::connect_unix(&self.socket())
            .and_then(|mut client| client.request(method, path, fields, body.as_bytes()))
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.stderr.text()))
    }

    /// Runs a verb of the program against this one.
    pub(crate) fn cli(&self, args: &[&str]) -> Ended {
        let output = program()
            .args(args)
            .args(["--admin", &self.admin()])
            .current_dir(self.dir.path())
            .output()
            .expect("the program starts");
        Ended::from(output)
    }

    /// Its admin address, as `--admin` takes it.
    pub(crate) fn admin(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The config file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("adit.toml")
    }

    /// Changes the config file the way editors do: a new file takes the old one's name.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let old = std::fs::read_to_string(self.file()).expect("the config file can be read");
        let new = change(old.clone());
        assert_ne!(old, new, "an edit that changes nothing proves nothing");
        write_config(self.dir.path(), &new);
    }

    /// Changes which version is wanted.
    pub(crate) fn release(&self, version: &str) {
        let line = format!("release = \"{version}\"");
        self.edit(|text| {
            text.lines()
                .map(|old| if old.starts_with("release = ") { line.as_str() } else { old })
                .collect::<Vec<_>>()
                .join("\n")
        });
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} failed");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let stderr = self.stderr.clone();
        until(
            "the program ends",
            || self.child.try_wait().expect("the child can be waited for"),
            || stderr.text(),
        )
    }

    /// What it wrote to standard output so far, by line.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    fn try_status(&self) -> Option<Status> {
        let mut client = Client::connect_unix(&self.socket()).ok()?;
        let response = client.request("GET", "/v1/status", &[("host", "localhost")], b"").ok()?;
        assert_eq!(response.status, 200, "GET /v1/status: {}", response.text());
        let status = serde_json::from_slice(&response.body);
        Some(status.unwrap_or_else(|error| panic!("{error} in the status: {}", response.text())))
    }
}

impl Drop for Adit {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Lines {
    /// Collects what comes out of `from`, so that the child never waits for a reader.
    fn of(from: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut kept = sink.0.lock().expect("no reader panics");
                if kept.len() < KEPT {
                    kept.push(line);
                }
            }
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no reader panics").clone()
    }

    fn text(&self) -> String {
        self.all().join("\n")
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Panics unless it ended with this code; hands itself on.
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics unless its message says all of this; hands itself on.
    pub(crate) fn expect_words(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in:\n{}", self.stderr);
        }
        self
    }
}

fn complete(config: &str, dir: &Path) -> String {
    let dir = text(dir);
    format!(
        "{config}\n[admin]\naddress = \"unix:{dir}/admin.sock\"\n[state]\ndir = \"{dir}/state\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n"
    )
}

fn write_config(dir: &Path, config: &str) -> PathBuf {
    let (new, file) = (dir.join("adit.toml.new"), dir.join("adit.toml"));
    std::fs::write(&new, config).expect("the temporary directory can be written");
    std::fs::rename(&new, &file).expect("a file can be renamed within its directory");
    file
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
