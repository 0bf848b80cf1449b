//! Evidence where the split is no draw per request: it follows the client, or does not fit the weight
//! (ANALYSIS section 2.4). Time is cut into blocks by traffic alone, and each is judged as a whole by the share that
//! it really had. For counts that are given, a block's expectation is at most
//! `exp(p_s (n_c ρ s/(1 + s δ) − n_s u)) = 1`, so only the arms' averages must be within the margin.

use std::time::Duration;

use super::comparison::{ERROR_ALTERNATIVES, error_coefficients};
use super::{ERROR_GRID, EpochCounts, LogSum, Margin, logs::float};
use crate::domain::Timestamp;

/// The block that is being filled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    counts: EpochCounts,
    /// While something is in it: when it ends at the latest, and the next restart's number when it began.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    until: Timestamp,
    run: u32,
}

/// A block that has ended.
#[derive(Clone, Copy, Debug)]
pub struct ClosedBlock {
    /// What it holds.
    pub counts: EpochCounts,
    /// The next restart's number when it began.
    pub run: u32,
}

/// A block ends with so many canary requests…
const CANARY_REQUESTS: u64 = 5;
/// … or at this age.
const AGE: Duration = Duration::from_secs(60);

impl Block {
    /// Adds counts; `run` is the number of the next restart. Returns the block if it is full now.
    pub fn add(&mut self, counts: EpochCounts, run: u32, now: Timestamp) -> Option<ClosedBlock> {
        self.counts = self.counts.plus(counts);
        self.open.get_or_insert(Open { until: now + AGE, run });
        if self.counts.canary.completed >= CANARY_REQUESTS { self.close() } else { None }
    }

    /// Returns the block if its time is over and both arms have traffic. With traffic of one arm alone it stays
    /// open: there is nothing to compare yet.
    pub fn expire(&mut self, now: Timestamp) -> Option<ClosedBlock> {
        let open = self.open.as_mut().filter(|open| open.until <= now)?;
        open.until = now + AGE;
        self.close()
    }

    /// When to call [`Self::expire`]; `None` while it is empty.
    pub fn until(&self) -> Option<Timestamp> {
        self.open.map(|open| open.until)
    }

    fn close(&mut self) -> Option<ClosedBlock> {
        realised_share(self.counts)?;
        let run = self.open?.run;
        let block = std::mem::take(self);
        Some(ClosedBlock { counts: block.counts, run })
    }
}

/// The canary's share of the requests that ended; `None` unless both arms have some.
pub fn realised_share(counts: EpochCounts) -> Option<f64> {
    let (canary, stable) = (counts.canary.completed, counts.stable.completed);
    (canary > 0 && stable > 0).then(|| float(canary) / float(canary + stable))
}

/// What one block adds to each bet of [`ERROR_GRID`], by its own share.
pub fn realised_evidence(block: EpochCounts, margin: Margin) -> [f64; ERROR_ALTERNATIVES] {
    let Some(share) = realised_share(block) else { return [0.0; ERROR_ALTERNATIVES] };
    error_coefficients(share, margin).map(|bet| bet.evidence(block))
}

/// ln of the e-value against "the canary stayed within the margin", from whole blocks.
pub fn realised_log_e(blocks: &[EpochCounts], margin: Margin) -> f64 {
    let mut sums = ERROR_GRID.map(|(_, stake)| stake.ln());
    for block in blocks {
        for (sum, more) in sums.iter_mut().zip(realised_evidence(*block, margin)) {
            *sum += more;
        }
    }
    sums.into_iter().collect::<LogSum>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stats::ArmCounts;

    fn counts(canary: u64, stable: u64) -> EpochCounts {
        let arm = |completed| ArmCounts { routed: completed, completed, failed: 0 };
        EpochCounts { canary: arm(canary), stable: arm(stable) }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_block_ends_with_its_fifth_canary_request() {
        let mut block = Block::default();
        assert!(block.add(counts(4, 100), 1, at(0)).is_none());
        let closed = block.add(counts(1, 3), 7, at(1)).expect("full");
        assert_eq!((closed.counts, closed.run), (counts(5, 103), 1));
        assert_eq!(block.until(), None);
    }

    #[test]
    fn a_block_without_stable_traffic_waits_for_some() {
        let mut block = Block::default();
        assert!(block.add(counts(50, 0), 1, at(0)).is_none());
        assert!(block.expire(at(60)).is_none());
        assert_eq!(block.until(), Some(at(120)));
        assert_eq!(block.add(counts(0, 1), 1, at(61)).expect("full").counts, counts(50, 1));
    }

    #[test]
    fn a_block_with_little_traffic_ends_after_a_minute() {
        let mut block = Block::default();
        assert!(block.add(counts(1, 9), 1, at(10)).is_none());
        assert!(block.expire(at(69)).is_none());
        assert_eq!(block.expire(at(70)).expect("over").counts, counts(1, 9));
    }
}
