//! What became of a deployed version, told from how its service stands. Pure.

use crate::control::report::{RolloutStatus, ServiceStatus};

/// The rollout that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) service: String,
    pub(super) version: String,
    /// `None`: there is nothing to roll out.
    pub(super) number: Option<u64>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not decided yet.
    UnderWay,
    /// Users have it; the text is the last line.
    Promoted(String),
    /// They don't, and won't by themselves; the text says why, and what to do.
    GivenUp(String),
}

impl Target {
    /// What to wait for, by the answer to the deploy.
    pub(super) fn new(service: &ServiceStatus, version: &str) -> Self {
        let is_stable = service.stable.as_ref().is_some_and(|stable| stable.as_str() == version);
        let rollout = service.rollout.as_ref().filter(|rollout| rollout.canary.as_str() == version);
        let number = rollout.filter(|it| it.outcome.is_none() || !is_stable).map(|it| it.number);
        Self { service: service.name.to_string(), version: version.to_owned(), number }
    }

    /// How the rollout that is waited for stands.
    pub(super) fn fate(&self, status: &ServiceStatus) -> Fate {
        let Self { service, version, .. } = self;
        let is_stable = status.stable.as_ref().is_some_and(|stable| stable.as_str() == version);
        let own = status.rollout.as_ref().filter(|rollout| Some(rollout.number) == self.number);
        match own {
            Some(rollout) => self.end_of(rollout, status),
            // Nothing of its own to wait for, but what is under way may take its place.
            None if is_stable && self.number.is_none() && under_way(status) => Fate::UnderWay,
            None if is_stable => Fate::Promoted(format!("{service}: {version} is stable")),
            None => Fate::GivenUp(match &status.rollout {
                Some(other) => format!(
                    "{} is over, and {version} is not stable; rollout {} of {} followed. Next: adit status {service}",
                    self.name(),
                    other.number,
                    other.canary
                ),
                None => format!("{service} has no rollouts any more. Next: adit status {service}"),
            }),
        }
    }

    fn end_of(&self, rollout: &RolloutStatus, status: &ServiceStatus) -> Fate {
        let Self { service, version, .. } = self;
        let (reason, number) = (&rollout.reason, rollout.number);
        match rollout.outcome.as_deref() {
            None => Fate::UnderWay,
            Some("promoted") => {
                Fate::Promoted(format!("{service}: {version} is stable; {} promoted: {reason}", self.name()))
            }
            Some("aborted") => {
                let stable = status.stable.as_ref().unwrap_or(&rollout.stable);
                Fate::GivenUp(format!(
                    "{} was aborted: {reason}; {stable} has all traffic. Next: adit explain {service} {number}",
                    self.name()
                ))
            }
            Some(outcome) => {
                Fate::GivenUp(format!("{} was {outcome}: {reason}. Next: adit status {service}", self.name()))
            }
        }
    }

    /// The rollout in words.
    pub(super) fn name(&self) -> String {
        match self.number {
            Some(number) => format!("rollout {number} of {}", self.version),
            None => format!("the deploy of {}", self.version),
        }
    }
}

fn under_way(status: &ServiceStatus) -> bool {
    status.rollout.as_ref().is_some_and(|rollout| rollout.outcome.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Weight;

    fn rollout(number: u64, canary: &str, outcome: Option<&str>) -> RolloutStatus {
        RolloutStatus {
            number,
            stable: "v1".into(),
            canary: canary.into(),
            outcome: outcome.map(str::to_owned),
            reason: "canary is worse than stable".into(),
            step: 1,
            steps: 3,
            weight: Weight::ZERO,
            observed: None,
            verdict: None,
            harm: None,
            proof: None,
            next: None,
            checks: Vec::new(),
            started: String::new(),
            ended: None,
        }
    }

    fn status(stable: &str, rollout: Option<RolloutStatus>) -> ServiceStatus {
        ServiceStatus {
            name: "web".into(),
            stable: Some(stable.into()),
            canary: None,
            phase: "idle".into(),
            rollout,
            held: None,
            deploy: None,
            versions: Vec::new(),
        }
    }

    fn fate(number: Option<u64>, status: &ServiceStatus) -> Fate {
        Target { service: "web".into(), version: "v2".into(), number }.fate(status)
    }

    #[test]
    fn the_rollout_with_the_number_decides() {
        assert_eq!(fate(Some(3), &status("v1", Some(rollout(3, "v2", None)))), Fate::UnderWay);
        let promoted = fate(Some(3), &status("v2", Some(rollout(3, "v2", Some("promoted")))));
        assert!(matches!(&promoted, Fate::Promoted(text) if text.contains("rollout 3")), "{promoted:?}");
        for outcome in ["aborted", "superseded"] {
            let given_up = fate(Some(3), &status("v1", Some(rollout(3, "v2", Some(outcome)))));
            let Fate::GivenUp(text) = &given_up else { panic!("{given_up:?}") };
            assert!(text.contains(outcome) && text.contains("canary is worse"), "{text}");
        }
    }

    #[test]
    fn an_abort_says_what_explains_it() {
        let Fate::GivenUp(text) = fate(Some(3), &status("v1", Some(rollout(3, "v2", Some("aborted")))))
        else {
            panic!("not given up")
        };
        assert!(text.ends_with("adit explain web 3"), "{text}");
    }

    #[test]
    fn when_a_later_rollout_is_there_only_what_is_stable_tells() {
        let later = || Some(rollout(4, "v3", None));
        assert!(matches!(fate(Some(3), &status("v2", later())), Fate::Promoted(_)));
        assert!(matches!(fate(Some(3), &status("v1", later())), Fate::GivenUp(_)));
        assert!(matches!(fate(Some(3), &status("v1", None)), Fate::GivenUp(_)));
    }

    #[test]
    fn what_is_stable_already_needs_no_rollout() {
        for last in [None, Some(rollout(3, "v2", Some("promoted"))), Some(rollout(3, "v3", Some("aborted")))]
        {
            let status = status("v2", last);
            let target = Target::new(&status, "v2");
            assert_eq!(target.number, None, "{status:?}");
            assert!(matches!(target.fate(&status), Fate::Promoted(_)));
        }
        assert_eq!(Target::new(&status("v1", Some(rollout(3, "v2", None))), "v2").number, Some(3));
    }
    #[test]
    fn what_is_stable_while_another_rollout_is_under_way_is_not_decided_yet() {
        let undoing = status("v2", Some(rollout(4, "v1", None)));
        let target = Target::new(&undoing, "v2");
        assert_eq!(target.fate(&undoing), Fate::UnderWay);
        let ended = |stable, outcome| target.fate(&status(stable, Some(rollout(4, "v1", Some(outcome)))));
        assert!(matches!(ended("v2", "aborted"), Fate::Promoted(_)));
        assert!(matches!(ended("v1", "promoted"), Fate::GivenUp(_)));
    }
}
