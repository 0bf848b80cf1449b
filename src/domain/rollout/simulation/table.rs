//! The table of ANALYSIS section 10: how many failed canary requests, and how many seconds, until a worse canary goes back.

use super::super::Analysis;
use super::{Asked, Rate, Traffic, WentBack, simulate};

/// Weight, stable's and the canary's rate of failure; failures in the median and in 19 of 20 cases, without and with a
/// guard of 5 % at every weight; the median of the seconds.
type Row = (f64, Rate, Rate, [u64; 2], [u64; 2], f64);

const ROWS: [Row; 14] = [
    (0.01, |_| 0.0, |_| 1.0, [2, 2], [2, 2], 1.6),
    (0.01, |_| 0.001, |_| 0.05, [3, 4], [3, 4], 51.0),
    (0.01, |_| 0.01, |_| 0.05, [11, 17], [11, 17], 201.0),
    (0.1, |_| 0.0, |_| 0.002, [5, 7], [5, 7], 234.0),
    (0.1, |_| 0.0, |_| 0.01, [4, 4], [4, 4], 37.0),
    (0.1, |_| 0.001, |_| 0.002, [107, 214], [107, 214], 5208.0),
    (0.1, |_| 0.001, |_| 0.01, [8, 12], [8, 12], 66.0),
    (0.1, |_| 0.001, |_| 0.05, [4, 6], [4, 6], 8.1),
    (0.1, |_| 0.001, |_| 0.2, [4, 5], [4, 5], 1.9),
    (0.1, |_| 0.001, |_| 1.0, [4, 4], [3, 3], 0.38),
    (0.1, |_| 0.01, |_| 0.05, [13, 22], [13, 22], 25.0),
    (0.5, |_| 0.001, |_| 0.01, [16, 31], [16, 31], 30.0),
    (0.5, |_| 0.001, |_| 1.0, [11, 11], [3, 3], 0.22),
    (0.5, |_| 0.01, |_| 0.05, [28, 53], [28, 53], 12.0),
];

const RUNS: usize = 161;
/// Late enough for the slowest row.
const SECONDS: u64 = 20_000;

#[test]
fn worse_canaries_go_back_as_soon_as_the_analysis_says() {
    let without = Analysis::default();
    let with = Analysis { max_error_rate: Some(0.05), ..Analysis::default() };
    for (row, (weight, stable, canary, failures, guarded, seconds)) in ROWS.into_iter().enumerate() {
        let traffic = Traffic { per_second: 100.0, weight, stable, canary };
        assert_near(row, failures, Some(seconds), &runs(traffic, &without, row));
        assert_near(row, guarded, None, &runs(traffic, &with, row));
    }
}

fn runs(traffic: Traffic, analysis: &Analysis, row: usize) -> Vec<WentBack> {
    let seed = |run: usize| u64::try_from(row * 1000 + run).expect("small");
    let run = |run| simulate(traffic, analysis, SECONDS, Asked::WhenItMatters, seed(run));
    (0..RUNS).map(|number| run(number).unwrap_or_else(|| panic!("row {row}: run {number} stays"))).collect()
}

/// Within 20 %, and one failure for the rounding.
fn assert_near(row: usize, failures: [u64; 2], seconds: Option<f64>, runs: &[WentBack]) {
    let mut counts: Vec<u64> = runs.iter().map(|back| back.failures).collect();
    counts.sort_unstable();
    for (place, expected) in [RUNS / 2, RUNS * 19 / 20].into_iter().zip(failures) {
        let near = expected - expected / 5 - 1..=expected + expected / 5 + 1;
        assert!(near.contains(&counts[place]), "row {row}: {expected} expected, not {}", counts[place]);
    }
    let mut times: Vec<f64> = runs.iter().map(|back| back.second).collect();
    times.sort_unstable_by(f64::total_cmp);
    if let Some(expected) = seconds {
        let median = times[RUNS / 2];
        // A tenth of a second is what ten requests more or less take.
        assert!(
            (median - expected).abs() <= 0.2 * expected + 0.1,
            "row {row}: {expected} s expected, not {median}"
        );
    }
}
