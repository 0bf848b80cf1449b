//! What Adit is to reach, and whether it did in this run.

use crate::figures::{Metric, Results, Spread};
use crate::peers::Kind;
use crate::scenarios::{ALL, Scenario};

pub struct Goal {
    pub what: String,
    pub limit: String,
    pub got: Option<Spread>,
    /// None if it was not measured.
    pub reached: Option<bool>,
}

pub fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = vec![ratio(results, "small", Kind::Floor, Metric::Cpu, Limit::AtMost(1.35))];
    for (scenario, other, metric, limit) in [
        ("small", Kind::Nginx, Metric::Cpu, Limit::Below(1.0)),
        ("small", Kind::HaProxy, Metric::Cpu, Limit::Below(1.0)),
        ("1m", Kind::HaProxy, Metric::Cpu, Limit::AtMost(1.0)),
        ("upload", Kind::HaProxy, Metric::Cpu, Limit::AtMost(1.0)),
        ("upload-chunked", Kind::HaProxy, Metric::Cpu, Limit::AtMost(1.0)),
        ("connect", Kind::HaProxy, Metric::Cpu, Limit::AtMost(1.0)),
        ("tls-full", Kind::Nginx, Metric::Cpu, Limit::AtMost(1.0)),
        ("tls", Kind::Nginx, Metric::Cpu, Limit::AtMost(1.0)),
        ("h2", Kind::Nginx, Metric::Cpu, Limit::Below(1.0)),
        ("h2", Kind::HaProxy, Metric::Cpu, Limit::Below(1.0)),
        ("latency", Kind::HaProxy, Metric::P99, Limit::AtMost(1.0)),
        ("latency", Kind::HaProxy, Metric::P999, Limit::AtMost(1.0)),
    ] {
        goals.push(ratio(results, scenario, other, metric, limit));
    }
    goals.push(absolute(results, "idle", "KiB per idle connection", Metric::Memory, Limit::AtMost(4.0)));
    goals.push(growth(results, "routes", Metric::Cpu, Limit::AtMost(1.05)));
    goals.push(growth(results, "endpoints", Metric::Cpu, Limit::AtMost(1.05)));
    goals.push(absolute(results, "reload", "ms until it serves", Metric::Reload, Limit::Below(100.0)));
    goals.push(absolute(results, "reload", "p99 against before", Metric::P99Rise, Limit::AtMost(2.0)));
    goals.push(growth(results, "workers", Metric::Capacity, Limit::AtLeast(1.9)));
    goals
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Limit::AtMost(limit) => value <= limit,
            Limit::Below(limit) => value < limit,
            Limit::AtLeast(limit) => value >= limit,
        }
    }

    fn words(self) -> String {
        match self {
            Limit::AtMost(limit) => format!("at most {limit}"),
            Limit::Below(limit) => format!("below {limit}"),
            Limit::AtLeast(limit) => format!("at least {limit}"),
        }
    }
}

fn scenario(name: &str) -> &'static Scenario {
    ALL.iter().find(|scenario| scenario.name == name).expect("goals are about scenarios that there are")
}

fn ratio(results: &Results, name: &str, other: Kind, metric: Metric, limit: Limit) -> Goal {
    let what = format!("{}: {}, ratio to {other}", scenario(name).title, words(metric));
    goal(what, results.between(name, (Kind::Adit, 0), (other, 0), metric), limit)
}

fn growth(results: &Results, name: &str, metric: Metric, limit: Limit) -> Goal {
    let what = format!("{}: {}, ratio to itself", scenario(name).title, words(metric));
    goal(what, results.ratio(scenario(name), Kind::Adit, metric), limit)
}

fn absolute(results: &Results, name: &str, unit: &str, metric: Metric, limit: Limit) -> Goal {
    let what = format!("{}: {unit}", scenario(name).title);
    goal(what, results.absolute(name, Kind::Adit, 0, metric), limit)
}

/// Reached is what the middle of the rounds reaches.
fn goal(what: String, got: Option<Spread>, limit: Limit) -> Goal {
    Goal { what, limit: limit.words(), got, reached: got.map(|spread| limit.holds(spread.median)) }
}

pub fn words(metric: Metric) -> &'static str {
    match metric {
        Metric::Cpu => "CPU per request",
        Metric::User => "of it user",
        Metric::System => "of it system",
        Metric::Rate => "requests/s",
        Metric::Capacity => "requests per CPU-limited second",
        Metric::Busy => "% of a core",
        Metric::Beside => "% of a core, generator and endpoints",
        Metric::P50 => "p50",
        Metric::P99 => "p99",
        Metric::P999 => "p99.9",
        Metric::Memory => "KiB per connection",
        Metric::Resident => "KiB without connections",
        Metric::Reload => "ms until it serves",
        Metric::P99During => "p99 meanwhile",
        Metric::P99Rise => "p99 meanwhile against before",
        Metric::Failed => "failed or late requests",
        Metric::Canary => "% to the canary",
        Metric::Idle => "CPU ms/s doing nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::goals;
    use crate::figures::{Cell, Metric, Results};
    use crate::peers::Kind;

    #[test]
    fn a_goal_is_reached_missed_or_not_measured() {
        let mut results = Results::default();
        for (kind, cpu) in [(Kind::Floor, 10.0), (Kind::Adit, 13.0), (Kind::Nginx, 12.5)] {
            let figures = [(Metric::Cpu, cpu)].into();
            results.cells.push(Cell { scenario: "small", kind, shape: 0, round: 0, figures });
        }
        let reached: Vec<_> = goals(&results).into_iter().map(|goal| goal.reached).take(3).collect();
        assert_eq!(reached, [Some(true), Some(false), None]);
    }
}
