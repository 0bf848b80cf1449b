//! The comparison of canary and stable over a rollout: one kind of event, all epochs, with fresh starts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{EPOCHS, SplitMode};
use crate::domain::stats::{
    Block, ClosedBlock, Coefficients, EProcess, EpochCounts, Margin, realised_share, rollback_coefficients,
};
use crate::domain::{Timestamp, Weight};

/// What one kind of event says against the canary.
#[derive(Clone, Debug)]
pub(super) struct Comparison<const N: usize> {
    risks: [f64; N],
    margin: Margin,
    process: EProcess<N>,
    /// In step with the judge's.
    epochs: VecDeque<Compared<N>>,
}

/// The bets at one weight, shared by all comparisons of a kind.
pub(super) type Bets<const N: usize> = Arc<[Coefficients; N]>;

#[derive(Clone, Debug)]
struct Compared<const N: usize> {
    weight: Weight,
    bets: Bets<N>,
    counts: EpochCounts,
    block: Block,
}

impl<const N: usize> Comparison<N> {
    /// Bets on these risks, each with its part of the stake, against "within the margin".
    pub(super) fn new(grid: [(f64, f64); N], margin: Margin) -> Self {
        Self {
            risks: grid.map(|(risk, _)| risk),
            margin,
            process: EProcess::new(grid.map(|(_, stake)| stake)),
            epochs: VecDeque::with_capacity(EPOCHS),
        }
    }

    /// The bets when the canary gets `share` of the requests.
    pub(super) fn bets(&self, share: f64) -> [Coefficients; N] {
        self.risks.map(|risk| rollback_coefficients(risk, share, self.margin))
    }

    /// An epoch begins; the oldest is let go.
    pub(super) fn open(&mut self, weight: Weight, bets: Bets<N>) {
        if self.epochs.len() == EPOCHS {
            self.epochs.pop_front();
        }
        let (counts, block) = (EpochCounts::default(), Block::default());
        self.epochs.push_back(Compared { weight, bets, counts, block });
    }

    /// What came in the epoch with this index.
    pub(super) fn feed(&mut self, index: usize, increment: EpochCounts, split: SplitMode, now: Timestamp) {
        let Some(epoch) = self.epochs.get_mut(index) else { return };
        epoch.counts = epoch.counts.plus(increment);
        match split {
            SplitMode::Independent => {
                let evidence = std::array::from_fn(|bet| epoch.bets[bet].evidence(increment));
                self.process.feed(evidence);
            }
            SplitMode::Realised if !epoch.divided() => {}
            SplitMode::Realised => {
                let closed = epoch.block.add(increment, self.process.next_run(), now);
                self.judge_block(closed);
            }
        }
    }

    /// Judges the blocks whose time is over.
    pub(super) fn tick(&mut self, now: Timestamp) {
        for index in 0..self.epochs.len() {
            let closed = self.epochs[index].block.expire(now);
            self.judge_block(closed);
        }
    }

    /// When a block's time is over.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.epochs.iter().filter_map(|epoch| epoch.block.until()).min()
    }

    pub(super) fn restart(&mut self) {
        self.process.restart();
    }

    /// All evidence that rests on the weight is void: each epoch is judged as one block, with the share that it had.
    pub(super) fn judge_anew(&mut self) {
        self.process.reset();
        for index in 0..self.epochs.len() {
            let epoch = &self.epochs[index];
            if epoch.divided() {
                self.process.feed(self.realised(epoch.counts));
            }
        }
    }

    pub(super) fn log_e(&self) -> f64 {
        self.process.log_e()
    }

    /// What came in the epoch with this index so far.
    pub(super) fn counts(&self, index: usize) -> EpochCounts {
        self.epochs[index].counts
    }

    fn judge_block(&mut self, closed: Option<ClosedBlock>) {
        if let Some(block) = closed {
            self.process.feed_runs(self.realised(block.counts), block.run);
        }
    }

    /// What a block adds to each bet, by its own share.
    fn realised(&self, block: EpochCounts) -> [f64; N] {
        let Some(share) = realised_share(block) else { return [0.0; N] };
        self.bets(share).map(|bet| bet.evidence(block))
    }
}

impl<const N: usize> Compared<N> {
    /// Whether both versions get a part of the traffic.
    fn divided(&self) -> bool {
        self.weight != Weight::ZERO && self.weight != Weight::FULL
    }
}
