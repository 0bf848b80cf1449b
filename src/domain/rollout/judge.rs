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
        self.feed_errors(index, increment, now);
        self.check_split(index);
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
        Assessment {
            harm_log_e,
            harm_bound: self.rules.harm_bound,
            leading,
            promote_log_e,
            promote_bound: self.rules.promote_bound,
            relaxed_log_e,
            // At weight 0 there is no canary to compare, but nothing to leave the step for either.
            comparable: !self.alone(),
            stable_failing: self.watch.shared(now),
            split_suspect: self.split_suspect,
            step: self.step.counts,
            total: self.total,
        }
    }

    /// Whether the canary has all traffic now.
    fn alone(&self) -> bool {
        self.epochs.back().is_some_and(|epoch| epoch.weight == Weight::FULL)
    }

    fn restart(&mut self, now: Timestamp) {
        self.errors.restart();
        self.guard.restart();
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

    fn feed_errors(&mut self, index: usize, increment: EpochCounts, now: Timestamp) {
        match self.split {
            SplitMode::Independent => {
                self.errors.feed(self.epochs[index].bets.map(|bet| bet.evidence(increment)));
            }
            SplitMode::Realised if !self.epochs[index].divided() => {}
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
        for epoch in self.epochs.iter().filter(|epoch| epoch.divided()) {
            self.errors.feed(realised_evidence(epoch.counts, self.rules.tolerated));
        }
    }

    /// ln of the e-value against the canary over both metrics, and the metric with the larger part in it.
    fn harm(&self, now: Timestamp) -> (f64, Metric) {
        let (errors, guard) = METRIC_WEIGHTS;
        // A metric that is left out counts as 0, its weight stays its own.
        let left_out = self.watch.failing(now) || self.watch.uneasy();
        let guard_log_e = if left_out { f64::NEG_INFINITY } else { self.guard.log_e() };
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

impl EpochEvidence {
    /// Whether both versions get a part of the traffic.
    fn divided(&self) -> bool {
        self.weight != Weight::ZERO && self.weight != Weight::FULL
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

    use super::*;
    use crate::domain::rollout::{Advance, Decision, Outcome, StepProgress, decide};
    use crate::domain::stats::{ArmCounts, promote_log_e};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch(Duration::from_secs(seconds))
    }

    fn percent(percent: f64) -> Weight {
        Weight::from_percent(percent).expect("a weight")
    }

    /// Requests and failures of the canary, then of stable.
    fn counts((n_c, x_c): (u64, u64), (n_s, x_s): (u64, u64)) -> EpochCounts {
        let arm = |completed, failed| ArmCounts { routed: completed, completed, failed };
        EpochCounts { canary: arm(n_c, x_c), stable: arm(n_s, x_s) }
    }

    fn judge(analysis: &Analysis, weight: f64) -> Judge {
        let mut judge = Judge::new(analysis, SplitMode::Independent, at(0));
        judge.open_epoch(1, percent(weight), StepChange::New, at(0));
        judge
    }

    fn decided(judge: &Judge, age: u64) -> Decision {
        let step = StepProgress { age: Duration::from_secs(age), pause: Duration::ZERO };
        decide(&judge.assess(at(age)), step, &Advance::default())
    }

    #[test]
    fn as_many_sound_requests_as_the_analysis_says_prove_a_canary() {
        let mut judge = judge(&Analysis::default(), 10.0);
        judge.feed(1, counts((861, 0), (7749, 0)), at(60));
        assert_eq!(decided(&judge, 60), Decision::Hold);
        judge.feed(1, counts((1, 0), (9, 0)), at(60));
        assert_eq!(decided(&judge, 60), Decision::Advance);
        assert_eq!(judge.assess(at(60)).verdict(&Analysis::default()).outcome, Outcome::Successful);
    }

    #[test]
    fn a_new_step_has_to_be_proven_anew() {
        let mut judge = judge(&Analysis::default(), 10.0);
        judge.feed(1, counts((2000, 0), (18_000, 0)), at(60));
        judge.open_epoch(2, percent(25.0), StepChange::New, at(60));
        let assessment = judge.assess(at(60));
        assert_eq!((assessment.promote_log_e, assessment.step), (0.0, EpochCounts::default()));
        assert_eq!(assessment.total.canary.completed, 2000);
    }

    #[test]
    fn late_outcomes_of_an_earlier_step_prove_nothing_for_this_one_but_count_as_harm() {
        let mut judge = judge(&Analysis::default(), 10.0);
        judge.feed(1, counts((500, 0), (4500, 0)), at(60));
        judge.open_epoch(2, percent(25.0), StepChange::New, at(60));
        let before = judge.assess(at(60));
        judge.feed(1, counts((900, 0), (8100, 0)), at(61));
        assert_eq!(judge.assess(at(61)).step, EpochCounts::default());
        assert_eq!(judge.assess(at(61)).promote_log_e, 0.0);
        judge.feed(1, counts((4, 4), (0, 0)), at(62));
        let after = judge.assess(at(62));
        assert!(after.harm_log_e > before.harm_log_e, "{after:?}");
        assert_eq!(after.total.canary.failed, 4);
    }

    #[test]
    fn a_changed_weight_within_a_step_keeps_what_was_proven() {
        let mut judge = judge(&Analysis::default(), 10.0);
        judge.feed(1, counts((600, 0), (5400, 0)), at(60));
        judge.open_epoch(2, percent(20.0), StepChange::Same, at(60));
        judge.feed(2, counts((262, 0), (1048, 0)), at(90));
        assert_eq!(judge.assess(at(90)).step.canary.completed, 862);
        assert_eq!(decided(&judge, 90), Decision::Advance);
    }

    #[test]
    fn what_was_proven_survives_more_changes_of_weight_than_are_kept() {
        let mut judge = judge(&Analysis::default(), 10.0);
        let analysis = Analysis::default();
        let margin = Rules::new(&analysis).promotable;
        for epoch in 2..50 {
            judge.feed(epoch - 1, counts((20, 0), (180, 0)), at(60));
            judge.open_epoch(epoch, percent(10.0), StepChange::Same, at(60));
        }
        let expected = promote_log_e(counts((960, 0), (8640, 0)), 0.1, margin);
        let got = judge.assess(at(60)).promote_log_e;
        assert!((got - expected).abs() < 1e-9, "{got} not {expected}");
        assert_eq!(judge.epochs.len(), EPOCHS);
    }

    #[test]
    fn outcomes_of_an_unknown_epoch_are_only_counted() {
        let mut judge = judge(&Analysis::default(), 10.0);
        let before = judge.assess(at(1));
        judge.feed(7, counts((50, 50), (450, 0)), at(1));
        let after = judge.assess(at(1));
        assert_eq!(after.total.canary.failed, 50);
        assert_eq!(Assessment { total: before.total, ..after }, before);
    }

    #[test]
    fn with_all_traffic_on_the_canary_the_guard_alone_ends_it() {
        let mut judge = judge(&Analysis::default(), 50.0);
        judge.feed(1, counts((5000, 0), (5000, 0)), at(60));
        judge.open_epoch(2, Weight::FULL, StepChange::New, at(60));
        assert!(!judge.assess(at(60)).comparable);
        judge.feed(2, counts((40, 20), (0, 0)), at(61));
        assert_eq!(decided(&judge, 1), Decision::RollBack);
        assert_eq!(judge.assess(at(61)).leading, Metric::Guard);
    }

    #[test]
    fn beside_stable_the_guard_speaks_only_when_asked_to() {
        // Stable fails too rarely to break the guard, the canary no more than it but above the limit.
        let (default, asked) =
            (Analysis::default(), Analysis { max_error_rate: Some(0.001), ..Analysis::default() });
        for (analysis, expected) in [(default, Decision::Hold), (asked, Decision::RollBack)] {
            let mut judge = judge(&analysis, 90.0);
            judge.feed(1, counts((900, 27), (100, 1)), at(1));
            judge.feed(1, counts((90, 0), (60, 0)), at(1));
            assert_eq!(decided(&judge, 1), expected, "{:?}", judge.assess(at(1)));
        }
    }

    #[test]
    fn weight_zero_is_no_reason_to_advance() {
        let mut judge = judge(&Analysis::default(), 10.0);
        judge.feed(1, counts((200, 0), (1800, 0)), at(60));
        judge.open_epoch(2, Weight::ZERO, StepChange::Same, at(60));
        judge.feed(2, counts((0, 0), (50_000, 0)), at(600));
        assert_eq!(decided(&judge, 600), Decision::Hold);
    }

    #[test]
    fn a_stable_that_fails_as_well_holds_the_rollout_until_it_is_over() {
        let mut judge = judge(&Analysis::default(), 10.0);
        judge.feed(1, counts((2000, 0), (18_000, 0)), at(60));
        assert_eq!(decided(&judge, 60), Decision::Advance);
        judge.feed(1, counts((10, 3), (90, 30)), at(61));
        assert!(judge.assess(at(61)).stable_failing);
        assert_eq!(decided(&judge, 61), Decision::Hold);
        judge.feed(1, counts((1000, 0), (9000, 0)), at(100));
        assert!(!judge.assess(at(122)).stable_failing, "a minute after the last sign");
    }

    #[test]
    fn a_stable_that_fails_does_not_hold_up_its_fix() {
        let mut judge = judge(&Analysis::default(), 10.0);
        (1..60).for_each(|second| judge.feed(1, counts((10, 0), (90, 40)), at(second)));
        assert_eq!(decided(&judge, 60), Decision::Advance, "{:?}", judge.assess(at(60)));
    }

    #[test]
    fn a_failure_whose_completion_was_read_before_it_is_booked_in_full() {
        let (mut at_once, mut apart) = (judge(&Analysis::default(), 10.0), judge(&Analysis::default(), 10.0));
        at_once.feed(1, counts((1, 1), (9, 0)), at(1));
        apart.feed(1, counts((1, 0), (9, 0)), at(1));
        let late = ArmCounts { failed: 1, ..ArmCounts::default() };
        apart.feed(1, EpochCounts { canary: late, ..EpochCounts::default() }, at(1));
        let (at_once, apart) = (at_once.assess(at(1)), apart.assess(at(1)));
        assert!((at_once.harm_log_e - apart.harm_log_e).abs() < 1e-12, "{at_once:?} {apart:?}");
        assert_eq!(at_once.step, apart.step);
    }

    #[test]
    fn ticks_are_asked_for_when_something_is_due() {
        let mut judge = Judge::new(&Analysis::default(), SplitMode::Realised, at(0));
        judge.open_epoch(1, percent(10.0), StepChange::New, at(100));
        assert_eq!(judge.next_tick(), at(400));
        judge.feed(1, counts((2, 2), (18, 0)), at(130));
        assert_eq!(judge.next_tick(), at(190));
        let before = judge.assess(at(189)).harm_log_e;
        judge.tick(at(190));
        assert!(judge.assess(at(190)).harm_log_e > before);
        assert_eq!(judge.next_tick(), at(400));
        judge.tick(at(401));
        assert_eq!(judge.next_tick(), at(701));
    }

    #[derive(Clone, Debug)]
    enum Told {
        Epoch(u32, Weight, bool),
        Counts(u32, EpochCounts),
        Time(u64),
    }

    fn anything() -> impl Strategy<Value = Told> {
        let count = prop_oneof![0u64..4, 0u64..2000, 0u64..1_000_000_000_000];
        let arm = (count.clone(), count, any::<bool>()).prop_map(|(ok, failed, failing)| {
            let failed = if failing { failed } else { 0 };
            ArmCounts { routed: ok + failed, completed: ok + failed, failed }
        });
        prop_oneof![
            (0u32..30, 0u32..=100, any::<bool>()).prop_map(|(number, weight, new)| Told::Epoch(
                number,
                percent(f64::from(weight)),
                new
            )),
            (0u32..30, arm.clone(), arm)
                .prop_map(|(epoch, canary, stable)| Told::Counts(epoch, EpochCounts { canary, stable })),
            (0u64..1000).prop_map(Told::Time),
        ]
    }

    proptest! {
        #[test]
        fn whatever_it_is_told_all_numbers_are_finite_and_memory_is_bounded(
            told in vec(anything(), 0..200), sticky in any::<bool>(), guard in any::<bool>(),
        ) {
            let split = if sticky { SplitMode::Realised } else { SplitMode::Independent };
            let analysis = Analysis { max_error_rate: guard.then_some(0.05), ..Analysis::default() };
            let mut judge = Judge::new(&analysis, split, at(0));
            let mut now = 0;
            for told in told {
                match told {
                    Told::Epoch(number, weight, new) => {
                        let step = if new { StepChange::New } else { StepChange::Same };
                        judge.open_epoch(number, weight, step, at(now));
                    }
                    Told::Counts(epoch, counts) => judge.feed(epoch, counts, at(now)),
                    Told::Time(passed) => {
                        now += passed;
                        judge.tick(at(now));
                        prop_assert!(judge.next_tick() > at(now));
                    }
                }
                let all = judge.assess(at(now));
                for number in [all.harm_log_e, all.promote_log_e, all.relaxed_log_e] {
                    prop_assert!(number.is_finite(), "{all:?}");
                }
                prop_assert!(judge.epochs.len() <= EPOCHS);
                prop_assert!(all.verdict(&analysis).value <= 1e12);
            }
        }

        #[test]
        fn how_the_counts_are_cut_into_increments_changes_nothing(
            parts in vec((0u64..40, 0u64..4, 0u64..400, 0u64..4), 1..40),
        ) {
            let (mut whole, mut cut) =
                (judge(&Analysis::default(), 10.0), judge(&Analysis::default(), 10.0));
            // The check of the split looks at every increment: here nothing is routed.
            let unrouted = |(canary_ok, canary_failed, stable_ok, stable_failed)| {
                let arm = |ok, failed| ArmCounts { routed: 0, completed: ok + failed, failed };
                EpochCounts { canary: arm(canary_ok, canary_failed), stable: arm(stable_ok, stable_failed) }
            };
            let parts: Vec<EpochCounts> = parts.into_iter().map(unrouted).collect();
            parts.iter().for_each(|part| cut.feed(1, *part, at(1)));
            whole.feed(1, parts.into_iter().fold(EpochCounts::default(), EpochCounts::plus), at(1));
            let (errors, in_parts) = (whole.errors.log_e(), cut.errors.log_e());
            prop_assert!((errors - in_parts).abs() < 1e-9 * errors.abs().max(1.0), "{errors} {in_parts}");
            let (proven, in_parts) = (whole.promotion().0, cut.promotion().0);
            prop_assert!((proven - in_parts).abs() < 1e-9, "{proven} {in_parts}");
        }
    }
}
