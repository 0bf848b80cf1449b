//! Is the canary slower than stable? Stable's own quantiles of the last minutes are limits that are fixed before the
//! requests come; to be slower is then an event like a failure, and the comparison that judges failures judges it too
//! (ANALYSIS section 4). No distribution is assumed, and stable may drift.

use super::logs::float;
use super::{BUCKETS, EpochCounts, LogSum, Margin, edge, rollback_coefficients, srm_log_e};

/// A quantile of stable's times that the canary is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantile {
    /// Half of stable's requests are slower.
    P50,
    /// One in ten.
    P90,
    /// One in a hundred.
    P99,
}

/// How many alternatives the latency test bets on, at the most.
pub const LATENCY_ALTERNATIVES: usize = 9;

/// A canary may be slow as often as stable, and no more: the tolerance is in the limits.
pub const LATENCY_TOLERATED: Margin = Margin { relative: 1.0, absolute: 0.0 };

/// How much more often than stable a canary may be slow, and still be proven good.
const PROMOTABLE_RISE: f64 = 1.5;

/// How many limits the times of one version are compared with.
pub const LIMITS: usize = Quantile::ALL.len();

/// From how many microseconds on an answer is slow, for each of [`Quantile::ALL`]: above, not at. Fixed before the
/// requests that are compared with them began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For stable: its own quantiles.
    pub stable: [u64; LIMITS],
    /// For the canary: the tolerance above.
    pub tolerated: [u64; LIMITS],
    /// For the canary, to be proven good: one bucket above that.
    pub promotable: [u64; LIMITS],
}

/// So many microseconds more are no harm, whatever their share: below a millisecond it is the machine that makes a
/// version with little traffic slower (colder caches, deeper sleep), not the version.
const HARMLESS: u64 = 1000;

/// What no answer is slower than.
pub const NO_LIMIT: u64 = u64::MAX;

impl Quantile {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::P50, Self::P90, Self::P99];

    /// The one with this value, 0 to 1.
    pub fn of(value: f64) -> Option<Self> {
        Self::ALL.into_iter().find(|quantile| (quantile.value() - value).abs() < 1e-9)
    }

    /// Between 0 and 1.
    pub const fn value(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
        }
    }

    /// As people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
        }
    }

    /// Its part of the stake, beside 6 for errors and 2 for the guard (ANALYSIS section 6).
    pub const fn weight(self) -> f64 {
        match self {
            Self::P50 | Self::P90 => 1.0,
            Self::P99 => 2.0,
        }
    }

    /// A step may be left once the canary is proven to be slow no more than half as often again as stable, plus a tenth of
    /// what the quantile leaves over: 5 %, 1 %, 0.1 %. Without that part nothing could ever be proven where stable has got
    /// faster than its own quantile, or where most of its times lie in one bucket.
    pub fn promotable(self) -> Margin {
        Margin { relative: PROMOTABLE_RISE, absolute: 0.1 * (1.0 - self.value()) }
    }

    /// How many times as often slow the test bets on, and the part of the stake on each. Where there are fewer bets,
    /// the rest are without a stake.
    pub fn grid(self) -> [(f64, f64); LATENCY_ALTERNATIVES] {
        let risks: &[f64] = match self {
            Self::P50 => &[1.1, 1.2, 1.35, 1.6, 1.9],
            Self::P90 => &[1.2, 1.4, 1.7, 2.2, 3.0, 5.0, 9.0],
            Self::P99 => &[1.3, 1.6, 2.0, 3.0, 5.0, 8.0, 16.0, 40.0, 90.0],
        };
        let stake = f64::from(u32::try_from(risks.len()).unwrap_or(1)).recip();
        std::array::from_fn(|bet| risks.get(bet).map_or((1.0, 0.0), |risk| (*risk, stake)))
    }
}

impl Limits {
    /// From the counts of stable's times by bucket, for these quantiles. `buckets`: how much slower the canary may be
    /// (16 are twice as slow); it always may be by a millisecond.
    pub fn of(stable: &[u64], quantiles: &[Quantile], buckets: usize) -> Self {
        let limit = |more: usize| {
            Quantile::ALL.map(|quantile| {
                let wanted = quantiles.contains(&quantile);
                let bucket = wanted.then(|| quantile_bucket(stable, quantile.value()) + more);
                bucket.and_then(edge).map_or(NO_LIMIT, whole_micros)
            })
        };
        let stable = limit(0);
        let at_least = |limits: [u64; LIMITS]| {
            std::array::from_fn(|one| limits[one].max(stable[one].saturating_add(HARMLESS)))
        };
        let (tolerated, promotable) = (at_least(limit(buckets)), at_least(limit(buckets + 1)));
        Self { stable, tolerated, promotable }
    }
}

/// How many buckets above stable's a canary may be that may be `factor` times as slow, rounded up to a whole bucket.
pub fn tolerated_buckets(factor: f64) -> usize {
    (0..BUCKETS)
        .find(|buckets| edge(*buckets).is_none_or(|edge| edge / 100.0 >= factor * (1.0 - 1e-9)))
        .unwrap_or(BUCKETS)
}

/// The smallest bucket with at least the share `quantile` of all `counts` in it and below; the overflow bucket when
/// nothing was counted.
pub fn quantile_bucket(counts: &[u64], quantile: f64) -> usize {
    let wanted = quantile * float(counts.iter().sum()) - 1e-9;
    let mut upto = 0;
    counts
        .iter()
        .position(|count| {
            upto += count;
            upto > 0 && float(upto) >= wanted
        })
        .unwrap_or(BUCKETS - 1)
}

/// ln of the e-value against "the canary is slow no more often than stable", from counts of one constant `share` in
/// which a failure stands for a slow answer.
pub fn latency_log_e(counts: EpochCounts, share: f64, quantile: Quantile) -> f64 {
    let bet = |risk| rollback_coefficients(risk, share, LATENCY_TOLERATED).evidence(counts);
    quantile.grid().into_iter().map(|(risk, stake)| stake.ln() + bet(risk)).collect::<LogSum>().ln()
}

/// Where a quantile lies, in microseconds, at confidence `1 − alpha` whenever one looks. Not for decisions: it takes
/// all times for those of one distribution.
pub fn quantile_bounds(counts: &[u64], quantile: f64, alpha: f64) -> (f64, f64) {
    let all: u64 = counts.iter().sum();
    let (mut low, mut upto) = (0.0, 0);
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        upto += count;
        let Some(edge) = edge(bucket) else { break };
        // The mixture that checks a split: is `upto` of `all` what a chance of `quantile` gives?
        if srm_log_e(upto, all - upto, quantile) < -alpha.ln() {
            continue;
        }
        if float(upto) > quantile * float(all) {
            return (low, edge);
        }
        low = edge;
    }
    (low, f64::INFINITY)
}

fn whole_micros(edge: f64) -> u64 {
    // A whole number of microseconds is above the edge just when it is above the edge's whole part.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "100 to 1e8, rounded down")]
    let micros = edge as u64;
    micros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stakes_of_each_quantile_are_all_of_its_money() {
        for quantile in Quantile::ALL {
            let whole: f64 = quantile.grid().iter().map(|(_, stake)| stake).sum();
            assert!((whole - 1.0).abs() < 1e-12, "{whole}");
        }
    }

    #[test]
    fn a_tolerance_is_kept_to_the_next_bucket_edge() {
        for (factor, buckets) in [(1.0, 0), (1.01, 1), (1.189, 4), (1.19, 5), (2.0, 16), (16.0, 64)] {
            assert_eq!(tolerated_buckets(factor), buckets, "{factor}");
        }
    }

    #[test]
    fn without_counts_nothing_is_slow() {
        let limits = Limits::of(&[0; BUCKETS], &Quantile::ALL, 4);
        assert_eq!(limits.stable, [NO_LIMIT; LIMITS]);
    }

    #[test]
    fn a_quantile_that_is_not_wanted_has_no_limit() {
        let mut counts = [0; BUCKETS];
        counts[80] = 100;
        let limits = Limits::of(&counts, &[Quantile::P90], 16);
        assert_eq!(limits.stable, [NO_LIMIT, 3200, NO_LIMIT]);
        assert_eq!(limits.tolerated, [NO_LIMIT, 6400, NO_LIMIT]);
        assert_eq!(limits.promotable, [NO_LIMIT, 6683, NO_LIMIT]);
    }

    #[test]
    fn less_than_a_millisecond_is_never_slow() {
        let mut counts = [0; BUCKETS];
        counts[16] = 100;
        let limits = Limits::of(&counts, &[Quantile::P50], 4);
        assert_eq!((limits.stable[0], limits.tolerated[0], limits.promotable[0]), (200, 1200, 1200));
    }
}
