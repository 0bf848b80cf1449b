//! What the data plane counted in one rollout, read and handed to the judge.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::rollout::{Assessment, Judge, Plan, SplitMode, StepChange};
use crate::domain::routing::Affinity;
use crate::domain::stats::{Epoch, EpochCounts, FailedRequest, SAMPLES, Sampling};
use crate::domain::{Timestamp, Weight};

/// Epochs that late outcomes can still be booked to; older ones are let go.
const EPOCHS_KEPT: usize = 8;

/// One rollout's evidence.
pub(crate) struct Evidence {
    judge: Judge,
    sticky: bool,
    workers: usize,
    epochs: VecDeque<(Arc<Epoch>, EpochCounts)>,
    numbers: u32,
    last: Option<Assessment>,
    /// Samples of failed requests that were handed out.
    sampled: usize,
}

impl Evidence {
    /// Nothing counted yet.
    pub(crate) fn new(plan: &Plan, affinity: &Affinity, workers: usize, now: Timestamp) -> Self {
        let sticky = *affinity != Affinity::None;
        let split = if sticky { SplitMode::Realised } else { SplitMode::Independent };
        let judge = Judge::new(&plan.analysis, split, now);
        Self { judge, sticky, workers, epochs: VecDeque::new(), numbers: 0, last: None, sampled: 0 }
    }

    /// From now on requests are routed with this weight.
    pub(crate) fn open(&mut self, weight: Weight, step: StepChange, now: Timestamp) {
        self.gather(now);
        self.numbers += 1;
        let sampling = if self.sticky { Sampling::once_per_minute() } else { Sampling::Every };
        let epoch = Epoch::new(self.numbers, weight, sampling, self.workers);
        self.judge.open_epoch(self.numbers, weight, step, now);
        self.epochs.push_back((Arc::new(epoch), EpochCounts::default()));
        if self.epochs.len() > EPOCHS_KEPT {
            self.epochs.pop_front();
        }
    }

    /// The epoch that requests are routed in now.
    pub(crate) fn current(&self) -> Option<Arc<Epoch>> {
        self.epochs.back().map(|(epoch, _)| epoch.clone())
    }

    /// Reads the counters and feeds the judge what came since the last reading.
    pub(crate) fn gather(&mut self, now: Timestamp) {
        for (epoch, seen) in &mut self.epochs {
            let counts = epoch.counts();
            if counts != *seen {
                self.judge.feed(epoch.number, counts.since(*seen), now);
                *seen = counts;
            }
        }
        self.judge.tick(now);
    }

    /// Failed requests of the canary to be written down: half of the room that is left, so that the step that ends
    /// the rollout has some too, or all of it if it `ends`.
    pub(crate) fn samples(&mut self, ends: bool) -> Vec<FailedRequest> {
        let left = SAMPLES.saturating_sub(self.sampled);
        let mut room = if ends { left } else { left / 2 };
        let mut taken = Vec::new();
        // The newest epoch first: what it saw is what was decided on.
        for (epoch, _) in self.epochs.iter().rev() {
            let some = epoch.samples.take(room);
            room -= some.len();
            taken.extend(some);
        }
        taken.sort_by_key(|sample| sample.at);
        self.sampled += taken.len();
        taken
    }

    /// What was counted since the step began, as far as it has been read.
    pub(crate) fn step(&self) -> EpochCounts {
        self.last.map_or_else(EpochCounts::default, |assessment| assessment.step)
    }

    /// What the judge made of it last.
    pub(crate) fn last(&self) -> Option<&Assessment> {
        self.last.as_ref()
    }

    /// What the judge makes of it.
    pub(crate) fn assess(&mut self, now: Timestamp) -> Assessment {
        let assessment = self.judge.assess(now);
        self.last = Some(assessment);
        assessment
    }
}

/// The canary's share of the requests that were routed in the step, in percent; `None` before the first.
pub(crate) fn observed(step: &EpochCounts) -> Option<f64> {
    let all = step.canary.routed + step.stable.routed;
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
    (all > 0).then(|| 100.0 * step.canary.routed as f64 / all as f64)
}
