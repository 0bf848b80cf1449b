//! `adit history`: what was released, and what became of it.

use super::client::{Client, Failure};
use super::exit::Exit;
use super::grid::{Align, Cell, Grid, Look, Tint};
use super::words::{duration, moment};
use super::{print, reach, tell};
use crate::control::journal::{RolloutPage, RolloutSummary};

/// Show all rollouts, newest first: from which version to which, how each ended, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit history web --limit 5\n\nThe whole story of one: adit explain web 3")]
pub(super) struct Args {
    /// Only this service, also when it is no longer configured
    service: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those with a lower number (needs SERVICE)
    #[arg(long, value_name = "N", requires = "service")]
    before: Option<u64>,
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
    let rollouts = match &args.service {
        Some(service) => format!("{}/rollouts", tell::service_path(service)),
        None => "/v1/rollouts".to_owned(),
    };
    let before = args.before.map(|before| format!("&before={before}")).unwrap_or_default();
    let body = client.get(&format!("{rollouts}?limit={}{before}", args.limit))?;
    if args.json {
        return Ok(print::document(&body));
    }
    Ok(render(&client.read(&body)?, args.service.as_deref(), look))
}

fn render(page: &RolloutPage, service: Option<&str>, look: Look) -> String {
    if page.rollouts.is_empty() {
        return "no rollouts yet; the first starts when another version is wanted than users have\n"
            .to_owned();
    }
    let mut grid = Grid::new(&[
        ("SERVICE", Align::Left),
        ("NO", Align::Right),
        ("STARTED", Align::Left),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("OUTCOME", Align::Left),
        ("STEP", Align::Left),
        ("TOOK", Align::Right),
        ("WHY", Align::Left),
    ]);
    for rollout in &page.rollouts {
        grid.push([
            Cell::plain(if service.is_some() { "" } else { rollout.service.as_str() }),
            Cell::plain(rollout.number.to_string()),
            Cell::plain(moment(&rollout.started)),
            Cell::plain(rollout.stable.as_str()),
            Cell::plain(rollout.canary.as_str()),
            outcome(rollout),
            Cell::plain(step(rollout)),
            Cell::plain(
                rollout
                    .ended
                    .as_deref()
                    .and_then(|ended| duration(&rollout.started, ended))
                    .unwrap_or_default(),
            ),
            Cell::plain(because(rollout)),
        ]);
    }
    let mut out = grid.render(look);
    if let (Some(next), Some(service)) = (page.next, service) {
        out.push_str(&format!("\nolder ones: adit history {service} --before {next}\n"));
    }
    out
}

/// How it ended, or what it does.
fn outcome(rollout: &RolloutSummary) -> Cell {
    let word = rollout.outcome.as_deref().unwrap_or(&rollout.phase);
    let tint = match word {
        "promoted" => Tint::Good,
        "aborted" => Tint::Bad,
        "paused" => Tint::Warning,
        _ => Tint::Plain,
    };
    Cell::new(word, tint)
}

fn step(rollout: &RolloutSummary) -> String {
    match rollout.steps {
        Some(steps) => format!("{} of {steps}", rollout.step),
        None => rollout.step.to_string(),
    }
}

/// Why it ended so: Adit's reason, and whose doing it was.
pub(super) fn because(rollout: &RolloutSummary) -> String {
    match (&rollout.who, &rollout.why) {
        (Some(who), Some(why)) => format!("{} by {who}: {why}", rollout.reason),
        (Some(who), None) => format!("{} by {who}", rollout.reason),
        (None, _) => rollout.reason.clone(),
    }
}
