//! Chance that a seed decides: the same seed, the same traffic.

use crate::domain::stats::ln_gamma;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough for traffic.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

/// From here on counts are drawn by rejection, below by multiplying.
const MANY: f64 = 10.0;

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        // Seeds that follow each other must not give streams that do.
        Self(dice.bits())
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform between 0 and 1, never either.
    pub(super) fn unit(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits")]
        let bits = (self.bits() >> 11) as f64;
        (bits + 0.5) / 9_007_199_254_740_992.0
    }

    /// Seconds until the next of events that come `rate` times a second; infinite when they never come.
    pub(super) fn wait(&mut self, rate: f64) -> f64 {
        if rate <= 0.0 { f64::INFINITY } else { -self.unit().ln() / rate }
    }

    /// How many events come where `mean` are expected (Poisson). Exact.
    pub(super) fn count(&mut self, mean: f64) -> u64 {
        if mean >= MANY { self.many(mean) } else { self.few(mean) }
    }

    fn few(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// Transformed rejection with squeeze: Hörmann, "The transformed rejection method for generating Poisson random
    /// variables", 1993, algorithm PTRS. Two numbers a try, hardly more than one try.
    fn many(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let us = 0.5 - u.abs();
            let count = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            let inside = us >= 0.07 && v <= 0.9277 - 3.6224 / (b - 2.0);
            let outside = count < 0.0 || (us < 0.013 && v > us);
            let accepted = || {
                let density = count * mean.ln() - mean - ln_gamma(count + 1.0);
                (v * inverse_alpha / (a / (us * us) + b)).ln() <= density
            };
            if inside || (!outside && accepted()) {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, and not negative: outside() and the squeeze see to it"
                )]
                return count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_as_many_as_expected_and_vary_as_they_should() {
        for (number, mean) in [0.0, 0.3, 5.0, 9.9, 10.0, 30.0, 500.0, 1e6].into_iter().enumerate() {
            let dice = &mut Dice::new(1 + u64::try_from(number).expect("few"));
            let draws = 20_000;
            #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
            let counts: Vec<f64> = (0..draws).map(|_| dice.count(mean) as f64 - mean).collect();
            let average = counts.iter().sum::<f64>() / f64::from(draws);
            let variance = counts.iter().map(|off| off * off).sum::<f64>() / f64::from(draws);
            // Five standard deviations of each.
            let error = 5.0 * (mean / f64::from(draws)).sqrt();
            assert!(average.abs() <= error, "mean {mean}: off by {average}");
            let spread = 5.0 * ((mean + 2.0 * mean * mean) / f64::from(draws)).sqrt();
            assert!((variance - mean).abs() <= spread, "mean {mean}: variance {variance}");
        }
    }

    #[test]
    fn each_count_comes_as_often_as_it_should() {
        let (dice, mean, draws) = (&mut Dice::new(7), 12.5_f64, 100_000_u32);
        let mut seen = [0_u32; 64];
        for _ in 0..draws {
            seen[usize::try_from(dice.count(mean)).expect("small").min(63)] += 1;
        }
        let mut chance = (-mean).exp();
        for (count, times) in (0_u32..40).zip(seen) {
            let expected = chance * f64::from(draws);
            let off = f64::from(times) - expected;
            assert!(off.abs() <= 5.0 * expected.sqrt() + 3.0, "{count}: {times}, expected {expected}");
            chance *= mean / f64::from(count + 1);
        }
    }

    #[test]
    fn waits_are_as_long_as_the_rate_says() {
        let dice = &mut Dice::new(3);
        let average = (0..20_000).map(|_| dice.wait(4.0)).sum::<f64>() / 20_000.0;
        assert!((average - 0.25).abs() < 0.01, "{average}");
        assert!(dice.wait(0.0).is_infinite());
    }
}
