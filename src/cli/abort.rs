//! `adit abort`: weight 0 now, in every state.

use super::exit::Exit;
use super::{print, tell};

/// Send nothing to the canary any more, now, and end the rollout
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit abort web --why 'prices are wrong'")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(tell::tell(&args.order, "abort", &[]))
}
