//! `adit drain`: nothing new for one endpoint, so that it can be stopped without anyone noticing.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::client::{Client, Failure};
use super::exit::Exit;
use super::{print, reach, tell};
use crate::admin::Code;
use crate::config;
use crate::control::report::{DrainStatus, DrainedEndpoint};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Give an endpoint or a container no more requests; those in flight end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: adit drain web-1 --wait && docker stop web-1

It lasts until it is cancelled, the endpoint leaves the config, or the container is removed: a container that is started again is
still drained, also at another address.")]
pub(super) struct Args {
    /// As configured, or ip:port; or a container: its name, or its id (its first 4 digits or more)
    endpoint: String,
    /// Return once it has no request in flight: then it can be stopped
    #[arg(long)]
    wait: bool,
    /// How long to wait; then exit code 5, and it goes on draining
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = config::duration, requires = "wait")]
    timeout: Duration,
    /// Give it requests again
    #[arg(long, conflicts_with_all = ["wait", "force"])]
    cancel: bool,
    /// Even if it is the last ready endpoint of a version that users get
    #[arg(long)]
    force: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    let client = match Client::new(&args.reach) {
        Ok(client) => client,
        Err(failure) => return print::finish(Err(failure)),
    };
    match drain(&client, args) {
        Ok(status) if args.wait => wait(&client, args, status),
        Ok(status) => print::finish(Ok(said(&status))),
        Err(failure) => print::finish(Err(failure)),
    }
}

fn drain(client: &Client, args: &Args) -> Result<DrainStatus, Failure> {
    let body = json!({ "cancel": args.cancel, "force": args.force, "why": args.why });
    let answer = client.post(&path(args), tell::who(), Bytes::from(body.to_string()))?;
    client.read(&answer)
}

/// Looks until nothing is in flight any more.
fn wait(client: &Client, args: &Args, mut status: DrainStatus) -> Exit {
    let mut waited = Duration::ZERO;
    loop {
        let state = |wanted: &[&str]| {
            let mut endpoints = status.endpoints.iter();
            endpoints.all(|drained| wanted.contains(&drained.endpoint.state.as_str()))
        };
        if state(&["drained"]) {
            return print::finish(Ok(said(&status)));
        }
        if !state(&["drained", "draining"]) {
            print::err(&format!("adit: {} is in use again: someone cancelled its draining", args.endpoint));
            return Exit::Conflict;
        }
        if waited >= args.timeout {
            print::err(&format!(
                "adit: not drained in time; it goes on draining\n{}",
                said(&status).trim_end()
            ));
            return Exit::TimedOut;
        }
        client.wait(LOOK);
        waited += LOOK;
        let looked = client.get(&path(args)).and_then(|answer| client.read(&answer));
        match looked {
            Ok(now) => status = now,
            // A container that was drained and is removed meanwhile: nothing is in flight at what is not there.
            Err(Failure::Problem(problem)) if problem.code == Code::UnknownEndpoint => {
                return print::finish(Ok(format!("{} is gone\n", args.endpoint)));
            }
            Err(failure) => return print::finish(Err(failure)),
        }
    }
}

fn said(status: &DrainStatus) -> String {
    status.endpoints.iter().map(line).collect()
}

fn line(drained: &DrainedEndpoint) -> String {
    let DrainedEndpoint { service, version, endpoint } = drained;
    let address = endpoint.address.as_deref().unwrap_or(&endpoint.endpoint);
    let state = match endpoint.state.as_str() {
        "drained" => "drained, it can be stopped".to_owned(),
        "draining" => format!("draining, {} in flight", endpoint.in_flight),
        other => other.to_owned(),
    };
    match &endpoint.container {
        Some(container) => format!("{service} {version} {} ({address}): {state}\n", container.name),
        None => format!("{service} {version} {address}: {state}\n"),
    }
}

fn path(args: &Args) -> String {
    format!("/v1/endpoints/{}/drain", tell::segment(&args.endpoint))
}
