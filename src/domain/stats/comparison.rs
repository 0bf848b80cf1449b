//! Is the canary worse than stable, at the same time? The test that aborts (ANALYSIS section 2.1).
//!
//! With no absolute margin this is the test of Lindon and Malek (NeurIPS 2022, arXiv 2011.03567: given that a
//! request failed, which arm was it?) with a grid of alternatives as its prior.
//!
//! Why it is exact whatever stable's error rate does: given all that was before, the next request goes to the canary
//! with chance `w`, and its factor has the expectation `w(1 + s p_c)/(1 + s δ) + (1 − w)(1 − u p_s)`. On the boundary
//! `p_c = ρ p_s + δ` the coefficient of `p_s` is `w s ρ/(1 + s δ) − (1 − w) u`, which the choice of `u` makes 0, and
//! what is left is `w + 1 − w = 1`. So it is 1 on the whole boundary for every `p_s` and below 1 inside: the product
//! is a supermartingale under any drift, unequal traffic and changes of weight, as long as `w` follows from the past.

use super::{EpochCounts, LogSum, logs::float};

/// How much worse a canary may be: its error rate is within it up to `relative × stable's + absolute`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// ρ, at least 1.
    pub relative: f64,
    /// δ, 0 to 1.
    pub absolute: f64,
}

/// What each outcome adds to the logarithm of an e-value. A good request of stable adds nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Per failed canary request.
    pub canary_failed: f64,
    /// Per canary request that went well.
    pub canary_ok: f64,
    /// Per failed request of stable.
    pub stable_failed: f64,
}

/// How many alternatives the error test bets on.
pub const ERROR_ALTERNATIVES: usize = 14;

/// Relative risks that the error test bets on, and the part of the stake on each. The heavy tail makes "stable
/// clean, canary broken" fast; it ends where one single failure could decide at alpha = 1 %.
pub const ERROR_GRID: [(f64, f64); ERROR_ALTERNATIVES] = [
    (1.3, 0.05),
    (1.6, 0.05),
    (2.0, 0.05),
    (2.5, 0.05),
    (3.2, 0.05),
    (4.0, 0.05),
    (5.0, 0.05),
    (7.0, 0.05),
    (10.0, 0.05),
    (16.0, 0.05),
    (30.0, 0.125),
    (100.0, 0.125),
    (300.0, 0.125),
    (1000.0, 0.125),
];

impl Coefficients {
    /// No evidence, whatever happens.
    pub const NONE: Self = Self { canary_failed: 0.0, canary_ok: 0.0, stable_failed: 0.0 };

    /// What these counts add. Good requests are counted as a difference that may be negative: an increment can hold
    /// a failure whose completion was already read as a success before, and then takes that success back.
    #[inline]
    pub fn evidence(&self, counts: EpochCounts) -> f64 {
        let failed = float(counts.canary.failed);
        failed * self.canary_failed
            + (float(counts.canary.completed) - failed) * self.canary_ok
            + float(counts.stable.failed) * self.stable_failed
    }
}

/// The bet on a canary `risk` times as likely to fail as the margin allows, when the canary gets `share` of the
/// requests. No evidence at a share of 0 or 1: there is nothing to compare.
pub fn rollback_coefficients(risk: f64, share: f64, margin: Margin) -> Coefficients {
    if !(share > 0.0 && share < 1.0) {
        return Coefficients::NONE;
    }
    let Margin { relative: rho, absolute: delta } = margin;
    // The chance that a failure is the canary's on the boundary with delta = 0.
    let theta = rho * share / (rho * share + 1.0 - share);
    let s = (1.0 - theta) * (risk - 1.0) / (1.0 + theta * (risk - 1.0));
    let u = rho * share * s / ((1.0 - share) * (1.0 + s * delta));
    let base = (s * delta).ln_1p();
    Coefficients { canary_failed: s.ln_1p() - base, canary_ok: -base, stable_failed: (-u).ln_1p() }
}

/// [`rollback_coefficients`] for each alternative of [`ERROR_GRID`].
pub fn error_coefficients(share: f64, margin: Margin) -> [Coefficients; ERROR_ALTERNATIVES] {
    ERROR_GRID.map(|(risk, _)| rollback_coefficients(risk, share, margin))
}

/// ln of the e-value against "the canary stayed within the margin", from counts of one constant `share`.
pub fn rollback_log_e(counts: EpochCounts, share: f64, margin: Margin) -> f64 {
    ERROR_GRID
        .iter()
        .map(|(risk, stake)| stake.ln() + rollback_coefficients(*risk, share, margin).evidence(counts))
        .collect::<LogSum>()
        .ln()
}

/// "At least so much worse": the largest δ with which `p_c ≤ relative × p_s + δ` is refuted at confidence
/// `1 − alpha`, whenever one looks. `None`: not even δ = 0 is.
pub fn rollback_margin(counts: EpochCounts, share: f64, relative: f64, alpha: f64) -> Option<f64> {
    let refuted = |absolute| rollback_log_e(counts, share, Margin { relative, absolute }) >= -alpha.ln();
    refuted(0.0).then(|| bisect(refuted).0)
}

/// The border in 0 to 0.999 between where `holds_at` has its value at 0 and where it has the other one: the last
/// point on the lower side and the first on the upper.
pub(super) fn bisect(holds_at: impl Fn(f64) -> bool) -> (f64, f64) {
    let below = holds_at(0.0);
    let (mut low, mut high) = (0.0, 0.999);
    for _halving in 0..60 {
        let middle = 0.5 * (low + high);
        if holds_at(middle) == below {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};

    use super::*;

    /// What one request multiplies the e-value by, on average, when stable fails `stable` of its requests and the
    /// canary `canary` of its own.
    fn expectation(bet: Coefficients, share: f64, stable: f64, canary: f64) -> f64 {
        let of_canary = canary * bet.canary_failed.exp() + (1.0 - canary) * bet.canary_ok.exp();
        let of_stable = stable * bet.stable_failed.exp() + 1.0 - stable;
        share * of_canary + (1.0 - share) * of_stable
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn on_the_boundary_no_bet_wins_on_average(
            share in 1e-6..0.999f64, relative in 1.0..3.0f64, absolute in 0.0..0.1f64, stable in 0.0..1.0f64,
        ) {
            let canary = relative * stable + absolute;
            if canary <= 1.0 {
                for bet in error_coefficients(share, Margin { relative, absolute }) {
                    let mean = expectation(bet, share, stable, canary);
                    prop_assert!((mean - 1.0).abs() < 1e-9, "{mean} for {bet:?}");
                }
            }
        }

        #[test]
        fn inside_the_margin_every_bet_loses_on_average(
            share in 1e-4..0.99f64, stable in 0.001..0.8f64, better in 0.0..1.0f64,
        ) {
            let margin = Margin { relative: 1.1, absolute: 0.0002 };
            let canary = better * (margin.relative * stable + margin.absolute);
            for bet in error_coefficients(share, margin) {
                let mean = expectation(bet, share, stable, canary);
                prop_assert!(mean <= 1.0 + 1e-12, "{mean} for {bet:?}");
            }
        }

        #[test]
        fn coefficients_are_finite_and_only_canary_failures_raise_the_evidence(
            share in 0.0..=1.0f64, relative in 1.0..1e6f64, absolute in 0.0..=1.0f64,
        ) {
            for bet in error_coefficients(share, Margin { relative, absolute }) {
                prop_assert!(bet.canary_failed >= 0.0 && bet.canary_failed.is_finite(), "{bet:?}");
                prop_assert!(bet.canary_ok <= 0.0 && bet.canary_ok.is_finite(), "{bet:?}");
                prop_assert!(bet.stable_failed <= 0.0 && bet.stable_failed.is_finite(), "{bet:?}");
            }
        }
    }

    #[test]
    fn the_stakes_are_all_of_the_money() {
        let whole: f64 = ERROR_GRID.iter().map(|(_, stake)| stake).sum();
        assert!((whole - 1.0).abs() < 1e-12, "{whole}");
    }
}
