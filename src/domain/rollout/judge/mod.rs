//! Is told what the versions did, says what that proves (ANALYSIS sections 2 to 7). Keeps its promise (a canary
//! within the tolerated margin is aborted with a chance of at most alpha) however often and whenever it is asked.

mod comparison;
mod latency;
mod proof;
mod routes;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::comparison::Comparison;
use self::latency::Times;
use self::proof::Proof;
use self::routes::Routes;
use self::rules::{GuardUse, Rules};
use super::decision::guard_limit;
use super::{Analysis, Assessment, Findings, Metric, RouteCounts, SlowAnswers};
use crate::domain::stats::{
    EProcess, ERROR_ALTERNATIVES, ERROR_GRID, EpochCounts, GUARD_ALTERNATIVES, Kinds, Margin, Pace,
    SlowCounts, StableWatch, combine_log_e, srm_log_e,
};
use crate::domain::{Timestamp, Weight};

/// Judges one rollout.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    split: SplitMode,
    split_suspect: bool,
    errors: Comparison<ERROR_ALTERNATIVES>,
    promote: Proof,
    relaxed: Proof,
    guard: EProcess<GUARD_ALTERNATIVES>,
    times: Times,
    routes: Routes,
    watch: StableWatch,
    /// The newest epochs, in the order in which they were opened.
    epochs: VecDeque<OpenEpoch>,
    /// Which step, counted from 1.
    step: u32,
    step_counts: EpochCounts,
    step_kinds: Kinds,
    total: EpochCounts,
    total_kinds: Kinds,
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

#[derive(Clone, Copy, Debug)]
struct OpenEpoch {
    number: u32,
    weight: Weight,
    step: u32,
}

/// The metrics' weights; those of latency are [`crate::domain::stats::Quantile::weight`]. All that the rollout has count
/// in every step, although the guard is fed in few: an average of e-values keeps alpha only while its weights are fixed
/// beforehand, and a weight handed to the metric that happens to speak would spend alpha twice.
const ERRORS: f64 = 6.0;
const GUARD: f64 = 2.0;
const ROUTES: f64 = 2.0;
/// Epochs whose late outcomes are still booked with their own weight. Older ones only count in the totals.
const EPOCHS: usize = 16;
const RESTART_AFTER: Duration = Duration::from_secs(300);
const RELAXED_RISE: f64 = 0.05;
/// ln 1000: from here on the split is taken not to be what it should be.
const SPLIT_SUSPECT: f64 = 6.907_755_278_982_137;

impl Judge {
    /// No evidence yet: at the start of a rollout, or when the program came back in the middle of one.
    pub fn new(analysis: &Analysis, split: SplitMode, now: Timestamp) -> Self {
        let rules = Rules::new(analysis);
        let promote = &analysis.promote_margin;
        let promotable = Margin { relative: promote.relative, absolute: promote.absolute };
        let relaxed = Margin { absolute: promote.absolute.max(RELAXED_RISE), ..promotable };
        Self {
            errors: Comparison::new(ERROR_GRID, rules.tolerated),
            promote: Proof::new(promotable),
            relaxed: Proof::new(relaxed),
            guard: EProcess::new([1.0 / 8.0; GUARD_ALTERNATIVES]),
            times: Times::new(analysis.latency.as_ref()),
            routes: Routes::default(),
            watch: StableWatch::new(guard_limit(analysis)),
            rules,
            split,
            split_suspect: false,
            epochs: VecDeque::with_capacity(EPOCHS),
            step: 0,
            step_counts: EpochCounts::default(),
            step_kinds: Kinds::default(),
            total: EpochCounts::default(),
            total_kinds: Kinds::default(),
            next_restart: now + RESTART_AFTER,
        }
    }

    /// Times are measured and will be told ([`Self::feed_slow`]): a step is left only once they are proven too. Without
    /// this they keep their part of the stake, but nothing waits for them.
    #[must_use]
    pub fn with_times(mut self) -> Self {
        self.times.close_gates();
        self
    }

    /// Errors will be told by route as well ([`Self::feed_routes`]); `names` by place, as people know them. To be said
    /// before the first epoch: which metrics there are must not follow from what is seen.
    #[must_use]
    pub fn with_routes(mut self, names: impl IntoIterator<Item = Arc<str>>) -> Self {
        self.routes = Routes::new(names, self.rules.tolerated);
        self
    }

    /// The canary's weight changed: requests of epoch `number` go to it with chance `weight`.
    pub fn open_epoch(&mut self, number: u32, weight: Weight, step: StepChange, now: Timestamp) {
        self.restart(now);
        if step == StepChange::New {
            self.step += 1;
            (self.step_counts, self.step_kinds) = Default::default();
        }
        if weight == Weight::FULL {
            self.watch.forget();
        }
        if self.epochs.len() == EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back(OpenEpoch { number, weight, step: self.step });
        self.errors.open(weight, Arc::new(self.errors.bets(weight.fraction())));
        self.promote.open(self.step, weight);
        self.relaxed.open(self.step, weight);
        self.times.open(self.step, weight);
        self.routes.open(weight);
    }

    /// What came in epoch `epoch` since it was last told. Late outcomes of older epochs count with their weight.
    pub fn feed(&mut self, epoch: u32, increment: EpochCounts, now: Timestamp) {
        if increment == EpochCounts::default() {
            return;
        }
        self.total = self.total.plus(increment);
        let Some(index) = self.index(epoch) else { return };
        if self.epochs[index].step == self.step {
            self.step_counts = self.step_counts.plus(increment);
        }
        self.feed_guard(index, increment, now);
        self.errors.feed(index, increment, self.split, now);
        self.times.stable_failed(index, increment.stable.failed, self.split, now);
        self.promote.feed(index, increment);
        self.relaxed.feed(index, increment);
        self.check_split(index);
    }

    /// Which kinds of failure the canary had in epoch `epoch` since it was last told.
    pub fn feed_kinds(&mut self, epoch: u32, increment: Kinds) {
        self.total_kinds = self.total_kinds.plus(increment);
        if self.index(epoch).is_some_and(|index| self.epochs[index].step == self.step) {
            self.step_kinds = self.step_kinds.plus(increment);
        }
    }

    /// What came on each route in epoch `epoch` since it was last told, by place.
    pub fn feed_routes(&mut self, epoch: u32, increments: &[EpochCounts], now: Timestamp) {
        if let Some(index) = self.index(epoch) {
            self.routes.feed(index, increments, self.split, now);
        }
    }

    /// How many answers were slow in epoch `epoch` since it was last told.
    pub fn feed_slow(&mut self, epoch: u32, increment: &SlowCounts, now: Timestamp) {
        if let Some(index) = self.index(epoch).filter(|_| *increment != SlowCounts::default()) {
            self.times.feed(index, increment, self.split, now);
        }
    }

    /// What counts as slow from now on, to be shown; `None`: nothing does.
    pub fn set_pace(&mut self, pace: Option<Pace>) {
        self.times.set_pace(pace);
    }

    /// Does what is due: fresh starts, and blocks whose time is over.
    pub fn tick(&mut self, now: Timestamp) {
        if self.next_restart <= now {
            self.restart(now);
        }
        self.errors.tick(now);
        self.times.each(|comparison| comparison.tick(now));
        self.routes.each(|comparison| comparison.tick(now));
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Timestamp {
        let blocks = [self.errors.until(), self.times.until(), self.routes.until()];
        blocks.into_iter().flatten().fold(self.next_restart, Timestamp::min)
    }

    /// What all of it proves.
    pub fn assess(&self, now: Timestamp) -> Assessment {
        let (harm_log_e, leading) = self.harm(now);
        let (promote_log_e, gate) = self.promotion();
        Assessment {
            harm_log_e,
            harm_bound: self.rules.harm_bound,
            leading,
            promote_log_e,
            promote_bound: self.rules.promote_bound,
            relaxed_log_e: self.relaxed.log_e(),
            // At weight 0 there is no canary to compare, but nothing to leave the step for either.
            comparable: !self.alone(),
            stable_failing: self.watch.shared(now),
            split_suspect: self.split_suspect,
            step: self.step_counts,
            total: self.total,
            findings: self.findings(leading, gate),
        }
    }

    fn findings(&self, leading: Metric, gate: Metric) -> Findings {
        let finding = |metric| match metric {
            Metric::Latency(quantile) => self.times.finding(quantile),
            Metric::Errors | Metric::Guard | Metric::Route => None,
        };
        Findings {
            gate,
            step_kinds: self.step_kinds,
            total_kinds: self.total_kinds,
            route: self.routes.worst(),
            harm_answers: finding(leading),
            gate_answers: finding(gate),
        }
    }

    /// Whether the canary has all traffic now.
    fn alone(&self) -> bool {
        self.epochs.back().is_some_and(|epoch| epoch.weight == Weight::FULL)
    }

    fn index(&self, epoch: u32) -> Option<usize> {
        self.epochs.iter().rposition(|known| known.number == epoch)
    }

    fn restart(&mut self, now: Timestamp) {
        self.errors.restart();
        self.guard.restart();
        self.times.each(Comparison::restart);
        self.routes.each(Comparison::restart);
        self.next_restart = now + RESTART_AFTER;
    }

    fn feed_guard(&mut self, index: usize, increment: EpochCounts, now: Timestamp) {
        if !self.alone() {
            self.watch.feed(increment.stable, increment.canary, now);
        }
        let without_stable = self.epochs[index].weight == Weight::FULL;
        if self.watch.failing(now) {
            // What has spoken against the canary so far may be the beginning of the same incident.
            self.guard.forgive();
        } else if without_stable || self.rules.guard == GuardUse::Always {
            self.guard.feed(self.rules.guard_bets.map(|bet| bet.evidence(increment)));
        }
    }

    /// Whether the split of epoch `index` fits its weight. If not, all evidence that rests on the weight is void:
    /// each epoch is judged anew, as one block with the share that it really had. That moment follows from the
    /// routing alone, never from an outcome.
    fn check_split(&mut self, index: usize) {
        let (counts, weight) = (self.errors.counts(index), self.epochs[index].weight);
        let routed = (counts.canary.routed, counts.stable.routed);
        if self.split == SplitMode::Realised
            || srm_log_e(routed.0, routed.1, weight.fraction()) < SPLIT_SUSPECT
        {
            return;
        }
        self.split = SplitMode::Realised;
        self.split_suspect = true;
        self.errors.judge_anew();
        self.times.each(Comparison::judge_anew);
        self.routes.each(Comparison::judge_anew);
    }

    /// ln of the e-value against the canary over all metrics, and the metric with the largest part in it.
    fn harm(&self, now: Timestamp) -> (f64, Metric) {
        // A metric that is left out counts as 0, its weight stays its own.
        let left_out = self.watch.failing(now) || self.watch.uneasy();
        let guard = if left_out { f64::NEG_INFINITY } else { self.guard.log_e() };
        let mut metrics = vec![(Metric::Errors, ERRORS, self.errors.log_e()), (Metric::Guard, GUARD, guard)];
        let times = self.times.harm();
        metrics.extend(times.map(|(quantile, log_e)| (Metric::Latency(quantile), quantile.weight(), log_e)));
        metrics.extend(self.routes.log_e().map(|log_e| (Metric::Route, ROUTES, log_e)));
        let part = |(_, weight, log_e): &(Metric, f64, f64)| weight.ln() + log_e;
        let leading = metrics.iter().rev().max_by(|a, b| part(a).total_cmp(&part(b)));
        let leading = leading.map_or(Metric::Errors, |(metric, _, _)| *metric);
        let parts: Vec<_> = metrics.iter().map(|(_, weight, log_e)| (*weight, *log_e)).collect();
        (combine_log_e(&parts), leading)
    }

    /// The least that is proven of what must be proven to leave the step, and of which metric.
    fn promotion(&self) -> (f64, Metric) {
        let errors = (self.promote.log_e(), Metric::Errors);
        let times = self.times.proofs().map(|(quantile, log_e)| (log_e, Metric::Latency(quantile)));
        times.fold(errors, |least, gate| if gate.0 < least.0 { gate } else { least })
    }
}
