//! Processes that are pinned to cores and that end with us, whatever way we end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cpu;

/// A process that ends when this is dropped.
pub struct Process {
    child: Child,
    name: String,
}

/// A command pinned to these cores ("0", "0,1"). The kernel ends it (SIGTERM) should we die without a word.
pub fn pinned(cores: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "taskset", "-c", cores]).arg(program).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts it; what it says goes to `NAME.out` and `NAME.err` in the folder.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> io::Result<Process> {
        let out = File::create(folder.join(format!("{name}.out")))?;
        let err = File::create(folder.join(format!("{name}.err")))?;
        let child = command.stdout(out).stderr(err).spawn()?;
        Ok(Process { child, name: name.to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// The end of what it said on standard error, for a message.
    pub fn last_words(&self, folder: &Path) -> String {
        let said = fs::read_to_string(folder.join(format!("{}.err", self.name))).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // Known before it ends: afterwards nobody says whose children they were.
        let family = cpu::family(self.id());
        self.signal(Signal::TERM);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && !self.has_ended() {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.has_ended() {
            return;
        }
        for process in family {
            send(process, Signal::KILL);
        }
        // Nothing can be done about a process that can't be waited for.
        let _waited = self.child.wait();
    }
}

fn send(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _sent = kill_process(pid, signal);
    }
}

/// Waits until something holds; says what it waited for in vain.
pub fn wait_for(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + patience;
    while !holds() {
        if Instant::now() > until {
            return Err(format!("waited {} s in vain: {what}", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
