//! `adit explain`: the story of one rollout, to be read from top to bottom.

use super::client::{Client, Failure};
use super::exit::Exit;
use super::grid::Look;
use super::{print, reach, story, tell};
use crate::control::journal::RolloutStory;
use crate::control::report::ServiceStatus;

/// Tell what happened in a rollout and why: each decision with its numbers, and the requests that failed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit explain web 3\n\nWhich rollouts there are: adit history web")]
pub(super) struct Args {
    /// The service's name
    service: String,
    /// The rollout's number [default: the last one]
    number: Option<u64>,
    /// As JSON, in one document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(shown(args, Look::of_stdout()))
}

fn shown(args: &Args, look: Look) -> Result<String, Failure> {
    let client = Client::new(&args.reach)?;
    let service = tell::service_path(&args.service);
    let number = args.number.map_or_else(|| "last".to_owned(), |number| number.to_string());
    let body = client.get(&format!("{service}/rollouts/{number}"))?;
    if args.json {
        return Ok(print::document(&body));
    }
    let told: RolloutStory = client.read(&body)?;
    let now = if told.rollout.ended.is_none() { standing(&client, &service) } else { None };
    Ok(story::render(&told, now.as_ref(), look))
}

/// How the service stands now. What was recorded is worth telling also when that can't be had.
fn standing(client: &Client, service: &str) -> Option<ServiceStatus> {
    client.get(service).and_then(|body| client.read(&body)).ok()
}
