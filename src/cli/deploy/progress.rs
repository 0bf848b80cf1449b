//! How a rollout that is waited for goes on: a bar on a terminal, a line for each change elsewhere.

use std::time::Duration;

use super::super::grid::{Cell, Look, Tint};
use super::super::{print, view, words};
use crate::control::report::{RolloutStatus, ServiceStatus};
use crate::domain::Timestamp;

/// Without a change, one line in so long: many a CI system ends what is silent for too long.
const QUIET: Duration = Duration::from_secs(60);
/// Cells of the bar.
const CELLS: usize = 12;
/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 79;
/// Back to the start of the line, and nothing left of what was there (ECMA-48: CR, EL).
const AGAIN: &str = "\r\x1b[2K";

/// Where progress is shown.
pub(super) struct Progress {
    manner: Manner,
}

enum Manner {
    /// Drawn over itself; whether there is one now.
    Bar { look: Look, drawn: bool },
    /// What the last one was about, and when.
    Lines { to: To, last: Option<(Change, Timestamp)> },
}

#[derive(Clone, Copy)]
enum To {
    Stdout,
    Stderr,
}

/// What makes a new line worth it. Counts alone don't.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    phase: String,
    step: usize,
    weight: String,
    verdict: String,
}

impl Progress {
    /// On standard output, as it can take it.
    pub(super) fn on_stdout() -> Self {
        let look = Look::of_stdout();
        let manner = if look.terminal {
            Manner::Bar { look, drawn: false }
        } else {
            Manner::Lines { to: To::Stdout, last: None }
        };
        Self { manner }
    }

    /// Beside standard output, which belongs to a document.
    pub(super) fn beside_json() -> Self {
        Self { manner: Manner::Lines { to: To::Stderr, last: None } }
    }

    /// Shows how it goes. A reader that went away does not end the waiting: the exit code still tells.
    pub(super) fn show(&mut self, service: &ServiceStatus, now: Timestamp) {
        let Some(rollout) = &service.rollout else { return };
        match &mut self.manner {
            Manner::Bar { look, drawn } => {
                *drawn = true;
                drop(print::out(&format!("{AGAIN}{}", bar(service, rollout, *look))));
            }
            Manner::Lines { to, last } => {
                let change = Change::of(service, rollout);
                let known = last.as_ref().is_some_and(|(before, at)| *before == change && now - *at < QUIET);
                if !known {
                    *last = Some((change, now));
                    say(*to, &line(service, rollout));
                }
            }
        }
    }

    /// Says something that is no progress, on a line of its own.
    pub(super) fn note(&mut self, text: &str) {
        self.settle();
        print::err(&format!("adit: {text}"));
    }

    /// The last line.
    pub(super) fn close(&mut self, text: &str) {
        self.settle();
        match &self.manner {
            Manner::Bar { .. } => say(To::Stdout, text),
            Manner::Lines { to, .. } => say(*to, text),
        }
    }

    /// Leaves the bar where it is, so that what follows does not overwrite it.
    fn settle(&mut self) {
        if let Manner::Bar { drawn, .. } = &mut self.manner
            && std::mem::take(drawn)
        {
            drop(print::out("\n"));
        }
    }
}

impl Change {
    fn of(service: &ServiceStatus, rollout: &RolloutStatus) -> Self {
        Self {
            phase: service.phase.clone(),
            step: rollout.step,
            weight: rollout.weight.to_string(),
            verdict: outcome(rollout),
        }
    }
}

fn say(to: To, text: &str) {
    let text = Cell::plain(text);
    match to {
        To::Stdout => drop(print::out(&format!("{}\n", text.text()))),
        To::Stderr => print::err(text.text()),
    }
}

/// `web: v2 has 25 %; stepping, step 3 of 5; Inconclusive; failed: canary 2 of 4,100, stable 3 of 12,345`.
fn line(service: &ServiceStatus, rollout: &RolloutStatus) -> String {
    let mut parts =
        vec![format!("{}: {} has {}", service.name, rollout.canary, rollout.weight), view::phase(service)];
    if matches!(service.phase.as_str(), "waiting" | "paused") {
        parts.push(rollout.reason.clone());
        parts.extend(rollout.next.clone());
    }
    if let Some(verdict) = rollout.verdict.as_ref().filter(|verdict| verdict.canary_requests > 0) {
        parts.extend([outcome(rollout), view::counts(verdict)]);
    }
    parts.join("; ")
}

fn bar(service: &ServiceStatus, rollout: &RolloutStatus, look: Look) -> String {
    let percent = rollout.weight.percent().clamp(0.0, 100.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 12 cells of a bar for people"
    )]
    let full = (percent / 100.0 * CELLS as f64).round() as usize;
    let tint = if service.phase == "paused" { Tint::Warning } else { Tint::Good };
    let filled = Cell::new("#".repeat(full), tint).painted(look);
    let room = look.width.unwrap_or(COLUMNS).saturating_sub(CELLS + 3);
    let text: String = Cell::plain(beside(service, rollout)).text().chars().take(room).collect();
    format!("[{filled}{}] {text}", "-".repeat(CELLS - full))
}

/// What fits beside a bar, the most important first: `v2 25 %, stepping, step 3 of 5; failed 2 of 4,100; Inconclusive`.
fn beside(service: &ServiceStatus, rollout: &RolloutStatus) -> String {
    let mut text = format!("{} {}, {}", rollout.canary, rollout.weight, view::phase(service));
    if matches!(service.phase.as_str(), "waiting" | "paused") {
        text.push_str(&format!(": {}", rollout.reason));
    }
    if let Some(verdict) = rollout.verdict.as_ref().filter(|verdict| verdict.canary_requests > 0) {
        let (failed, all) = (words::count(verdict.canary_failures), words::count(verdict.canary_requests));
        text.push_str(&format!("; failed {failed} of {all}; {}", outcome(rollout)));
    }
    text
}

/// The verdict so far, in a word; nothing before the first requests.
fn outcome(rollout: &RolloutStatus) -> String {
    let verdict = rollout.verdict.as_ref().filter(|verdict| verdict.canary_requests > 0);
    verdict.map(|verdict| format!("{:?}", verdict.outcome)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::grid::Colour;
    use super::*;
    use crate::domain::Weight;
    use crate::domain::rollout::{Outcome, Verdict};

    const PLAIN: Look = Look { width: None, colour: Colour::None, terminal: true };

    fn service(phase: &str, weight: f64) -> ServiceStatus {
        let verdict = Verdict {
            outcome: Outcome::Inconclusive,
            rule: String::new(),
            value: 0.4,
            bound: 100.0,
            canary_requests: 4_100,
            canary_failures: 2,
            stable_requests: 12_345,
            stable_failures: 3,
            detail: Box::default(),
        };
        let rollout = RolloutStatus {
            number: 4,
            stable: "v1".into(),
            canary: "v2".into(),
            outcome: None,
            reason: "undecided until max_time".into(),
            step: 3,
            steps: 5,
            weight: Weight::from_percent(weight).unwrap(),
            observed: None,
            verdict: Some(verdict),
            harm: None,
            proof: None,
            next: (phase == "paused").then(|| "`adit resume web` goes on".to_owned()),
            checks: Vec::new(),
            started: String::new(),
            ended: None,
        };
        ServiceStatus {
            name: "web".into(),
            stable: Some("v1".into()),
            canary: Some("v2".into()),
            phase: phase.into(),
            rollout: Some(rollout),
            held: None,
            deploy: None,
            versions: Vec::new(),
        }
    }

    fn shown(service: &ServiceStatus) -> String {
        line(service, service.rollout.as_ref().unwrap())
    }

    #[test]
    fn a_line_says_phase_step_weight_verdict_and_counts() {
        assert_eq!(
            shown(&service("stepping", 25.0)),
            "web: v2 has 25 %; stepping, step 3 of 5; Inconclusive; failed: canary 2 of 4,100, stable 3 of 12,345"
        );
    }

    #[test]
    fn a_pause_says_why_and_how_to_go_on() {
        let line = shown(&service("paused", 25.0));
        assert!(line.contains("undecided until max_time; `adit resume web` goes on"), "{line}");
    }

    #[test]
    fn the_bar_is_as_full_as_the_weight() {
        for (weight, expected) in [(0.0, 0), (25.0, 3), (50.0, 6), (100.0, 12)] {
            let service = service("stepping", weight);
            let bar = bar(&service, service.rollout.as_ref().unwrap(), PLAIN);
            assert_eq!(bar.matches('#').count(), expected, "{bar}");
            assert!(
                bar.chars().count() <= COLUMNS && bar.ends_with("failed 2 of 4,100; Inconclusive"),
                "{bar}"
            );
        }
    }

    #[test]
    fn requests_alone_are_no_change() {
        let one = service("stepping", 25.0);
        let mut two = one.clone();
        if let Some(verdict) = two.rollout.as_mut().and_then(|rollout| rollout.verdict.as_mut()) {
            verdict.canary_requests += 1;
        }
        let change = |service: &ServiceStatus| Change::of(service, service.rollout.as_ref().unwrap());
        assert_eq!(change(&one), change(&two));
        assert_ne!(change(&one), change(&service("paused", 25.0)));
        assert_ne!(change(&one), change(&service("stepping", 50.0)));
    }
}
