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
        rollout.verdict.as_ref().map(|verdict| format!("; {}", judged(verdict))).unwrap_or_default();
    format!(
        "  {:5.1} s  {state}; users: {} requests, {} failed{verdict}",
        progress.since_edit.as_secs_f64(),
        grouped(users.requests),
        grouped(users.failures)
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
    let verdict = rollout.verdict.as_ref().map_or_else(|| "no evidence yet".to_owned(), judged);
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
    let verdict = release.verdict.as_ref().map_or_else(|| "none".to_owned(), judged);
    format!(
        "  steps          {}\n  time           {:.1} s from the edit to the end\n  canary         {} requests, \
         {} failed\n  users          {} requests, {} failed\n  verdict        {verdict}\n",
        release.steps,
        release.took.as_secs_f64(),
        grouped(release.canary_requests),
        grouped(release.canary_failures),
        grouped(release.user_requests),
        grouped(release.user_failures),
    )
}

/// A verdict with the numbers behind it.
fn judged(verdict: &Verdict) -> String {
    let rate = |failed, of| format!("{} of {} failed", grouped(failed), grouped(of));
    format!(
        "{:?}: {} (evidence {} : 1, bound {:.0} : 1; canary {}, stable {})",
        verdict.outcome,
        verdict.rule,
        odds(verdict.value),
        verdict.bound,
        rate(verdict.canary_failures, verdict.canary_requests),
        rate(verdict.stable_failures, verdict.stable_requests),
    )
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
    fn great_odds_stay_short() {
        assert_eq!((odds(20.04), odds(1e12)), ("20.0".to_owned(), "1e12".to_owned()));
    }
}
