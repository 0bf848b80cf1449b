//! Is the canary slower? One comparison and one proof per quantile (ANALYSIS section 4).

use std::sync::Arc;

use super::super::Latency;
use super::comparison::Comparison;
use super::proof::Proof;
use super::{SlowAnswers, SplitMode};
use crate::domain::stats::{
    ArmCounts, EpochCounts, LATENCY_ALTERNATIVES, LATENCY_TOLERATED, Pace, Quantile, SlowCounts,
};
use crate::domain::{Timestamp, Weight};

/// What the times say, by quantile.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    quantiles: Vec<OfQuantile>,
    gates: Gates,
    /// What is slow now, to be shown.
    pace: Option<Pace>,
}

/// Whether a step may be left without proof that the canary is fast enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gates {
    /// Nobody measures times here: there is nothing to wait for.
    #[default]
    Open,
    /// The quantiles that the plan names must be proven.
    Closed,
}

#[derive(Clone, Debug)]
struct OfQuantile {
    quantile: Quantile,
    gates: bool,
    harm: Comparison<LATENCY_ALTERNATIVES>,
    proof: Proof,
    total: EpochCounts,
}

impl Times {
    pub(super) fn new(latency: Option<&Latency>) -> Self {
        let of = |latency: &Latency| {
            let wanted = latency.wanted().into_iter();
            wanted.map(|quantile| OfQuantile::new(quantile, latency.gates_at(quantile))).collect()
        };
        Self { quantiles: latency.map(of).unwrap_or_default(), ..Self::default() }
    }

    /// Times are measured: from now on a step needs proof of them.
    pub(super) fn close_gates(&mut self) {
        self.gates = Gates::Closed;
    }

    pub(super) fn set_pace(&mut self, pace: Option<Pace>) {
        self.pace = pace;
    }

    pub(super) fn open(&mut self, step: u32, weight: Weight) {
        for one in &mut self.quantiles {
            let bets = Arc::new(one.harm.bets(weight.fraction()));
            one.harm.open(weight, bets);
            one.proof.open(step, weight);
        }
    }

    pub(super) fn feed(&mut self, index: usize, increment: &SlowCounts, split: SplitMode, now: Timestamp) {
        for one in &mut self.quantiles {
            let tolerated = increment.tolerated[one.quantile as usize];
            one.harm.feed(index, tolerated, split, now);
            one.proof.feed(index, increment.promotable[one.quantile as usize]);
            one.total = one.total.plus(tolerated);
        }
    }

    /// Stable failed so many requests. They count as its slow ones where harm is judged: a quick error is no quick answer,
    /// and without them the share of answers would no longer be the share of requests that the bets rest on. An event that
    /// is stable's only ever lowers the evidence, so the promise holds.
    pub(super) fn stable_failed(&mut self, index: usize, failed: u64, split: SplitMode, now: Timestamp) {
        if failed == 0 || self.pace.is_none() {
            return;
        }
        let stable = ArmCounts { routed: 0, completed: failed, failed };
        let counts = EpochCounts { canary: ArmCounts::default(), stable };
        for one in &mut self.quantiles {
            one.harm.feed(index, counts, split, now);
        }
    }

    pub(super) fn each(&mut self, change: impl Fn(&mut Comparison<LATENCY_ALTERNATIVES>)) {
        self.quantiles.iter_mut().for_each(|one| change(&mut one.harm));
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        self.quantiles.iter().filter_map(|one| one.harm.until()).min()
    }

    /// Each quantile with its evidence against the canary.
    pub(super) fn harm(&self) -> impl Iterator<Item = (Quantile, f64)> {
        self.quantiles.iter().map(|one| (one.quantile, one.harm.log_e()))
    }

    /// Each quantile that must be proven, with the evidence of this step.
    pub(super) fn proofs(&self) -> impl Iterator<Item = (Quantile, f64)> {
        let closed = self.gates == Gates::Closed;
        let gates = self.quantiles.iter().filter(move |one| closed && one.gates);
        gates.map(|one| (one.quantile, one.proof.log_e()))
    }

    /// What was counted for a quantile.
    pub(super) fn finding(&self, quantile: Quantile) -> Option<SlowAnswers> {
        let one = self.quantiles.iter().find(|one| one.quantile == quantile)?;
        let limit = |of: [u64; 3]| Some(of[quantile as usize]).filter(|limit| *limit != u64::MAX);
        Some(SlowAnswers {
            quantile,
            canary_limit_micros: self.pace.and_then(|pace| limit(pace.limits.tolerated)),
            stable_limit_micros: self.pace.and_then(|pace| limit(pace.limits.stable)),
            canary: one.total.canary.completed,
            canary_slow: one.total.canary.failed,
            stable: one.total.stable.completed,
            stable_slow: one.total.stable.failed,
        })
    }
}

impl OfQuantile {
    fn new(quantile: Quantile, gates: bool) -> Self {
        Self {
            quantile,
            gates,
            harm: Comparison::new(quantile.grid(), LATENCY_TOLERATED),
            proof: Proof::new(quantile.promotable()),
            total: EpochCounts::default(),
        }
    }
}
