//! Waits for the end of a rollout.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::client::{Client, Failure};
use super::super::exit::Exit;
use super::super::tell;
use super::fate::{Fate, Target};
use super::progress::Progress;
use crate::admin::Code;
use crate::clock::Clock;
use crate::config;
use crate::control::report::ServiceStatus;
use crate::domain::Timestamp;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long Adit may be away: a restart takes a moment.
const AWAY: Duration = Duration::from_secs(30);

/// How the waiting ended.
pub(super) struct End {
    pub(super) exit: Exit,
    /// How the service stood then, as Adit said it.
    pub(super) status: Bytes,
}

/// Looks until the rollout has ended, and says how. `answer` is how the service stood when it began.
///
/// # Errors
/// When Adit stays away, or says no.
pub(super) fn follow(
    client: &Client,
    (target, answer): (&Target, Bytes),
    timeout: Duration,
    progress: &mut Progress,
) -> Result<End, Failure> {
    let clock = Clock::real();
    let mut signals = client.run(async { Signals::new() }).map_err(no_signals)?;
    let deadline = clock.now() + timeout;
    let mut seen = Seen { at: clock.now(), away: false };
    let mut last = answer;
    loop {
        let now = clock.now();
        match client.get(&tell::service_path(&target.service)) {
            Ok(status) => {
                let service: ServiceStatus = client.read(&status)?;
                (last, seen) = (status, Seen { at: now, away: false });
                if let Some(exit) = conclude(target, &service, progress) {
                    return Ok(End { exit, status: last });
                }
                progress.show(&service, now);
            }
            Err(failure) => seen.bear(failure, now, progress)?,
        }
        if clock.now() >= deadline {
            progress.note(&format!(
                "{} is not over after {}; {}",
                target.name(),
                config::show_duration(timeout),
                goes_on(target)
            ));
            return Ok(End { exit: Exit::TimedOut, status: last });
        }
        let nap = LOOK.min(deadline - clock.now());
        if client.run(signals.interrupt(nap)) {
            progress.note(&format!(
                "not waiting any more; {} is not over, {}",
                target.name(),
                goes_on(target)
            ));
            return Ok(End { exit: Exit::Failure, status: last });
        }
    }
}

/// The exit code, if that was the end.
fn conclude(target: &Target, service: &ServiceStatus, progress: &mut Progress) -> Option<Exit> {
    match target.fate(service) {
        Fate::UnderWay => None,
        Fate::Promoted(text) => {
            progress.close(&text);
            Some(Exit::Ok)
        }
        Fate::GivenUp(text) => {
            progress.note(&text);
            Some(Exit::Aborted)
        }
    }
}

fn goes_on(target: &Target) -> String {
    let service = &target.service;
    format!("it goes on: `adit status {service} -w` shows it, `adit abort {service}` ends it")
}

fn no_signals(error: io::Error) -> Failure {
    Failure::Other(format!("the operating system refuses to pass signals on: {error}"))
}

/// When Adit answered last, and whether that it does not was said.
struct Seen {
    at: Timestamp,
    away: bool,
}

impl Seen {
    /// Puts up with a failure that passes when Adit has started again, for a while.
    fn bear(&mut self, failure: Failure, now: Timestamp, progress: &mut Progress) -> Result<(), Failure> {
        let passes = match &failure {
            Failure::Unreachable(..) | Failure::TimedOut(_) | Failure::Strange(..) => true,
            Failure::Problem(problem) => matches!(problem.code, Code::Stopping | Code::TimedOut),
            Failure::Usage(_) | Failure::Config(_) | Failure::Other(_) => false,
        };
        if !passes || now - self.at >= AWAY {
            return Err(failure);
        }
        if !self.away {
            self.away = true;
            let seconds = AWAY.as_secs();
            progress.note(&format!("no answer from Adit; waiting up to {seconds} s for it to come back"));
        }
        Ok(())
    }
}

/// What ends the waiting, but not the rollout.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Lets time pass; whether a signal came.
    async fn interrupt(&mut self, time: Duration) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}
