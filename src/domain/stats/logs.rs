//! Evidence lives in logarithms: an e-value of e^100,000 is ordinary after a long incident.

/// ln(e^a + e^b + …), one term at a time, with the largest taken out so that nothing overflows.
#[derive(Clone, Copy, Debug)]
pub struct LogSum {
    largest: f64,
    scaled: f64,
}

/// Terms this far below the largest are left out: even 10,000 of them change the sum by less than a rounding error.
const NEGLIGIBLE: f64 = 46.0;

/// The highest odds that are ever shown.
const SHOWN_ODDS: f64 = 1e12;

impl LogSum {
    /// The empty sum: ln 0.
    pub const EMPTY: Self = Self { largest: f64::NEG_INFINITY, scaled: 0.0 };

    /// Adds e^`term`.
    #[inline]
    pub fn add(&mut self, term: f64) {
        let above = term - self.largest;
        if above > 0.0 {
            self.scaled = self.scaled * (-above).exp() + 1.0;
            self.largest = term;
        } else if above > -NEGLIGIBLE {
            self.scaled += above.exp();
        }
    }

    /// The sum's logarithm; minus infinity when nothing was added.
    pub fn ln(self) -> f64 {
        self.largest + self.scaled.ln()
    }
}

impl FromIterator<f64> for LogSum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::EMPTY;
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

/// An e-value as odds that people can read, `odds : 1`: at most 1e12, never infinite.
pub fn odds(log_e: f64) -> f64 {
    if log_e >= SHOWN_ODDS.ln() { SHOWN_ODDS } else { log_e.exp() }
}

/// A weighted average of e-values, `(weight, log e)` each; the weights need not add up to 1. Valid whatever the
/// dependence between them, and never worse than dividing alpha among them (ANALYSIS section 6).
pub fn combine_log_e(metrics: &[(f64, f64)]) -> f64 {
    let whole: f64 = metrics.iter().map(|(weight, _)| weight).sum();
    metrics.iter().map(|(weight, log_e)| (weight / whole).ln() + log_e).collect::<LogSum>().ln()
}

/// A count as a number to compute with.
#[inline]
#[allow(
    clippy::cast_precision_loss,
    reason = "exact below 2^53 requests; beyond, off by less than 1e-15 of it"
)]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_huge_and_tiny_terms_is_finite() {
        let sum = [-1e6, 1e6, 1e6, f64::NEG_INFINITY].into_iter().collect::<LogSum>().ln();
        assert!((sum - (1e6 + 2f64.ln())).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn the_order_of_terms_does_not_matter() {
        let terms = [-3.0, 0.5, 2.0, -40.0, 1.9];
        let (up, down): (LogSum, LogSum) = (terms.into_iter().collect(), terms.into_iter().rev().collect());
        assert!((up.ln() - down.ln()).abs() < 1e-12);
        let plain = terms.iter().map(|term: &f64| term.exp()).sum::<f64>().ln();
        assert!((up.ln() - plain).abs() < 1e-12, "{} {plain}", up.ln());
    }

    #[test]
    fn nothing_sums_to_nothing() {
        assert_eq!(LogSum::EMPTY.ln(), f64::NEG_INFINITY);
    }

    #[test]
    fn shown_odds_are_bounded() {
        for (log_e, shown) in
            [(f64::NEG_INFINITY, 0.0), (-1e9, 0.0), (0.0, 1.0), (1e5, 1e12), (f64::MAX, 1e12)]
        {
            assert_eq!(odds(log_e), shown, "{log_e}");
        }
    }
}
