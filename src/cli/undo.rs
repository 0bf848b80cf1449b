//! `adit undo`: back after a promotion.

use serde_json::Value;

use super::exit::Exit;
use super::{print, tell};

/// Go back after a promotion: at once while the old version is warm, else by a rollout
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: adit undo web --why 'checkout is broken'

The version that is left is not started again by a `release` that still names it; `adit retry` does that.")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
    /// To which version [default: the one that was stable before]
    #[arg(long, value_name = "V")]
    to: Option<String>,
}

pub(super) fn run(args: &Args) -> Exit {
    let to = args.to.as_deref().map(|version| ("to", Value::from(version)));
    print::finish(tell::tell(&args.order, "undo", to.as_slice()))
}
