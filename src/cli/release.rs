//! `adit release`: requests that wait go on.

use super::exit::Exit;
use super::{print, tell};

/// Let the requests of a held service go on; releasing a new version is: adit reload
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit release web")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(tell::tell(&args.order, "release", &[]))
}
