//! A real Docker Engine, started by `tests/docker/engine` and gone when this test binary is, however it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::is_missing;

/// An engine of its own directory and addresses.
pub(crate) struct Engine {
    socket: PathBuf,
    state: Mutex<State>,
    apart: bool,
}

/// Where an engine's published ports are; `None`: where we are.
#[derive(Clone, Debug)]
pub(crate) struct Network(Option<PathBuf>);

struct State {
    keeper: Child,
    // While it is open the engine lives.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: u32,
}

/// How long a client of the load waits for an answer.
const CONNECT: Duration = Duration::from_secs(5);

impl Engine {
    /// The one that most tests share; `None` where none can be had (`tests/run` says so in its last line).
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        (!is_missing("docker")).then(|| SHARED.get_or_init(|| Self::start(&[])))
    }

    /// One for a test that stops it.
    pub(crate) fn own() -> Option<Self> {
        (!is_missing("docker")).then(|| Self::start(&[]))
    }

    /// One with a network of its own: ports that it publishes meet nobody else's.
    pub(crate) fn apart() -> Option<Self> {
        (!is_missing("docker")).then(|| Self::start(&["--apart"]))
    }

    fn start(args: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker/engine");
        let mut keeper = Command::new(script)
            .args(args)
            // Ctrl-C ends the tests; the keeper then still cleans up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash runs tests/docker/engine");
        let orders = keeper.stdin.take();
        let mut answers = BufReader::new(keeper.stdout.take().expect("stdout is piped"));
        let (socket, pid) = ready(&mut answers);
        let config = socket.with_file_name("config");
        std::fs::create_dir_all(&config).expect("the engine's folder can be written");
        // `docker compose`, where tests/run had to get it.
        let plugins = target().join("docker/cli-plugins");
        if plugins.exists() {
            std::os::unix::fs::symlink(plugins, config.join("cli-plugins")).expect("a link can be made");
        }
        Self {
            socket,
            state: Mutex::new(State { keeper, orders, answers, pid }),
            apart: args.contains(&"--apart"),
        }
    }

    /// As in `DOCKER_HOST`.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &str {
        self.socket.to_str().expect("a temporary directory has a plain name")
    }

    /// The group that may ask it: Debian's `docker`, or root's.
    pub(crate) fn group(&self) -> String {
        self.socket.metadata().expect("the engine made it").gid().to_string()
    }

    /// kill -9. Its containers go on.
    pub(crate) fn kill(&self) {
        self.state.lock().unwrap().order("kill");
    }

    /// SIGTERM. Its containers go on.
    pub(crate) fn stop(&self) {
        self.state.lock().unwrap().order("stop");
    }

    /// The same again, after [`Self::kill`] or [`Self::stop`].
    pub(crate) fn resume(&self) {
        let mut state = self.state.lock().unwrap();
        state.send("start");
        state.pid = ready(&mut state.answers).1;
    }

    /// Runs `docker ARGS`; what it said.
    pub(crate) fn docker<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let words: Vec<_> = args.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        said(&format!("docker {}", words.join(" ")), self.command("docker").args(args).output().unwrap())
    }

    /// A command in the engine's network, for its client.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(if self.apart { "nsenter" } else { program });
        if self.apart {
            command.arg(format!("--net={}", self.namespace().display())).arg(program);
        }
        let config = self.socket.with_file_name("config");
        command.env("DOCKER_HOST", self.url()).env("DOCKER_CONFIG", config).stdin(Stdio::null());
        command
    }

    /// Its network, to connect in.
    pub(crate) fn network(&self) -> Network {
        Network(self.apart.then(|| self.namespace()))
    }

    fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.state.lock().unwrap().pid).into()
    }
}

impl Network {
    /// Connects from within it.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let Some(namespace) = &self.0 else { return TcpStream::connect_timeout(&to, CONNECT) };
        let namespace = File::open(namespace)?;
        // The thread stays in that network, so it ends with this one connection.
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpStream::connect_timeout(&to, CONNECT)
        });
        thread.join().expect("connecting does not panic")
    }
}

impl State {
    fn send(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it is closed by drop alone");
        writeln!(orders, "{order}").expect("the keeper reads");
    }

    fn order(&mut self, order: &str) {
        self.send(order);
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the keeper answers");
        assert_eq!(line.trim(), "done", "{order}");
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.keeper.wait());
    }
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"));
    target.canonicalize().unwrap_or(target)
}

/// Reads `ready SOCKET PID`.
fn ready(from: &mut impl BufRead) -> (PathBuf, u32) {
    let mut line = String::new();
    from.read_line(&mut line).expect("the keeper's output is text");
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next().and_then(|pid| pid.parse().ok())) {
        (Some("ready"), Some(socket), Some(pid)) => (socket.into(), pid),
        _ => panic!("the Docker Engine did not start (see above); without one: ADIT_TESTS_WITHOUT=docker"),
    }
}

/// What a command wrote.
///
/// # Panics
/// When it failed.
pub(crate) fn said(what: &str, output: Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{stdout}\n{stderr}", output.status);
    stdout.trim().to_owned()
}
