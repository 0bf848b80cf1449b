//! The real program as a child process, and turns for those that must be alone.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::wait::until;

/// The admin socket's name, in the program's own directory.
pub(crate) const SOCKET: &str = "admin.sock";
/// Lines of output that are kept.
const KEPT: usize = 20_000;

/// A child, and what it says. Killed when dropped.
pub(crate) struct Process {
    child: Child,
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

/// Programs run side by side, but for those that measure time: these run alone.
#[derive(Debug)]
#[allow(dead_code, reason = "the guards are held, not read")]
pub(crate) enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
    /// Beside a program whose turn it is.
    Beside,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

static TURNS: RwLock<()> = RwLock::new(());

impl Process {
    /// Starts the program in this directory; verbs find its admin socket there.
    pub(crate) fn start(args: &[&str], dir: &Path) -> Self {
        Self::spawn(program(args, dir))
    }

    /// Starts the program with this limit on its open files.
    pub(crate) fn start_with_files(files: u32, args: &[&str], dir: &Path) -> Self {
        let program = program(args, dir);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(program.get_program());
        limited.args(program.get_args()).current_dir(dir).stdin(Stdio::null());
        limited.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::spawn(limited)
    }

    /// Starts the program with its standard output in this file: for more lines than are kept here.
    #[allow(dead_code, reason = "only tests/soak has that many lines")]
    pub(crate) fn start_writing_to(file: File, args: &[&str], dir: &Path) -> Self {
        let mut command = program(args, dir);
        command.stdout(file);
        Self::watch(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        Self::watch(command)
    }

    fn watch(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let stderr = self.stderr.clone();
        until("the program ends", || self.ended(), || stderr.all().join("\n"))
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// What it wrote to standard output so far, by line.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.all().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the program to its end, in this directory.
pub(crate) fn run_to_end(args: &[&str], dir: &Path) -> Ended {
    Ended::from(program(args, dir).output().expect("the program starts"))
}

fn program(args: &[&str], dir: &Path) -> Command {
    // Another build of it can be measured with the same tests.
    let built = std::env::var_os("ADIT_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_adit").into());
    let mut command = Command::new(built);
    let admin = format!("unix:{}", dir.join(SOCKET).display());
    command.args(args).current_dir(dir).env("ADIT_ADMIN", admin).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

impl Turn {
    pub(crate) fn shared() -> Self {
        Self::Shared(TURNS.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn alone() -> Self {
        Self::Alone(TURNS.write().unwrap_or_else(PoisonError::into_inner))
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
