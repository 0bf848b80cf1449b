//! `adit pause`: the rollout stops advancing.

use super::exit::Exit;
use super::{print, tell};

/// Stop the rollout from advancing; its weight stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit pause web --why 'campaign until noon'")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(tell::tell(&args.order, "pause", &[]))
}
