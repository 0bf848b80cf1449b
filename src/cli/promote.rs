//! `adit promote`: advance without waiting for the verdict.

use serde_json::Value;

use super::exit::Exit;
use super::{print, tell};

/// Leave the current step now, unjudged; or all steps
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit promote web --full --why 'fixes the outage'")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
    /// Leave all steps, and the bake: the canary becomes stable
    #[arg(long)]
    full: bool,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(tell::tell(&args.order, "promote", &[("full", Value::from(args.full))]))
}
