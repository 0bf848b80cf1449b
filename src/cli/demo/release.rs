//! One release, from the edit of the file to its end.

use std::time::Duration;

use super::error::DemoError;
use super::load::Seen;
use super::screen::Screen;
use super::stage::Stage;
use crate::control::report::{RolloutStatus, ServiceStatus};
use crate::domain::rollout::{Outcome, Verdict};

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// A release that ended, or that did not end in time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    /// Which version.
    pub(super) version: String,
    /// `promoted`, `aborted`, or `undecided` when it did not end in time.
    pub(super) outcome: String,
    /// Why, in the rollout's own words.
    pub(super) reason: String,
    /// Steps that it entered.
    pub(super) steps: usize,
    /// Requests that the new version was given.
    pub(super) canary_requests: u64,
    /// Those that it failed.
    pub(super) canary_failures: u64,
    /// Those that stable answered in its place.
    pub(super) rescued: u64,
    /// Requests that users sent meanwhile.
    pub(super) user_requests: u64,
    /// Those without a good answer.
    pub(super) user_failures: u64,
    /// From the edit of the file to the end.
    pub(super) took: Duration,
    /// The last verdict that rests on a comparison.
    pub(super) verdict: Option<Verdict>,
}

/// What a watcher sees of a release under way.
pub(super) struct Progress<'a> {
    pub(super) service: &'a ServiceStatus,
    pub(super) rollout: &'a RolloutStatus,
    pub(super) users: Seen,
    pub(super) since_edit: Duration,
}

/// Follows the release of a version until it ends or patience does.
pub(super) async fn follow(
    stage: &Stage,
    version: &str,
    patience: Duration,
    screen: &mut Screen,
) -> Result<Release, DemoError> {
    let (began, before) = (stage.clock().now(), stage.seen());
    let (mut verdict, mut steps) = (None, 0);
    loop {
        let service = stage.service().await?;
        let took = stage.clock().now() - began;
        let rollout = service.rollout.as_ref().filter(|rollout| rollout.canary.as_str() == version);
        if let Some(rollout) = rollout {
            steps = steps.max(rollout.step);
            verdict = telling(verdict, rollout.verdict.as_ref());
            let users = stage.seen().since(before);
            screen.progress(&Progress { service: &service, rollout, users, since_edit: took })?;
        }
        let outcome = rollout.and_then(|rollout| rollout.outcome.clone());
        if outcome.is_some() || took >= patience {
            let reason = rollout.map_or("no rollout began", |rollout| rollout.reason.as_str()).to_owned();
            let outcome = outcome.unwrap_or_else(|| "undecided".to_owned());
            let (service, users) = settled(stage, version).await?;
            let users = users.since(before);
            let canary = service.versions.iter().find(|known| known.name.as_str() == version);
            return Ok(Release {
                version: version.to_owned(),
                outcome,
                reason,
                steps,
                canary_requests: canary.map_or(0, |canary| canary.requests),
                canary_failures: canary.map_or(0, |canary| canary.failures),
                rescued: canary.map_or(0, |canary| canary.rescued),
                user_requests: users.requests,
                user_failures: users.failures,
                took,
                verdict,
            });
        }
        stage.clock().sleep_until(stage.clock().now() + LOOK).await;
    }
}

/// The verdict worth showing at the end: one that decided, resting on a comparison, if there was one.
fn telling(kept: Option<Verdict>, seen: Option<&Verdict>) -> Option<Verdict> {
    let weight = |verdict: &Verdict| match verdict.outcome {
        Outcome::Failed => 3,
        Outcome::Successful if verdict.stable_requests > 0 => 2,
        Outcome::Successful => 1,
        Outcome::Inconclusive | Outcome::Error => 0,
    };
    match (kept, seen) {
        (Some(kept), Some(seen)) if weight(seen) < weight(&kept) => Some(kept),
        (kept, seen) => seen.cloned().or(kept),
    }
}

/// How things stand once a version without traffic has ended its last request; at once for one that has traffic.
async fn settled(stage: &Stage, version: &str) -> Result<(ServiceStatus, Seen), DemoError> {
    loop {
        let service = stage.service().await?;
        let busy = service.versions.iter().any(|known| {
            known.name.as_str() == version
                && known.weight.parts() == 0
                && known.endpoints.iter().any(|endpoint| endpoint.in_flight > 0)
        });
        if !busy {
            return Ok((service, stage.seen()));
        }
        stage.clock().sleep_until(stage.clock().now() + LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: Outcome, stable_requests: u64) -> Verdict {
        Verdict {
            outcome,
            rule: String::new(),
            value: 1.0,
            bound: 20.0,
            canary_requests: 10,
            canary_failures: 0,
            stable_requests,
            stable_failures: 0,
            detail: Default::default(),
        }
    }

    #[test]
    fn the_verdict_shown_is_the_last_that_decided_by_a_comparison() {
        let compared = verdict(Outcome::Successful, 100);
        let later = Verdict { value: 30.0, ..compared.clone() };
        let alone = verdict(Outcome::Successful, 0);
        let undecided = verdict(Outcome::Inconclusive, 100);
        let failed = verdict(Outcome::Failed, 100);
        let told = |seen: &[&Verdict]| seen.iter().fold(None, |kept, seen| telling(kept, Some(seen)));
        assert_eq!(told(&[&undecided, &compared, &undecided]).as_ref(), Some(&compared));
        assert_eq!(told(&[&compared, &later, &alone]).as_ref(), Some(&later));
        assert_eq!(told(&[&undecided, &failed]).as_ref(), Some(&failed));
        assert_eq!(telling(Some(failed.clone()), None), Some(failed));
    }
}
