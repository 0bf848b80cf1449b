//! What is proven in a step: that the canary is no worse than a margin allows, for one kind of event.

use std::collections::VecDeque;

use super::EPOCHS;
use crate::domain::Weight;
use crate::domain::stats::{EpochCounts, Margin, PROMOTION_BETS, promotion_evidence, promotion_total};

/// The evidence for leaving the current step.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    margin: Margin,
    /// Which step, counted from 1.
    step: u32,
    /// From epochs of the step that are not kept any more, per bet.
    folded: [f64; PROMOTION_BETS],
    /// In step with the judge's.
    epochs: VecDeque<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    step: u32,
    weight: Weight,
    counts: EpochCounts,
}

impl Proof {
    pub(super) fn new(margin: Margin) -> Self {
        Self { margin, step: 0, folded: [0.0; PROMOTION_BETS], epochs: VecDeque::with_capacity(EPOCHS) }
    }

    /// An epoch of step `step` begins.
    pub(super) fn open(&mut self, step: u32, weight: Weight) {
        if self.step != step {
            self.step = step;
            self.folded = [0.0; PROMOTION_BETS];
        }
        if self.epochs.len() == EPOCHS
            && let Some(oldest) = self.epochs.pop_front()
        {
            self.folded = self.with(self.folded, &oldest);
        }
        self.epochs.push_back(Part { step, weight, counts: EpochCounts::default() });
    }

    /// What came in the epoch with this index.
    pub(super) fn feed(&mut self, index: usize, increment: EpochCounts) {
        if let Some(part) = self.epochs.get_mut(index) {
            part.counts = part.counts.plus(increment);
        }
    }

    /// ln of the e-value against "worse than the margin", of this step.
    pub(super) fn log_e(&self) -> f64 {
        promotion_total(self.epochs.iter().fold(self.folded, |sum, part| self.with(sum, part)))
    }

    /// Adds an epoch's evidence; none if it is another step's.
    fn with(&self, mut sum: [f64; PROMOTION_BETS], part: &Part) -> [f64; PROMOTION_BETS] {
        if part.step == self.step {
            let evidence = promotion_evidence(part.counts, part.weight.fraction(), self.margin);
            sum.iter_mut().zip(evidence).for_each(|(sum, more)| *sum += more);
        }
        sum
    }
}
