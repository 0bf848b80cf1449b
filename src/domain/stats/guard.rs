//! Does a version fail more than a fixed share of its requests? One sample, no comparison (ANALYSIS section 3).

use super::{ArmCounts, Coefficients, EpochCounts, LogSum};

/// How many alternatives the guard bets on.
pub const GUARD_ALTERNATIVES: usize = 8;

/// Multiples of the limit's odds that the guard bets on, the same stake on each.
pub const GUARD_GRID: [f64; GUARD_ALTERNATIVES] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];

/// The bets against "at most `limit` of the requests fail", for each of [`GUARD_GRID`]. `limit` is between 0 and 1,
/// both excluded.
pub fn guard_coefficients(limit: f64) -> [Coefficients; GUARD_ALTERNATIVES] {
    GUARD_GRID.map(|multiple| {
        let s = multiple - 1.0;
        let base = (s * limit).ln_1p();
        Coefficients { canary_failed: s.ln_1p() - base, canary_ok: -base, stable_failed: 0.0 }
    })
}

/// ln of the e-value against "this version never failed more than `limit` of its requests". Needs no constant rate.
pub fn guard_log_e(arm: ArmCounts, limit: f64) -> f64 {
    average(guard_coefficients(limit).map(|bet| bet.evidence(alone(arm))))
}

/// The evidence of all bets together, the same stake on each.
pub(super) fn average<const N: usize>(log_e: [f64; N]) -> f64 {
    let stake = -f64::from(u32::try_from(N).unwrap_or(u32::MAX)).ln();
    stake + log_e.into_iter().collect::<LogSum>().ln()
}

/// Counts of a version that is looked at by itself.
pub(super) fn alone(arm: ArmCounts) -> EpochCounts {
    EpochCounts { canary: arm, stable: ArmCounts::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_no_bet_wins_on_average() {
        for limit in [0.001, 0.01, 0.05, 0.2, 0.9] {
            for bet in guard_coefficients(limit) {
                let mean = limit * bet.canary_failed.exp() + (1.0 - limit) * bet.canary_ok.exp();
                assert!((mean - 1.0).abs() < 1e-12, "{mean} for {bet:?} at {limit}");
            }
        }
    }
}
