//! The demo in words and numbers.

use super::release::{Progress, Release};
use crate::control::report::VersionStatus;
use crate::domain::rollout::Verdict;

/// What a change of which is worth a line.
pub(super) fn state(progress: &Progress<'_>) -> String {
    let rollout = progress.rollout;
    let phase = rollout.outcome.as_deref().unwrap_or(&progress.service.phase);
    format!("{phase}, step {} of {}, weight {}", rollout.step, rollout.steps, rollout.weight)
}

/// A release under way, in one line.
pub(super) fn line(progress: &Progress<'_>, state: &str) -> String {
    let (rollout, users) = (progress.rollout, progress.users);
    let verdict =
        rollout.verdict.as_ref().map(|verdict| format!("; {}", evidence(verdict))).unwrap_or_default();
    format!(
        "  {:5.1} s  {state}; users: {} of {} failed{verdict}",
        progress.since_edit.as_secs_f64(),
        grouped(users.failures),
        grouped(users.requests)
    )
}

/// A release under way, as a table.
pub(super) fn table(progress: &Progress<'_>) -> String {
    let (service, rollout, users) = (progress.service, progress.rollout, progress.users);
    let observed = rollout.observed.map(|share| format!(", observed {share:.1} %")).unwrap_or_default();
    let mut text = format!(
        "\n  {:5.1} s  {}{observed}\n\n  {:8} {:10} {:>8} {:>12} {:>8}\n",
        progress.since_edit.as_secs_f64(),
        state(progress),
        "version",
        "role",
        "weight",
        "requests",
        "failed"
    );
    for version in &service.versions {
        text.push_str(&row(version));
    }
    text.push_str(&format!(
        "  {:8} {:10} {:>8} {:>12} {:>8}\n",
        "users",
        "",
        "",
        grouped(users.requests),
        grouped(users.failures)
    ));
    let verdict = rollout.verdict.as_ref().map_or_else(none, judged);
    text.push_str(&format!("\n  verdict  {verdict}\n\n"));
    text
}

fn row(version: &VersionStatus) -> String {
    format!(
        "  {:8} {:10} {:>8} {:>12} {:>8}\n",
        version.name,
        version.role,
        version.weight.to_string(),
        grouped(version.requests),
        grouped(version.failures)
    )
}

/// A release that ended, as a list.
pub(super) fn facts(release: &Release) -> String {
    format!(
        "  steps    {}\n  time     {:.1} s from the edit to the end\n  canary   {} of {} requests failed{}\n  \
         users    {} of {} requests failed\n  verdict  {}\n",
        release.steps,
        release.took.as_secs_f64(),
        grouped(release.canary_failures),
        grouped(release.canary_requests),
        rescued(release.rescued),
        grouped(release.user_failures),
        grouped(release.user_requests),
        release.verdict.as_ref().map_or_else(none, judged),
    )
}

/// What users did not have to see.
fn rescued(requests: u64) -> String {
    if requests == 0 { String::new() } else { format!("; {} rescued: answered by stable", grouped(requests)) }
}

/// A verdict with the numbers behind it: three lines, all but the first one indented.
fn judged(verdict: &Verdict) -> String {
    format!(
        "{:?}: {}\n           {}\n           failed: canary {} of {}, stable {} of {}",
        verdict.outcome,
        verdict.rule,
        evidence(verdict),
        grouped(verdict.canary_failures),
        grouped(verdict.canary_requests),
        grouped(verdict.stable_failures),
        grouped(verdict.stable_requests)
    )
}

fn none() -> String {
    "none yet".to_owned()
}

fn evidence(verdict: &Verdict) -> String {
    format!("evidence {} : 1, bound {:.0} : 1", odds(verdict.value), verdict.bound)
}

fn odds(value: f64) -> String {
    if value >= 1e6 { format!("{value:.0e}") } else { format!("{value:.1}") }
}

/// A count with a comma between thousands.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }

    #[test]
    fn a_verdict_fits_a_narrow_terminal() {
        let verdict = Verdict {
            outcome: crate::domain::rollout::Outcome::Inconclusive,
            rule: "errors: canary proven below 1.25 × stable + 1 %".to_owned(),
            value: 123_456.7,
            bound: 100.0,
            canary_requests: 12_345,
            canary_failures: 123,
            stable_requests: 123_456,
            stable_failures: 1_234,
            detail: Default::default(),
        };
        let text = format!("  verdict  {}", judged(&verdict));
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn great_odds_stay_short() {
        assert_eq!((odds(20.04), odds(1e12)), ("20.0".to_owned(), "1e12".to_owned()));
    }
}
