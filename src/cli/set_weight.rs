//! `adit set-weight`: the canary's share by hand.

use serde_json::Value;

use super::exit::Exit;
use super::{print, tell};
use crate::domain::Weight;

/// Give the canary this share of the traffic; the rollout pauses there
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit set-weight web 2.5")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
    /// In percent: 0 to 100, decimals allowed
    weight: Weight,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(tell::tell(&args.order, "weight", &[("weight", Value::from(args.weight.percent()))]))
}
