//! `adit resume`: the rollout goes on.

use super::exit::Exit;
use super::{print, tell};

/// Let a paused rollout go on
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit resume web")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(tell::tell(&args.order, "resume", &[]))
}
