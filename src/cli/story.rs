//! How a rollout's story looks to people. Pure: the story goes in, text comes out.

use super::grid::{Align, Cell, Grid, Look, Tint, labelled};
use super::history::because;
use super::words::{count, duration, moment, odds};
use crate::control::journal::{RolloutStory, RolloutSummary, Sample, Told};
use crate::control::report::ServiceStatus;
use crate::domain::rollout::{Outcome, Verdict};

/// The whole story; `now`: how the service stands, for a rollout under way.
pub(super) fn render(story: &RolloutStory, now: Option<&ServiceStatus>, look: Look) -> String {
    let mut out = headline(&story.rollout, look);
    out.push('\n');
    if story.left_out > 0 {
        let events = count(u64::try_from(story.left_out).unwrap_or(u64::MAX));
        let text = format!("the first {events} events are left out; `GET /v1/events?after=0` has them all");
        out.push_str(&labelled("note", Tint::Warning, &text, look));
    }
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
        ("TIME (UTC)", Align::Left),
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
        let time =
            if today == day { clock(&told.at).to_owned() } else { format!("{today} {}", clock(&told.at)) };
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
    let time = format!("{} UTC", clock(&told.at));
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
        _ if verdict.is_of_check() => format!("{}, bound {}", verdict.value, verdict.bound),
        Outcome::Failed => {
            format!("odds of {value} that this is broken; from {bound} on it counts as proven")
        }
        Outcome::Successful if verdict.value < verdict.bound => {
            format!("odds of {value} that this is broken; from {bound} on it would count as proven")
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
    if let Some(slow) = verdict.slow() {
        out.push_str(&labelled("slow", Tint::Faint, &slow, look));
    }
    if !verdict.detail.kinds.is_empty() {
        out.push_str(&labelled("kinds", Tint::Faint, &verdict.failures(), look));
    }
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
        ("TIME (UTC)", Align::Left),
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
            Cell::plain(clock(&sample.at)),
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

/// `2024-05-01T10:00:00.123Z` as `10:00:00.123`: what happens in one second has an order too.
fn clock(rfc3339: &str) -> &str {
    rfc3339.split_once('T').map_or(rfc3339, |(_day, time)| time.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::super::grid::Colour;
    use super::*;
    use crate::control::journal::Change;

    const PLAIN: Look = Look { width: None, colour: Colour::None, terminal: false };

    fn told(id: u64, at: &str, to: &str, step: u64, weight: f64, text: &str) -> Told {
        Told {
            id,
            at: at.into(),
            kind: "transition".into(),
            text: text.into(),
            change: Some(Change { from: String::new(), to: to.into(), step, weight }),
            verdict: None,
            who: None,
            why: None,
            raw: None,
        }
    }

    fn story() -> RolloutStory {
        let verdict = Verdict {
            detail: Box::default(),
            outcome: Outcome::Failed,
            rule: "errors: canary at most 1.1 × stable + 0.02 %".into(),
            value: 781.2,
            bound: 100.0,
            canary_requests: 3,
            canary_failures: 3,
            stable_requests: 88,
            stable_failures: 0,
        };
        let aborted = told(2, "2024-05-02T00:00:01.250Z", "aborted", 1, 0.0, "canary is worse than stable");
        RolloutStory {
            rollout: RolloutSummary {
                service: "web".into(),
                number: 3,
                stable: "v1".into(),
                canary: "v2".into(),
                started: "2024-05-01T23:59:59.000Z".into(),
                ended: Some("2024-05-02T00:00:01.250Z".into()),
                outcome: Some("aborted".into()),
                phase: "aborted".into(),
                reason: "canary is worse than stable".into(),
                step: 1,
                steps: Some(3),
                who: None,
                why: None,
            },
            left_out: 0,
            timeline: vec![
                told(1, "2024-05-01T23:59:59.000Z", "stepping", 1, 12.5, "canary is ready"),
                Told { verdict: Some(verdict), ..aborted },
            ],
            samples: vec![Sample {
                at: "2024-05-02T00:00:01.100Z".into(),
                method: "GET".into(),
                path: "/cart\u{1b}[2J".into(),
                status: None,
                error: Some("connection_refused".into()),
                duration_ms: 0.75,
                request_id: "4bf92f".into(),
                trace_id: None,
                endpoint: Some("127.0.0.1:9002".into()),
            }],
        }
    }

    #[test]
    fn a_story_reads_from_top_to_bottom() {
        let expected = "\
web, rollout 3, v1 to v2: aborted after 2.2 s, at step 1 of 3: canary is worse than stable

  TIME (UTC)               PHASE     STEP  WEIGHT  WHAT
  2024-05-01 23:59:59.000  stepping     1  12.5 %  canary is ready
  2024-05-02 00:00:01.250  aborted      1     0 %  canary is worse than stable

The verdict at 00:00:01.250 UTC, which led to aborted
  verdict  Failed
  rule     errors: canary at most 1.1 × stable + 0.02 %
  measured odds of 781 : 1 that this is broken; from 100 : 1 on it counts as proven
  counted  canary 3 of 3 requests failed, stable 0 of 88

A request that the canary failed
  TIME (UTC)    METHOD  PATH       ANSWER                TOOK  ENDPOINT        REQUEST
  00:00:01.100  GET     /cart\u{fffd}[2J  connection_refused  0.8 ms  127.0.0.1:9002  4bf92f
";
        assert_eq!(render(&story(), None, PLAIN), expected);
    }

    #[test]
    fn a_command_that_was_carried_out_is_told_once_and_one_that_was_refused_is_told_too() {
        let mut story = story();
        let by_ada = |told: Told| Told { who: Some("ada".into()), why: Some("it smells".into()), ..told };
        let at = "2024-05-02T00:00:02.000Z";
        let command =
            |id, text: &str| Told { kind: "command".into(), change: None, ..told(id, at, "", 0, 0.0, text) };
        story.timeline = vec![
            by_ada(command(3, "pause: refused: no")),
            by_ada(command(4, "abort: done")),
            by_ada(told(5, at, "aborted", 1, 0.0, "operator: abort")),
        ];
        let shown = render(&story, None, PLAIN);
        assert!(shown.contains("pause: refused: no: it smells"), "{shown}");
        assert!(shown.contains("operator: abort: it smells") && !shown.contains("abort: done"), "{shown}");
    }
}
