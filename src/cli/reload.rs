//! `adit reload`: read the config again.

use bytes::Bytes;

use super::client::{Client, Failure};
use super::exit::Exit;
use super::{print, reach, tell};
use crate::control::Reloaded;

/// Have the running Adit read its config again; a config that is not valid changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit check && adit reload")]
pub(super) struct Args {
    /// Return once it is applied; this is what reload does anyway
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(reload(args))
}

fn reload(args: &Args) -> Result<String, Failure> {
    let client = Client::new(&args.reach)?;
    let answer = client.post("/v1/reload", tell::who(), Bytes::new())?;
    let Reloaded { generation, problems } = client.read(&answer)?;
    if problems.is_empty() {
        return Ok(format!("reloaded; generation {generation} serves\n"));
    }
    Err(Failure::Other(format!("reloaded, generation {generation} serves, but: {}", problems.join("; "))))
}
