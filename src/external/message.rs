//! What a hook is sent.

use serde::{Deserialize, Serialize};

use crate::domain::rollout::{End, HookPoint, Rollout, Transition, Verdict};
use crate::domain::{ServiceName, Timestamp, VersionName, Weight};

/// The JSON of a hook's POST. A contract: add, never rename.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What happens, or happened: `start` | `step` | `promote` | `abort` | `done`.
    pub event: HookPoint,
    /// Which service.
    pub service: ServiceName,
    /// The rollout's number; counts up per service from 1.
    pub rollout: u64,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
    /// How the rollout ended: `promoted` | `aborted` | `superseded`; `None` while it is under way.
    pub outcome: Option<End>,
    /// The current (or last) step from 1; 0 before the first.
    pub step: usize,
    /// How many steps the plan has.
    pub steps: usize,
    /// The canary's share, in percent.
    pub weight: Weight,
    /// What it gets when the rollout goes on, in percent; `None` when nothing waits for the answer.
    pub next_weight: Option<Weight>,
    /// Why the rollout stands where it does, in words.
    pub reason: String,
    /// The verdict so far, or the one that decided.
    pub verdict: Option<Verdict>,
    /// When (RFC 3339).
    pub at: String,
    /// The version of Adit that says so.
    pub adit: String,
}

impl Message {
    /// The question whether a rollout may go on.
    pub fn before(
        point: HookPoint,
        service: &ServiceName,
        rollout: &Rollout,
        verdict: Option<&Verdict>,
        at: Timestamp,
    ) -> Self {
        let next = match point {
            HookPoint::Start | HookPoint::Step => {
                rollout.plan.steps.get(rollout.step()).map_or(Weight::FULL, |step| step.weight)
            }
            HookPoint::Promote | HookPoint::Abort | HookPoint::Done => Weight::FULL,
        };
        Self {
            event: point,
            service: service.clone(),
            rollout: rollout.number,
            stable: rollout.stable.clone(),
            canary: rollout.canary.clone(),
            outcome: None,
            step: rollout.step(),
            steps: rollout.plan.steps.len(),
            weight: rollout.weight_now(),
            next_weight: point.gates().then_some(next),
            reason: rollout.reason.to_string(),
            verdict: verdict.or(rollout.verdict.as_ref()).cloned(),
            at: at.to_string(),
            adit: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The news of an end. `rollout` is as it was before `transition` ended it; `None` when `transition` ends nothing.
    pub fn after(
        point: HookPoint,
        service: &ServiceName,
        rollout: &Rollout,
        transition: &Transition,
    ) -> Option<Self> {
        let end = transition.to.end()?;
        let before = Self::before(point, service, rollout, transition.verdict.as_ref(), transition.at);
        Some(Self {
            outcome: Some(end),
            weight: transition.weight,
            next_weight: None,
            step: transition.step,
            reason: transition.reason.to_string(),
            ..before
        })
    }
}
