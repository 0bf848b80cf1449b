//! `adit retry`: try an aborted version again.

use serde_json::Value;

use super::exit::Exit;
use super::{print, tell};

/// Try an aborted version again, from the first step
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit retry web --why 'the database was down'")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
    /// Which version [default: the one that `release` names]
    #[arg(long, value_name = "V")]
    version: Option<String>,
}

pub(super) fn run(args: &Args) -> Exit {
    let version = args.version.as_deref().map(|version| ("version", Value::from(version)));
    print::finish(tell::tell(&args.order, "retry", version.as_slice()))
}
