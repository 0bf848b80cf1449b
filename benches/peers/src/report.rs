//! The report, in Markdown.

use std::fmt::Write;

use crate::figures::{Metric, Results, Spread};
use crate::goals::{goals, words};
use crate::machine::Machine;
use crate::peers::Kind;
use crate::scenarios::{ALL, Against, Scenario, Work};

/// Below this line stand words of people; they are kept.
pub const NOTES: &str = "## Notes";

pub struct Report<'a> {
    pub results: &'a Results,
    pub machine: &'a Machine,
    pub kinds: &'a [Kind],
    /// How it was measured, in a line.
    pub terms: String,
}

impl Report<'_> {
    pub fn text(&self) -> String {
        let mut text = "# Adit beside its peers\n\n".to_owned();
        text += "Written by `benches/peers/run`; how to read it stands in [README.md](README.md).\n\n";
        text += &self.validity();
        text += &format!("{}\n{}\n", self.machine.text(), self.terms);
        text += "\n## Goals\n\n";
        text += &self.goals();
        text += "\n## Ratios\n\nMiddle of the rounds (smallest – largest). Less is better, except for requests per second.\n\n";
        text += &self.ratios();
        text += "\n## Absolute figures\n\nOf this machine on this day: good for finding what to look at, not for comparing with others'.\n\n";
        text += "<details><summary>All of them</summary>\n\n";
        text += &self.absolutes();
        text += "\n</details>\n";
        text
    }

    fn validity(&self) -> String {
        let problems = &self.results.problems;
        if problems.is_empty() {
            return String::new();
        }
        let lines: String =
            problems.iter().map(|problem| format!("- {}\n", problem.replace('\n', " "))).collect();
        format!("**This run is not valid:**\n\n{lines}\n")
    }

    fn goals(&self) -> String {
        let mut text = table_head(["goal", "limit", "this run", "reached"].map(str::to_owned).to_vec());
        for goal in goals(self.results) {
            let got = goal.got.map_or("–".to_owned(), spread);
            let reached = match goal.reached {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "not measured",
            };
            row(&mut text, vec![goal.what, goal.limit, got, reached.to_owned()]);
        }
        text
    }

    fn ratios(&self) -> String {
        let mut text = self.head("scenario", "ratio of");
        for scenario in self.measured().filter(|scenario| scenario.against != Against::Nothing) {
            for metric in compared(scenario) {
                let cells = self
                    .kinds
                    .iter()
                    .map(|kind| self.results.ratio(scenario, *kind, *metric).map_or("–".to_owned(), spread));
                let to = match scenario.against {
                    Against::Peer(kind) => format!("{} to {kind}'s", words(*metric)),
                    Against::ItselfInFirstShape | Against::Nothing => {
                        format!("{} to its own", words(*metric))
                    }
                };
                row(&mut text, [scenario.title.to_owned(), to].into_iter().chain(cells).collect());
            }
        }
        text
    }

    fn absolutes(&self) -> String {
        let mut text = self.head("scenario", "middle of the rounds");
        for scenario in self.measured() {
            for shape in 0..scenario.shapes.len() {
                for metric in self.metrics_of(scenario, shape) {
                    let of = |kind: &Kind| self.results.absolute(scenario.name, *kind, shape, metric);
                    let cells = self.kinds.iter().map(|kind| match of(kind) {
                        Some(got) if metric == Metric::Cpu => {
                            number(got.median) + &self.divided(scenario, *kind, shape)
                        }
                        Some(got) => number(got.median),
                        None => "–".to_owned(),
                    });
                    row(&mut text, [title(scenario, shape), unit(metric)].into_iter().chain(cells).collect());
                }
            }
        }
        text
    }

    /// User and system time.
    fn divided(&self, scenario: &Scenario, kind: Kind, shape: usize) -> String {
        let of = |metric| self.results.absolute(scenario.name, kind, shape, metric);
        let (Some(user), Some(system)) = (of(Metric::User), of(Metric::System)) else { return String::new() };
        format!(" ({} + {})", number(user.median), number(system.median))
    }

    fn head(&self, first: &str, second: &str) -> String {
        let kinds = self.kinds.iter().map(|kind| kind.to_string());
        table_head([first.to_owned(), second.to_owned()].into_iter().chain(kinds).collect())
    }

    fn measured(&self) -> impl Iterator<Item = &'static Scenario> {
        ALL.iter().filter(|scenario| self.kinds.iter().any(|kind| self.results.was_measured(scenario, *kind)))
    }

    fn metrics_of(&self, scenario: &Scenario, shape: usize) -> Vec<Metric> {
        let cells = self.results.cells.iter();
        let these = cells.filter(|cell| cell.scenario == scenario.name && cell.shape == shape);
        let mut metrics: Vec<Metric> = these.flat_map(|cell| cell.figures.keys().copied()).collect();
        metrics.sort_unstable();
        metrics.dedup();
        metrics.retain(|metric| match metric {
            // They stand beside their sum.
            Metric::User | Metric::System => false,
            // It says something only where workers are compared.
            Metric::Capacity => scenario.name == "workers",
            _ => true,
        });
        metrics
    }
}

fn compared(scenario: &Scenario) -> &'static [Metric] {
    match scenario.work {
        Work::Latency => &[Metric::P50, Metric::P99, Metric::P999, Metric::Cpu],
        Work::Load(_) if scenario.name == "workers" => &[Metric::Capacity, Metric::Cpu],
        Work::Load(_) | Work::H2(_) => &[Metric::Cpu, Metric::Rate],
        Work::Idle | Work::Reload => &[],
    }
}

fn title(scenario: &Scenario, shape: usize) -> String {
    if scenario.shapes.len() == 1 {
        return scenario.title.to_owned();
    }
    let shape = scenario.shapes[shape];
    format!(
        "{}: {} routes, {} endpoints, workers: {}",
        scenario.name, shape.routes, shape.endpoints, shape.workers
    )
}

fn unit(metric: Metric) -> String {
    let unit = match metric {
        Metric::Cpu => " (user + system), µs",
        Metric::P50 | Metric::P99 | Metric::P999 | Metric::P99During => ", µs",
        _ => "",
    };
    format!("{}{unit}", words(metric))
}

fn spread(spread: Spread) -> String {
    format!("{} ({} – {})", number(spread.median), number(spread.min), number(spread.max))
}

fn number(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn table_head(names: Vec<String>) -> String {
    let rule = vec!["---".to_owned(); names.len()];
    let mut text = String::new();
    row(&mut text, names);
    row(&mut text, rule);
    text
}

fn row(text: &mut String, cells: Vec<String>) {
    // Writing to a String can't fail.
    let _written = writeln!(text, "| {} |", cells.join(" | "));
}
