//! `adit hold`: requests wait.

use serde_json::Value;

use super::exit::Exit;
use super::{print, tell};

/// Make the requests of a service wait, for a moment in which it must not be asked; see also: adit release
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit hold web --max-wait 20s --why 'moving the database'")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
    /// The longest that a request waits; then it is answered 503 [default: 30s]
    #[arg(long, value_name = "TIME")]
    max_wait: Option<String>,
    /// How many requests may wait at once; those beyond are answered 503 [default: 1000]
    #[arg(long, value_name = "REQUESTS")]
    max_waiting: Option<u32>,
}

pub(super) fn run(args: &Args) -> Exit {
    let wait = args.max_wait.as_deref().map(|wait| ("max_wait", Value::from(wait)));
    let waiting = args.max_waiting.map(|waiting| ("max_waiting", Value::from(waiting)));
    let said: Vec<_> = wait.into_iter().chain(waiting).collect();
    print::finish(tell::tell(&args.order, "hold", &said))
}
