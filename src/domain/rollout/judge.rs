//! Is told what the versions did, says what that proves (ANALYSIS sections 2, 3, 5 to 7). Keeps its promise (a canary
//! within the tolerated margin is aborted with a chance of at most alpha) however often and whenever it is asked.

use std::collections::VecDeque;
use std::time::Duration;

use super::decision::guard_limit;
use super::{Analysis, Assessment, Metric};
use crate::domain::stats::{
    Block, ClosedBlock, Coefficients, EProcess, ERROR_ALTERNATIVES, ERROR_GRID, EpochCounts,
    GUARD_ALTERNATIVES, Margin, PROMOTION_BETS, StableWatch, combine_log_e, error_coefficients,
    guard_coefficients, promotion_evidence, promotion_total, realised_evidence, srm_log_e,
};
use crate::domain::{Timestamp, Weight};

/// Judges one rollout.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    split: SplitMode,
    split_suspect: bool,
    errors: EProcess<ERROR_ALTERNATIVES>,
    guard: EProcess<GUARD_ALTERNATIVES>,
    watch: StableWatch,
    /// The newest epochs, in the order in which they were opened.
    epochs: VecDeque<EpochEvidence>,
    step: StepEvidence,
    total: EpochCounts,
    next_restart: Timestamp,
}

/// How requests are divided between canary and stable, as far as the evidence is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitMode {
    /// By an independent draw per request. When the realised split does not fit the weight, the judge goes over to
    /// `Realised` by itself and says so.
    Independent,
    /// By client: judged by the share that was realised, in blocks.
    Realised,
}

/// What an epoch means for the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepChange {
    /// It begins a new step: the step's counts and the evidence for leaving it begin anew.
    New,
    /// The weight changed within the step.
    Same,
}

/// What was decided before the first request and must not change with what is seen.
#[derive(Clone, Debug)]
struct Rules {
    harm_bound: f64,
    promote_bound: f64,
    tolerated: Margin,
    promotable: Margin,
    /// The promote margin widened to five points.
    relaxed: Margin,
    guard_bets: [Coefficients; GUARD_ALTERNATIVES],
    guard: GuardUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GuardUse {
    Always,
    WithoutStable,
}

#[derive(Clone, Debug)]
struct EpochEvidence {
    number: u32,
    weight: Weight,
    step: u32,
    counts: EpochCounts,
    bets: [Coefficients; ERROR_ALTERNATIVES],
    block: Block,
}

/// What came in the current step.
#[derive(Clone, Debug, Default)]
struct StepEvidence {
    /// Which one, counted from 1.
    number: u32,
    counts: EpochCounts,
    /// The evidence for leaving it from epochs that are not kept any more, per bet.
    promote: [f64; PROMOTION_BETS],
    relaxed: [f64; PROMOTION_BETS],
}

/// The metrics' weights, for errors and guard. Fixed for the whole rollout although the guard sees no data in some
/// steps: weights that were moved to where the evidence is would spend alpha twice.
const METRIC_WEIGHTS: (f64, f64) = (6.0, 2.0);
/// Epochs whose late outcomes are still booked with their own weight. Older ones only count in the totals.
const EPOCHS: usize = 16;
const RESTART_AFTER: Duration = Duration::from_secs(300);
const RELAXED_RISE: f64 = 0.05;
/// ln 1000: from here on the split is taken not to be what it should be.
const SPLIT_SUSPECT: f64 = 6.907_755_278_982_137;

impl Judge {
    /// No evidence yet: at the start of a rollout, or when the program came back in the middle of one.
    pub fn new(analysis: &Analysis, split: SplitMode, now: Timestamp) -> Self {
        Self {
            rules: Rules::new(analysis),
            split,
            split_suspect: false,
            errors: EProcess::new(ERROR_GRID.map(|(_, stake)| stake)),
            guard: EProcess::new([1.0 / 8.0; GUARD_ALTERNATIVES]),
            watch: StableWatch::new(guard_limit(analysis)),
            epochs: VecDeque::with_capacity(EPOCHS),
            step: StepEvidence::default(),
            total: EpochCounts::default(),
            next_restart: now + RESTART_AFTER,
        }
    }

    /// The canary's weight changed: requests of epoch `number` go to it with chance `weight`.
    pub fn open_epoch(&mut self, number: u32, weight: Weight, step: StepChange, now: Timestamp) {
        self.restart(now);
        match step {
            StepChange::New => {
                self.step = StepEvidence { number: self.step.number + 1, ..StepEvidence::default() }
            }
            StepChange::Same => {}
        }
        if weight == Weight::FULL {
            self.watch.forget();
        }
        if self.epochs.len() == EPOCHS
            && let Some(oldest) = self.epochs.pop_front()
        {
            self.step.keep(&oldest, &self.rules);
        }
        self.epochs.push_back(EpochEvidence {
            number,
            weight,
            step: self.step.number,
            counts: EpochCounts::default(),
            bets: error_coefficients(weight.fraction(), self.rules.tolerated),
            block: Block::default(),
        });
    }

    /// What came in epoch `epoch` since it was last told. Late outcomes of older epochs count with their weight.
    pub fn feed(&mut self, epoch: u32, increment: EpochCounts, now: Timestamp) {
        if increment == EpochCounts::default() {
            return;
        }
        self.total = self.total.plus(increment);
        let Some(index) = self.epochs.iter().rposition(|known| known.number == epoch) else { return };
        let known = &mut self.epochs[index];
        known.counts = known.counts.plus(increment);
        if known.step == self.step.number {
            self.step.counts = self.step.counts.plus(increment);
        }
        self.feed_guard(index, increment, now);
        self.check_split(index);
        self.feed_errors(index, increment, now);
    }

    /// Does what is due: fresh starts, and blocks whose time is over.
    pub fn tick(&mut self, now: Timestamp) {
        if self.next_restart <= now {
            self.restart(now);
        }
        for index in 0..self.epochs.len() {
            let closed = self.epochs[index].block.expire(now);
            self.judge_block(closed);
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Timestamp {
        let blocks = self.epochs.iter().filter_map(|epoch| epoch.block.until());
        blocks.fold(self.next_restart, Timestamp::min)
    }

    /// What all of it proves.
    pub fn assess(&self, now: Timestamp) -> Assessment {
        let (promote_log_e, relaxed_log_e) = self.promotion();
        let (harm_log_e, leading) = self.harm(now);
        let full = self.epochs.back().is_some_and(|epoch| epoch.weight == Weight::FULL);
        Assessment {
            harm_log_e,
            harm_bound: self.rules.harm_bound,
            leading,
            promote_log_e,
            promote_bound: self.rules.promote_bound,
            relaxed_log_e,
            // At weight 0 there is no canary to compare, but nothing to leave the step for either.
            comparable: !full,
            stable_failing: self.watch.shared(now),
            split_suspect: self.split_suspect,
            step: self.step.counts,
            total: self.total,
        }
    }

    fn restart(&mut self, now: Timestamp) {
        self.errors.restart();
        self.guard.restart();
        self.next_restart = now + RESTART_AFTER;
    }

    fn feed_guard(&mut self, index: usize, increment: EpochCounts, now: Timestamp) {
        let alone = self.epochs[index].weight == Weight::FULL;
        if !alone {
            self.watch.feed(increment.stable, increment.canary, now);
        }
        if self.watch.failing(now) {
            // What has spoken against the canary so far may be the beginning of the same incident.
            self.guard.forgive();
        } else if alone || self.rules.guard == GuardUse::Always {
            self.guard.feed(self.rules.guard_bets.map(|bet| bet.evidence(increment)));
        }
    }

    fn feed_errors(&mut self, index: usize, increment: EpochCounts, now: Timestamp) {
        match self.split {
            SplitMode::Independent => {
                self.errors.feed(self.epochs[index].bets.map(|bet| bet.evidence(increment)));
            }
            SplitMode::Realised => {
                let run = self.errors.next_run();
                let closed = self.epochs[index].block.add(increment, run, now);
                self.judge_block(closed);
            }
        }
    }

    fn judge_block(&mut self, closed: Option<ClosedBlock>) {
        if let Some(block) = closed {
            self.errors.feed_runs(realised_evidence(block.counts, self.rules.tolerated), block.run);
        }
    }

    /// Whether the split of epoch `index` fits its weight. If not, all evidence that rests on the weight is void:
    /// each epoch is judged anew, as one block with the share that it really had. That moment follows from the
    /// routing alone, never from an outcome.
    fn check_split(&mut self, index: usize) {
        let EpochEvidence { counts, weight, .. } = &self.epochs[index];
        let routed = (counts.canary.routed, counts.stable.routed);
        if self.split == SplitMode::Realised
            || srm_log_e(routed.0, routed.1, weight.fraction()) < SPLIT_SUSPECT
        {
            return;
        }
        self.split = SplitMode::Realised;
        self.split_suspect = true;
        self.errors.reset();
        for epoch in &self.epochs {
            self.errors.feed(realised_evidence(epoch.counts, self.rules.tolerated));
        }
    }

    /// ln of the e-value against the canary over both metrics, and the metric with the larger part in it.
    fn harm(&self, now: Timestamp) -> (f64, Metric) {
        let (errors, guard) = METRIC_WEIGHTS;
        // A metric that is left out counts as 0, its weight stays its own.
        let guard_log_e = if self.watch.failing(now) { f64::NEG_INFINITY } else { self.guard.log_e() };
        let metrics = [(errors, self.errors.log_e()), (guard, guard_log_e)];
        let [by_errors, by_guard] = metrics.map(|(weight, log_e)| f64::ln(weight) + log_e);
        let leading = if by_guard > by_errors { Metric::Guard } else { Metric::Errors };
        (combine_log_e(&metrics), leading)
    }

    fn promotion(&self) -> (f64, f64) {
        let mut step = self.step.clone();
        self.epochs.iter().for_each(|epoch| step.keep(epoch, &self.rules));
        (promotion_total(step.promote), promotion_total(step.relaxed))
    }
}

impl Rules {
    fn new(analysis: &Analysis) -> Self {
        let (tolerated, promote) = (&analysis.tolerated_rise, &analysis.promote_margin);
        let promotable = Margin { relative: promote.relative, absolute: promote.absolute };
        Self {
            harm_bound: -analysis.alpha.ln(),
            promote_bound: -promote.alpha.ln(),
            tolerated: Margin { relative: tolerated.relative, absolute: tolerated.absolute },
            promotable,
            relaxed: Margin { absolute: promote.absolute.max(RELAXED_RISE), ..promotable },
            guard_bets: guard_coefficients(guard_limit(analysis)),
            guard: if analysis.max_error_rate.is_some() { GuardUse::Always } else { GuardUse::WithoutStable },
        }
    }
}

impl StepEvidence {
    /// Adds the evidence of an epoch for leaving this step; none if it is another step's.
    fn keep(&mut self, epoch: &EpochEvidence, rules: &Rules) {
        if epoch.step != self.number {
            return;
        }
        let evidence = |margin| promotion_evidence(epoch.counts, epoch.weight.fraction(), margin);
        let (promote, relaxed) = (evidence(rules.promotable), evidence(rules.relaxed));
        for bet in 0..PROMOTION_BETS {
            self.promote[bet] += promote[bet];
            self.relaxed[bet] += relaxed[bet];
        }
    }
}
