//! `adit deploy`: release a version from a script.

mod fate;
mod follow;
mod progress;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::client::{Client, Failure};
use super::exit::Exit;
use super::{print, tell, view};
use crate::config;
use crate::control::report::ServiceStatus;
use fate::Target;
use progress::Progress;

/// Release a version that listens at the given endpoints, and wait for its end if told to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  adit deploy web --version 1.5.0 --endpoint 127.0.0.1:9002 --endpoint 127.0.0.1:9012
  adit deploy web --version \"$TAG\" --endpoint 127.0.0.1:9002 --image \"$IMAGE\" --revision \"$SHA\" --wait

The deployed version goes before the config's `release` until the config names another one. It is kept through restarts.
With --wait it exits 0 once promoted, 4 when aborted or replaced, 5 after --timeout (the rollout goes on then).
It exits 6 when the rollout of another version is under way: --replace takes its place. So it does when
the version is stable or the canary and other endpoints or another image are given, unless both images have the same
digest: another build needs a version name of its own.")]
pub(super) struct Args {
    #[command(flatten)]
    order: tell::Args,
    /// The version's name: one name for one build
    #[arg(long, value_name = "V")]
    version: String,
    /// Where the version listens: host:port, as often as needed [default: as the version of this name has them]
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    endpoint: Vec<String>,
    /// Its image, best with its digest: name@sha256:…
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// The commit it was built from
    #[arg(long, value_name = "SHA")]
    revision: Option<String>,
    /// When it was built, as 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// Take the place of another version whose rollout is under way
    #[arg(long)]
    replace: bool,
    /// Return once the rollout has ended, and say by the exit code how
    #[arg(long)]
    wait: bool,
    /// How long to wait at the most
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "1h", requires = "wait")]
    timeout: Duration,
    /// Print how the service stands at the end, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Exit {
    match deploy(args) {
        Ok(exit) => exit,
        Err(failure) => print::finish(Err(failure)),
    }
}

fn deploy(args: &Args) -> Result<Exit, Failure> {
    let client = args.order.client()?;
    let answer = tell::ask(&client, &args.order, "deploy", &said(args))?;
    if args.wait {
        return wait(args, &client, answer);
    }
    let service: ServiceStatus = client.read(&answer)?;
    let shown = if args.json { print::document(&answer) } else { view::summary(&service) };
    Ok(print::finish(Ok(shown)))
}

fn wait(args: &Args, client: &Client, answer: Bytes) -> Result<Exit, Failure> {
    let target = Target::new(&client.read(&answer)?, &args.version);
    let mut progress = if args.json { Progress::beside_json() } else { Progress::on_stdout() };
    let end = follow::follow(client, (&target, answer), args.timeout, &mut progress)?;
    if args.json
        && let Err(error) = print::out(&print::document(&end.status))
    {
        return Ok(print::unheard(&error));
    }
    Ok(end.exit)
}

fn said(args: &Args) -> Vec<(&'static str, Value)> {
    let optional = [("image", &args.image), ("revision", &args.revision), ("created", &args.created)];
    let optional = optional.into_iter().filter_map(|(key, value)| Some((key, json!(value.as_ref()?))));
    let required = [
        ("version", json!(args.version)),
        ("endpoints", json!(args.endpoint)),
        ("replace", json!(args.replace)),
    ];
    required.into_iter().chain(optional).collect()
}

fn timeout(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|why| format!("{why}: write it as 30s, 10m or 1h30m"))
}
