//! `adit demo`: the main job with nothing to set up. Two versions of a real small service, the real proxy in front of them,
//! a real load; then a good version is released, and after it a bad one, which must be caught.

mod error;
mod load;
mod release;
mod screen;
mod service;
mod stage;
mod summary;
mod table;

use std::future::pending;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use error::DemoError;
use release::follow;
use screen::Screen;
use service::Character;
use stage::Stage;
use summary::Summary;

use crate::clock::Clock;

/// Requests a second. At 1,000 the evidence for each step comes within seconds.
const RATE: u32 = 1000;
/// How long one release may take. Twice as long as the slowest one should.
const PATIENCE: Duration = Duration::from_secs(40);
/// What the bad version does: one answer in ten is a 500, one request in twenty gets none.
const BAD: Character = Character { errors: 0.10, hangs: 0.05 };

/// Releases a good and a bad version of a small service before your eyes: about 15 seconds, nothing to set up
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  adit demo
  adit demo --keep

Exit code 0 only if the good version was promoted and the bad one went back by itself.")]
pub(crate) struct DemoArgs {
    /// Print one JSON summary and nothing else
    #[arg(long)]
    json: bool,
    /// Leave everything running at the end, for a look around with curl and `adit status`
    #[arg(long)]
    keep: bool,
}

/// Runs the demo; the exit code is 0 only if the good version was promoted and the bad one went back by itself.
pub(crate) fn demo(args: DemoArgs) -> u8 {
    match perform(args) {
        Ok(summary) if summary.good => 0,
        Ok(_) => 1,
        Err(error) => {
            eprintln!("adit demo: {error}");
            1
        }
    }
}

fn perform(args: DemoArgs) -> Result<Summary, DemoError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(DemoError::Runtime)?;
    let mut stage = runtime.block_on(Stage::set(Clock::real()))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = play(&mut stage, args) => result,
            () = told_to_end() => Err(DemoError::Interrupted),
        }
    });
    if args.keep && result.is_ok() {
        stage.invite();
        runtime.block_on(told_to_end());
    }
    // Clients and endpoints go first, so that nothing is in flight when the proxy drains.
    drop(runtime);
    stage.strike();
    result
}

async fn play(stage: &mut Stage, args: DemoArgs) -> Result<Summary, DemoError> {
    let mut screen = if args.json { Screen::silent() } else { Screen::stdout() };
    screen.opening(&stage.url(), RATE)?;
    stage.start_load(RATE);
    let mut rollouts = Vec::new();
    for (version, character) in [("v2", Character::GOOD), ("v3", BAD)] {
        screen.release(version, character)?;
        stage.release(version, character).await?;
        let done = follow(stage, version, PATIENCE, &mut screen).await?;
        screen.outcome(&done)?;
        rollouts.push(done);
    }
    let summary = Summary::of(rollouts);
    if args.json {
        summary.print()?;
    } else {
        screen.closing(&summary)?;
    }
    Ok(summary)
}

/// Returns at Ctrl-C or SIGTERM, so that the stage is always cleared. A signal that can't be listened for ends the process
/// by itself.
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
}
