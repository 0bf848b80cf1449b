//! How a rollout's story looks to people. Pure: the story goes in, text comes out.

use super::grid::{Align, Cell, Grid, Look, Tint, labelled};
use super::history::because;
use super::view::{count, duration, moment, odds, time_of_day};
use crate::control::journal::{RolloutStory, RolloutSummary, Sample, Told};
use crate::control::report::ServiceStatus;
use crate::domain::rollout::{Outcome, Verdict};

/// The whole story; `now`: how the service stands, for a rollout under way.
pub(super) fn render(story: &RolloutStory, now: Option<&ServiceStatus>, look: Look) -> String {
    let mut out = headline(&story.rollout, look);
    out.push('\n');
    out.push_str(&timeline(story).render(look));
    for told in &story.timeline {
        if let Some(verdict) = &told.verdict {
            out.push('\n');
            out.push_str(&judged(told, verdict, look));
        }
    }
    let rollout = now.and_then(|service| service.rollout.as_ref());
    if let Some(verdict) = rollout
        .filter(|rollout| rollout.number == story.rollout.number && rollout.outcome.is_none())
        .and_then(|rollout| rollout.verdict.as_ref())
    {
        out.push_str("\nThe verdict so far\n");
        out.push_str(&numbers(verdict, look));
    }
    out.push_str(&samples(&story.samples, look));
    out
}

/// What happened and why, in one sentence.
fn headline(rollout: &RolloutSummary, look: Look) -> String {
    let RolloutSummary { service, number, stable, canary, .. } = rollout;
    let name = Cell::new(format!("{service}, rollout {number}, {stable} to {canary}"), Tint::Strong);
    let became = match (rollout.outcome.as_deref(), &rollout.ended) {
        (Some(outcome), Some(ended)) => {
            let took =
                duration(&rollout.started, ended).map(|took| format!(" after {took}")).unwrap_or_default();
            format!("{outcome}{took}{}", at_step(rollout))
        }
        _ => format!("{}{}, since {}", rollout.phase, at_step(rollout), moment(&rollout.started)),
    };
    format!(
        "{}: {}: {}\n",
        name.painted(look),
        Cell::plain(became).text(),
        Cell::plain(because(rollout)).text()
    )
}

fn at_step(rollout: &RolloutSummary) -> String {
    match (rollout.step, rollout.steps) {
        (0, _) => ", before the first step".to_owned(),
        (step, Some(steps)) => format!(", at step {step} of {steps}"),
        (step, None) => format!(", at step {step}"),
    }
}

fn timeline(story: &RolloutStory) -> Grid {
    let mut grid = Grid::new(&[
        ("TIME", Align::Left),
        ("PHASE", Align::Left),
        ("STEP", Align::Right),
        ("WEIGHT", Align::Right),
        ("WHO", Align::Left),
        ("WHAT", Align::Left),
    ]);
    let shown = story.timeline.iter().filter(|told| !carried_out(told, story));
    let mut day = "";
    for told in shown {
        // The day is said once, and again when it is another one.
        let today = told.at.split('T').next().unwrap_or_default();
        let time = if today == day { time_of_day(&told.at) } else { moment(&told.at) };
        day = today;
        let change = told.change.as_ref();
        let tint = match change.map(|change| change.to.as_str()) {
            Some("promoted") => Tint::Good,
            Some("aborted") => Tint::Bad,
            Some("paused") => Tint::Warning,
            Some(_) | None => Tint::Plain,
        };
        grid.push([
            Cell::plain(time),
            Cell::new(change.map_or(told.kind.as_str(), |change| change.to.as_str()), tint),
            Cell::plain(change.map(|change| change.step.to_string()).unwrap_or_default()),
            Cell::plain(change.map(|change| format!("{} %", change.weight)).unwrap_or_default()),
            Cell::plain(told.who.as_deref().unwrap_or_default()),
            Cell::plain(match &told.why {
                Some(why) => format!("{}: {why}", told.text),
                None => told.text.clone(),
            }),
        ]);
    }
    grid
}

/// A command that led to a change is told by the change.
fn carried_out(command: &Told, story: &RolloutStory) -> bool {
    let mut later = story.timeline.iter().filter(|told| told.id > command.id);
    command.kind == "command"
        && command.text.ends_with(": done")
        && later.any(|told| told.change.is_some() && told.at == command.at && told.who == command.who)
}

fn judged(told: &Told, verdict: &Verdict, look: Look) -> String {
    let time = time_of_day(&told.at);
    let head = match &told.change {
        Some(change) => format!("The verdict at {time}, which led to {}", change.to),
        None => format!("The verdict at {time}"),
    };
    format!("{}\n{}", Cell::plain(head).text(), numbers(verdict, look))
}

/// What was measured, by which rule, against which bound.
fn numbers(verdict: &Verdict, look: Look) -> String {
    let (value, bound) = (odds(verdict.value), odds(verdict.bound));
    let measured = match verdict.outcome {
        Outcome::Failed => {
            format!("odds of {value} that this is broken; from {bound} on it counts as proven")
        }
        Outcome::Successful => {
            format!("odds of {value} that this holds; from {bound} on it counts as proven")
        }
        Outcome::Inconclusive => format!("odds of {value}; it takes {bound} to decide"),
        Outcome::Error => format!("nothing that could be judged; it takes odds of {bound} to decide"),
    };
    let tint = match verdict.outcome {
        Outcome::Successful => Tint::Good,
        Outcome::Failed => Tint::Bad,
        Outcome::Inconclusive => Tint::Faint,
        Outcome::Error => Tint::Warning,
    };
    let mut out = labelled("verdict", tint, &format!("{:?}", verdict.outcome), look);
    out.push_str(&labelled("rule", Tint::Faint, &verdict.rule, look));
    out.push_str(&labelled("measured", Tint::Faint, &measured, look));
    out.push_str(&labelled("counted", Tint::Faint, &counts(verdict), look));
    out
}

fn counts(verdict: &Verdict) -> String {
    format!(
        "canary {} of {} requests failed, stable {} of {}",
        count(verdict.canary_failures),
        count(verdict.canary_requests),
        count(verdict.stable_failures),
        count(verdict.stable_requests)
    )
}

fn samples(samples: &[Sample], look: Look) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new(&[
        ("TIME", Align::Left),
        ("METHOD", Align::Left),
        ("PATH", Align::Left),
        ("ANSWER", Align::Left),
        ("TOOK", Align::Right),
        ("ENDPOINT", Align::Left),
        ("REQUEST", Align::Left),
        ("TRACE", Align::Left),
    ]);
    for sample in samples {
        grid.push([
            Cell::plain(time_of_day(&sample.at)),
            Cell::plain(&sample.method),
            Cell::plain(&sample.path),
            Cell::plain(answer(sample)),
            Cell::plain(format!("{:.1} ms", sample.duration_ms)),
            Cell::plain(sample.endpoint.as_deref().unwrap_or("none")),
            Cell::plain(&sample.request_id),
            Cell::plain(sample.trace_id.as_deref().unwrap_or_default()),
        ]);
    }
    let head = match samples.len() {
        1 => "A request that the canary failed".to_owned(),
        some => format!("{some} requests that the canary failed"),
    };
    format!("\n{head}\n{}", grid.render(look))
}

/// What came back: the status, and the error if the status does not say it all.
fn answer(sample: &Sample) -> String {
    match (sample.status, sample.error.as_deref()) {
        (Some(status), None | Some("http_server_error")) => status.to_string(),
        (Some(status), Some(error)) => format!("{status}, {error}"),
        (None, Some(error)) => error.to_owned(),
        (None, None) => "none".to_owned(),
    }
}
