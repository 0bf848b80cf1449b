//! Does the split that was realised fit the weight? (ANALYSIS section 2.4)

use super::logs::float;

/// How sharply the check expects a wrong split to be near the weight.
const CONCENTRATION: f64 = 100.0;

/// ln of the e-value against "each request was sent to the canary with chance `share`": a two-sided beta-binomial
/// mixture (Robbins; Lindon and Malek, arXiv 2011.03567). Takes *routed* requests, ended or not. 0 at a share of 0
/// or 1. Off by up to 1e-6 after 1e9 requests.
pub fn srm_log_e(canary: u64, stable: u64, share: f64) -> f64 {
    if !(share > 0.0 && share < 1.0) {
        return 0.0;
    }
    let (canary, stable) = (float(canary), float(stable));
    let (a, b) = (CONCENTRATION * share, CONCENTRATION * (1.0 - share));
    ln_beta(a + canary, b + stable) - ln_beta(a, b) - canary * share.ln() - stable * (-share).ln_1p()
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln Γ(x) for x > 0 by Stirling's series (Abramowitz and Stegun 6.1.41) above 10, where its first left-out term is
/// below 1e-16; below, by Γ(x + 1) = x Γ(x) from there.
pub fn ln_gamma(x: f64) -> f64 {
    const SERIES: [f64; 8] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
        -3617.0 / 122_400.0,
    ];
    let (mut x, mut below) = (x, 1.0);
    while x < 10.0 {
        below *= x;
        x += 1.0;
    }
    let inverse_square = 1.0 / (x * x);
    let tail = SERIES.iter().rev().fold(0.0, |sum, term| sum * inverse_square + term) / x;
    let half_ln_two_pi = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_two_pi + tail - f64::ln(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_is_that_of_the_factorials_and_of_one_half() {
        let mut ln_factorial = 0.0;
        for n in 1..200u32 {
            let expected: f64 = ln_factorial;
            let got = ln_gamma(f64::from(n));
            assert!((got - expected).abs() <= 1e-13 * expected.max(1.0), "ln Γ({n}) = {got}, not {expected}");
            ln_factorial += f64::from(n).ln();
        }
        let half = 0.5 * std::f64::consts::PI.ln();
        assert!((ln_gamma(0.5) - half).abs() < 1e-14);
    }

    #[test]
    fn a_split_without_chance_is_not_checked() {
        assert_eq!((srm_log_e(5, 5, 0.0), srm_log_e(5, 5, 1.0)), (0.0, 0.0));
    }
}
