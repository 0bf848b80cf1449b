//! The reference implementation's vectors: every function gives its values to 1e-8.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::histogram::bucket_of_fraction;
use super::logs::float;
use super::{
    ArmCounts, BUCKETS, EProcess, ERROR_GRID, EpochCounts, LIMITS, Limits, Margin, Quantile, combine_log_e,
    edge, error_coefficients, guard_log_e, latency_log_e, promote_log_e, promote_margin, quantile_bounds,
    quantile_bucket, realised_log_e, rollback_coefficients, rollback_log_e, rollback_margin, srm_log_e,
};
use crate::domain::rollout::{
    Advance, Assessment, Decision, Findings, Metric, OnMaxTime, StepProgress, decide,
};

#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "fn")]
    function: String,
    args: Vec<Value>,
    out: Value,
}

const TOLERATED: Margin = Margin { relative: 1.10, absolute: 0.0002 };
const PROMOTABLE: Margin = Margin { relative: 1.25, absolute: 0.005 };
const LATENCY_PROMOTABLE: Margin = Margin { relative: 1.5, absolute: 0.0 };
const CONFIDENCE: f64 = 0.05;

#[test]
fn every_function_gives_the_reference_values() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../../tests/vectors/analysis.json")).expect("vectors");
    assert_eq!(vectors.len(), 192, "the file is the reference's");
    for Vector { function, args, out } in &vectors {
        match out {
            Value::String(expected) => {
                assert_eq!(decision(args), expected, "decide({args:?})");
            }
            expected => {
                let (expected, got) = (numbers(expected), call(function, args));
                assert_eq!(got.len(), expected.len(), "{function}({args:?})");
                for (got, expected) in got.iter().zip(&expected) {
                    let off = (got - expected).abs();
                    assert!(
                        off <= 1e-8 * expected.abs() || off < 1e-13,
                        "{function}({args:?}) = {got}, not {expected}"
                    );
                }
            }
        }
    }
}

fn call(function: &str, args: &[Value]) -> Vec<f64> {
    let number = |index: usize| args[index].as_f64().expect("a number");
    let count = |index: usize| args[index].as_u64().expect("a count");
    match function {
        "rollback_coef" => {
            let margin = Margin { relative: number(2), absolute: number(3) };
            let bet = rollback_coefficients(number(0), number(1), margin);
            vec![bet.canary_failed, bet.canary_ok, bet.stable_failed]
        }
        "rollback_log_e" => vec![rollback_log_e(counts(args), number(4), TOLERATED)],
        "guard_log_e" => vec![guard_log_e(arm(count(0), count(1)), number(2))],
        "promote_log_e" => vec![promote_log_e(counts(args), number(4), PROMOTABLE)],
        "promote_margin" => vec![promote_margin(counts(args), number(4), 1.0, CONFIDENCE).unwrap_or(1.0)],
        "rollback_margin" => vec![rollback_margin(counts(args), number(4), 1.0, CONFIDENCE).unwrap_or(-1.0)],
        "lat_log_e" => vec![latency_log_e(counts(args), number(4), quantile(&args[5]))],
        "lat_promote_log_e" => vec![promote_log_e(counts(args), number(4), LATENCY_PROMOTABLE)],
        "hist_case" => slow_events(args),
        "quantile_cs" => {
            let (low, high) = quantile_bounds(&histogram(&args[0]), number(1), number(2));
            vec![low, high]
        }
        "realised_log_e" => {
            let blocks: Vec<EpochCounts> = list(&args[0]).iter().map(|block| counts(list(block))).collect();
            vec![realised_log_e(&blocks, TOLERATED)]
        }
        "srm_log_e" => vec![srm_log_e(count(0), count(1), number(2))],
        "combine_log_e" => vec![combine_log_e(&metrics(&args[0]))],
        "run_sequence" => sequence(list(&args[0])),
        "bucket_index" => {
            let bucket = u32::try_from(bucket_of_fraction(number(0))).expect("a small number");
            vec![f64::from(bucket)]
        }
        unknown => panic!("no such function here: {unknown}"),
    }
}

fn quantile(value: &Value) -> Quantile {
    Quantile::of(value.as_f64().expect("a number")).expect("one of ours")
}

/// The bucket of stable's quantile, its edge, and how many of stable and of the canary are slower than it, for the canary
/// by so many buckets more.
fn slow_events(args: &[Value]) -> Vec<f64> {
    let (before, quantile) = (histogram(&args[0]), quantile(&args[3]));
    let more = usize::try_from(args[4].as_u64().expect("a count")).expect("small");
    let limits = Limits::of(&before, &[quantile], more);
    let slower = |times: &Value, limits: [u64; LIMITS]| {
        let counts = histogram(times).into_iter().enumerate();
        let limit = float(limits[quantile as usize] + 1);
        let slow = counts.filter(|(bucket, _)| edge(*bucket).is_none_or(|edge| edge > limit));
        float(slow.map(|(_, count)| count).sum())
    };
    let bucket = quantile_bucket(&before, quantile.value());
    let index = f64::from(u32::try_from(bucket).expect("small"));
    // In the order of the names: b, edge_us, x_c, x_s.
    vec![
        index,
        edge(bucket).expect("finite"),
        slower(&args[1], limits.tolerated),
        slower(&args[2], limits.stable),
    ]
}

/// Counts by bucket.
fn histogram(by_bucket: &Value) -> Vec<u64> {
    let mut counts = vec![0; BUCKETS];
    for (bucket, count) in by_bucket.as_object().expect("an object") {
        counts[bucket.parse::<usize>().expect("a bucket")] = count.as_u64().expect("a count");
    }
    counts
}

fn sequence(steps: &[Value]) -> Vec<f64> {
    let mut process = EProcess::new(ERROR_GRID.map(|(_, stake)| stake));
    let mut bets = error_coefficients(0.0, TOLERATED);
    let mut play = |step: &Value| {
        if let Some(share) = step["w"].as_f64() {
            bets = error_coefficients(share, TOLERATED);
        }
        if step["restart"].as_bool() == Some(true) {
            process.restart();
        }
        if let Some(add) = step["add"].as_array() {
            process.feed(bets.map(|bet| bet.evidence(counts(add))));
        }
        process.log_e()
    };
    steps.iter().map(&mut play).collect()
}

fn metrics(by_name: &Value) -> Vec<(f64, f64)> {
    let weight = |name: &str| match name {
        "errors" => 6.0,
        "guard" | "lat_p99" => 2.0,
        "lat_p50" | "lat_p90" => 1.0,
        unknown => panic!("no such metric: {unknown}"),
    };
    let by_name = by_name.as_object().expect("an object");
    by_name.iter().map(|(name, log_e)| (weight(name), log_e.as_f64().expect("a number"))).collect()
}

/// The arguments are: total log e, gates, age, min and max of the step, canary requests and their minimum; then, if
/// given, alpha, alpha of a gate, what to do at the maximum, whether the wide margin passed, failed canary requests.
fn decision(args: &[Value]) -> &'static str {
    let number = |index: usize, default: f64| args.get(index).and_then(Value::as_f64).unwrap_or(default);
    let seconds = |index: usize| Duration::from_secs_f64(args[index].as_f64().expect("seconds"));
    let completed = args[5].as_u64().expect("a count");
    let promote_bound = -number(8, 0.05).ln();
    let failed = args.get(11).and_then(Value::as_u64).unwrap_or(1000);
    let relaxed = args.get(10).and_then(Value::as_bool).unwrap_or(false);
    let canary = |failed| EpochCounts { canary: arm(completed, failed), stable: ArmCounts::default() };
    let assessment = Assessment {
        harm_log_e: number(0, 0.0),
        harm_bound: -number(7, 0.01).ln(),
        leading: Metric::Errors,
        promote_log_e: list(&args[1]).iter().filter_map(Value::as_f64).reduce(f64::min).unwrap_or(0.0),
        promote_bound,
        relaxed_log_e: if relaxed { promote_bound } else { 0.0 },
        comparable: true,
        stable_failing: false,
        split_suspect: false,
        step: canary(0),
        total: canary(failed),
        findings: Findings::default(),
    };
    let advance = Advance {
        min_requests: args[6].as_u64().expect("a count"),
        min_time: seconds(3),
        max_time: seconds(4),
        on_max_time: match args.get(9).and_then(Value::as_str) {
            None | Some("pause") => OnMaxTime::Pause,
            Some("rollback") => OnMaxTime::Abort,
            Some("advance_if_no_harm") => OnMaxTime::AdvanceIfNoHarm,
            Some(unknown) => panic!("no such policy: {unknown}"),
        },
    };
    let step = StepProgress { age: seconds(2), pause: Duration::ZERO };
    match decide(&assessment, step, &advance) {
        Decision::RollBack => "rollback",
        Decision::Advance => "advance",
        Decision::Hold => "hold",
        Decision::Pause => "pause",
    }
}

fn counts(args: &[Value]) -> EpochCounts {
    let count = |index: usize| args[index].as_u64().expect("a count");
    EpochCounts { canary: arm(count(0), count(1)), stable: arm(count(2), count(3)) }
}

fn arm(completed: u64, failed: u64) -> ArmCounts {
    ArmCounts { routed: completed, completed, failed }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        Value::Object(by_name) => by_name.values().flat_map(numbers).collect(),
        Value::String(infinite) if infinite == "inf" => vec![f64::INFINITY],
        number => vec![number.as_f64().expect("a number")],
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
