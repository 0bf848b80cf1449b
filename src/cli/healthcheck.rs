//! `adit healthcheck`: for Docker's HEALTHCHECK and its like, which know 0 and 1 alone.

use std::time::Duration;

use http::StatusCode;

use super::client::{Client, Failure};
use super::exit::Exit;
use super::{print, reach};
use crate::admin::Readiness;
use crate::config;

/// Exit with 0 when every service has a ready endpoint, else with 1
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: adit healthcheck && echo ready
In a Dockerfile: HEALTHCHECK CMD [\"adit\", \"healthcheck\"]")]
pub(super) struct Args {
    /// Only ask whether the program is alive
    #[arg(long)]
    live: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = config::duration)]
    timeout: Duration,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    match print::finish(check(args)) {
        Exit::Ok => Exit::Ok,
        _ => Exit::Failure,
    }
}

fn check(args: &Args) -> Result<String, Failure> {
    let client = Client::new(&args.reach)?.within(args.timeout);
    if args.live {
        client.get("/livez")?;
        return Ok("alive\n".to_owned());
    }
    let answer = client.probe("/readyz")?;
    if answer.status == StatusCode::OK {
        return Ok("ready\n".to_owned());
    }
    let readiness: Readiness = client.read(&answer.body)?;
    let waiting_for = readiness.waiting_for.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    Err(Failure::Other(match waiting_for.as_str() {
        "" => "not ready; see `adit status`".to_owned(),
        services => format!("not ready: no ready endpoint for {services}; see `adit status`"),
    }))
}
