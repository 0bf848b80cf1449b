//! A running Adit with a directory of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use adit::control::report::{ServiceStatus, Status, VersionStatus};
use tempfile::TempDir;

use super::client::{Client, Response};
use super::process::{Ended, Process, SOCKET, Turn, run_to_end};
use super::wait::until;

/// A running Adit. Killed when dropped.
pub(crate) struct Adit {
    process: Process,
    dir: TempDir,
    _turn: Turn,
}

/// Runs `adit run` with a config that can't be served, to its end.
pub(crate) fn refused(config: &str) -> Ended {
    let dir = directory();
    write_config(dir.path(), config);
    run_to_end(&["run", "-c", "adit.toml"], dir.path())
}

/// An empty directory that goes when dropped. In memory where there is such a place: a busy disk may hold up a save for
/// longer than any test waits.
pub(crate) fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a temporary directory")
}

impl Adit {
    /// Starts with this config. Admin, state and one listener on a free port are added behind it.
    /// Returns once it answers on its admin socket.
    pub(crate) fn start(config: &str) -> Self {
        let dir = directory();
        let state = dir.path().join("state");
        Self::start_in(dir, config, &state, Turn::shared())
    }

    /// Like [`Self::start`], while no other test's program runs: for tests that measure time.
    pub(crate) fn start_alone(config: &str) -> Self {
        let dir = directory();
        let state = dir.path().join("state");
        Self::start_in(dir, config, &state, Turn::alone())
    }

    /// A second program for a test that is alone with its first.
    pub(crate) fn start_beside(config: &str, _first: &Self) -> Self {
        let dir = directory();
        let state = dir.path().join("state");
        Self::start_in(dir, config, &state, Turn::Beside)
    }

    /// Like [`Self::start`], with this limit on its open files.
    pub(crate) fn start_with_files(files: u32, config: &str) -> Self {
        let (dir, turn) = (directory(), Turn::shared());
        write_config(dir.path(), &complete(config, dir.path(), &dir.path().join("state")));
        let process = Process::start_with_files(files, &["run", "-c", "adit.toml"], dir.path());
        let mut adit = Self { process, dir, _turn: turn };
        adit.wait_until_up();
        adit
    }

    /// Like [`Self::start`], with its standard output in this file.
    #[allow(dead_code, reason = "only tests/soak has that many lines")]
    pub(crate) fn start_writing_to(file: File, config: &str) -> Self {
        let (dir, turn) = (directory(), Turn::shared());
        write_config(dir.path(), &complete(config, dir.path(), &dir.path().join("state")));
        let process = Process::start_writing_to(file, &["run", "-c", "adit.toml"], dir.path());
        let mut adit = Self { process, dir, _turn: turn };
        adit.wait_until_up();
        adit
    }

    /// Like [`Self::start`], with its decisions kept in `state`.
    pub(crate) fn start_with_state(config: &str, state: &Path) -> Self {
        Self::start_in(directory(), config, state, Turn::shared())
    }

    /// Starts as `adit ARGS`, in an empty directory.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::start_process(directory(), args, Turn::shared())
    }

    fn start_in(dir: TempDir, config: &str, state: &Path, turn: Turn) -> Self {
        write_config(dir.path(), &complete(config, dir.path(), state));
        Self::start_process(dir, &["run", "-c", "adit.toml"], turn)
    }

    fn start_process(dir: TempDir, args: &[&str], turn: Turn) -> Self {
        let mut adit = Self { process: Process::start(args, dir.path()), dir, _turn: turn };
        adit.wait_until_up();
        adit
    }

    /// kill -9, then the same program again, in the same directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = Process::start(&["run", "-c", "adit.toml"], self.dir.path());
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        let ended = until(
            "the program answers on its admin socket",
            || match self.process.ended() {
                Some(status) => Some(Some(status)),
                None => try_status(&self.dir.path().join(SOCKET)).map(|_| None),
            },
            || "it said nothing there",
        );
        assert!(ended.is_none(), "the program ended at once ({ended:?}):\n{}", self.stderr());
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        *self.addresses().first().expect("one listener")
    }

    /// Where clients connect, by listener in the order of the config.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.status().listeners.iter().map(|at| at.parse().expect("an address")).collect()
    }

    /// A new client of its listener.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address()).expect("the listener accepts")
    }

    /// How things stand.
    pub(crate) fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|| panic!("no status to be had:\n{}", self.stderr()))
    }

    /// How the service `web` stands.
    pub(crate) fn web(&self) -> ServiceStatus {
        self.status().service("web").cloned().expect("a service named web")
    }

    /// How a version of the service `web` stands.
    pub(crate) fn version(&self, name: &str) -> VersionStatus {
        version(&self.web(), name).clone()
    }

    /// Waits until the status satisfies `fact`.
    pub(crate) fn wait_for(&self, what: &str, fact: impl Fn(&Status) -> bool) -> Status {
        until(
            what,
            || self.try_status().filter(&fact),
            || {
                let status = serde_json::to_string_pretty(&self.try_status()).expect("a status is JSON");
                format!("last status: {status}\nstderr:\n{}", self.stderr())
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
        self.wait_for("every service is ready", |status| status.ready);
        self
    }

    /// Waits until all endpoints of all versions of the service `web` are ready.
    pub(crate) fn wait_until_all_ready(&self) -> &Self {
        self.wait_for_web("every endpoint is ready", |web| {
            let mut endpoints = web.versions.iter().flat_map(|version| &version.endpoints);
            endpoints.all(|endpoint| endpoint.state == "ready")
        });
        self
    }

    /// Waits until the last rollout of the service `web` ended so.
    pub(crate) fn wait_for_outcome(&self, outcome: &str) -> ServiceStatus {
        self.wait_for_web(outcome, |web| {
            web.rollout.as_ref().is_some_and(|rollout| rollout.outcome.as_deref() == Some(outcome))
        })
    }

    /// Waits until the canary of the service `web` has this weight, in percent.
    pub(crate) fn wait_for_weight(&self, percent: f64) -> ServiceStatus {
        self.wait_for_web(&format!("the canary has {percent} %"), |web| {
            web.canary
                .as_ref()
                .is_some_and(|canary| (version(web, canary.as_str()).weight.percent() - percent).abs() < 1e-9)
        })
    }

    /// A request to the admin API.
    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> Response {
        let fields: &[(&str, &str)] = match body {
            "" => &[("host", "localhost")],
            _json => &[("host", "localhost"), ("content-type", "application/json")],
        };
        Client::connect_unix(&self.socket())
            .and_then(|mut client| client.request(method, path, fields, body.as_bytes()))
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.stderr()))
    }

    /// Runs a verb of the program against this one.
    pub(crate) fn cli(&self, args: &[&str]) -> Ended {
        let admin = format!("unix:{}", self.socket().display());
        let all: Vec<&str> = args.iter().copied().chain(["--admin", &admin]).collect();
        run_to_end(&all, self.dir.path())
    }

    /// Its admin socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(SOCKET)
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
            let lines = text.lines().map(|old| if old.starts_with("release = ") { &line } else { old });
            lines.collect::<Vec<_>>().join("\n")
        });
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} failed");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory_as("VmHWM:")
    }

    /// The memory that it has now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory_as("VmRSS:")
    }

    /// The files that it has open now, as Linux shows them.
    #[allow(dead_code, reason = "only tests/soak looks at them")]
    pub(crate) fn open_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.process.pid()));
        let files = files.expect("Linux tells about its processes");
        // One that was closed meanwhile is no file.
        files.filter_map(|file| file.ok()?.path().read_link().ok()).collect()
    }

    /// The memory that it has now without its code, in bytes: of that the kernel brings in what is asked for first.
    #[allow(dead_code, reason = "only tests/soak looks at it")]
    pub(crate) fn own_memory(&self) -> u64 {
        self.memory_as("RssAnon:")
    }

    fn memory_as(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.expect("Linux tells about its processes");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("and about their memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("in kB");
        kib * 1024
    }

    /// What it wrote to standard output so far, by line.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.process.stdout()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.process.stderr()
    }

    fn try_status(&self) -> Option<Status> {
        try_status(&self.socket())
    }
}

/// A version of a service, by name.
pub(crate) fn version<'a>(service: &'a ServiceStatus, name: &str) -> &'a VersionStatus {
    let found = service.versions.iter().find(|version| version.name.as_str() == name);
    found.unwrap_or_else(|| panic!("no version {name} in {service:?}"))
}

fn try_status(socket: &Path) -> Option<Status> {
    let mut client = Client::connect_unix(socket).ok()?;
    let response = client.request("GET", "/v1/status", &[("host", "localhost")], b"").ok()?;
    assert_eq!(response.status, 200, "GET /v1/status: {}", response.text());
    let status = serde_json::from_slice(&response.body);
    Some(status.unwrap_or_else(|error| panic!("{error} in the status: {}", response.text())))
}

fn complete(config: &str, dir: &Path, state: &Path) -> String {
    // Tests that don't look at the access log don't pay for it.
    let log = if config.contains("access_log") { "" } else { "access_log = \"off\"\n" };
    format!(
        "{log}{config}\n[admin]\naddress = \"unix:{}\"\n[state]\ndir = \"{}\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n",
        dir.join(SOCKET).display(),
        state.display()
    )
}

fn write_config(dir: &Path, config: &str) {
    let (new, file) = (dir.join("adit.toml.new"), dir.join("adit.toml"));
    std::fs::write(&new, config).expect("the temporary directory can be written");
    std::fs::rename(&new, &file).expect("a file can be renamed within its directory");
}
