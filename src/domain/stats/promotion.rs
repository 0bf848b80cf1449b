//! Is the canary proven not to be worse than the margin? The evidence that lets a step be left (ANALYSIS section 5).
//! Its own process: that nothing speaks against a canary is no evidence for it.

use super::comparison::bisect;
use super::guard::average;
use super::{Coefficients, EpochCounts, Margin, logs::float};

/// How many bets the promotion evidence is made of.
pub const PROMOTION_BETS: usize = 8;

/// The sizes of the bets, the same stake on each.
const BETS: [f64; PROMOTION_BETS] = [0.98, 0.9, 0.75, 0.5, 0.3, 0.15, 0.07, 0.03];

/// The bet of size `bet` against "the canary fails at least as much as the margin says", when the canary gets
/// `share` of the requests. No evidence at a share of 0 or 1.
pub fn promotion_coefficients(bet: f64, share: f64, margin: Margin) -> Coefficients {
    if !(share > 0.0 && share < 1.0) {
        return Coefficients::NONE;
    }
    let Margin { relative: rho, absolute: delta } = margin;
    let base = (-bet * delta).ln_1p();
    let z = rho * share * bet / ((1.0 - share) * (1.0 - bet * delta));
    Coefficients { canary_failed: (-bet).ln_1p() - base, canary_ok: -base, stable_failed: z.ln_1p() }
}

/// ln of each bet's e-value from counts of one constant `share`, to be added up over the epochs of a step.
///
/// The share used is the smaller of `share` and the realised one: canary requests that never end must not look like
/// good ones. A smaller share only lowers what stable's failures are worth, so the evidence stays valid.
pub fn promotion_evidence(counts: EpochCounts, share: f64, margin: Margin) -> [f64; PROMOTION_BETS] {
    let canary = float(counts.canary.completed);
    if counts.canary.completed == 0 || share >= 1.0 {
        return [0.0; PROMOTION_BETS];
    }
    let share = share.min(canary / (canary + float(counts.stable.completed)));
    BETS.map(|bet| promotion_coefficients(bet, share, margin).evidence(counts))
}

/// The evidence of all bets together.
pub fn promotion_total(evidence: [f64; PROMOTION_BETS]) -> f64 {
    average(evidence)
}

/// ln of the e-value against "the canary is worse than the margin", from counts of one constant `share`.
pub fn promote_log_e(counts: EpochCounts, share: f64, margin: Margin) -> f64 {
    promotion_total(promotion_evidence(counts, share, margin))
}

/// "At most so much worse": the smallest δ for which `p_c < relative × p_s + δ` is proven at confidence `1 − alpha`,
/// whenever one looks. `None`: nothing is proven.
pub fn promote_margin(counts: EpochCounts, share: f64, relative: f64, alpha: f64) -> Option<f64> {
    let proven = |absolute| promote_log_e(counts, share, Margin { relative, absolute }) >= -alpha.ln();
    if proven(0.0) {
        return Some(0.0);
    }
    proven(0.999).then(|| bisect(proven).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;
    use crate::domain::stats::ArmCounts;

    proptest! {
        #[test]
        fn on_the_boundary_no_bet_wins_on_average(
            share in 1e-6..0.99f64, relative in 1.0..3.0f64, absolute in 0.0..0.1f64, stable in 0.0..1.0f64,
        ) {
            let canary = relative * stable + absolute;
            if canary <= 1.0 {
                for bet in BETS {
                    let bet = promotion_coefficients(bet, share, Margin { relative, absolute });
                    let of_canary = canary * bet.canary_failed.exp() + (1.0 - canary) * bet.canary_ok.exp();
                    let of_stable = stable * bet.stable_failed.exp() + 1.0 - stable;
                    let mean = share * of_canary + (1.0 - share) * of_stable;
                    prop_assert!((mean - 1.0).abs() < 1e-9, "{mean} for {bet:?}");
                }
            }
        }

        #[test]
        fn canary_requests_that_never_end_never_look_good(lost in 0u64..500) {
            let margin = Margin { relative: 1.25, absolute: 0.005 };
            let arm = |completed, failed| ArmCounts { routed: completed, completed, failed };
            let counts = |canary| EpochCounts { canary: arm(canary, 0), stable: arm(4500, 45) };
            let (all, some) = (counts(500), counts(500 - lost));
            prop_assert!(promote_log_e(some, 0.1, margin) <= promote_log_e(all, 0.1, margin) + 1e-12);
        }
    }
}
