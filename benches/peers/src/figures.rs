//! What was measured, and what it comes to: ratios within a round, then the smallest, middle and largest of all rounds.

use std::collections::BTreeMap;

use crate::peers::Kind;
use crate::scenarios::{Against, Scenario};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Metric {
    /// Microseconds of CPU per request, without what is used idle.
    Cpu,
    User,
    System,
    /// Requests per second.
    Rate,
    /// Requests per second that its workers could do on cores of their own.
    Capacity,
    /// How much of a core it used, in percent.
    Busy,
    /// How much of the other core the generator and the endpoints used, in percent.
    Beside,
    P50,
    P99,
    P999,
    /// KiB per connection.
    Memory,
    /// KiB before there was any connection.
    Resident,
    /// From being told until the new config serves, in milliseconds.
    Reload,
    P99During,
    /// How many times the p99 before.
    P99Rise,
    Failed,
    /// Percent of the requests that went to the canary's endpoints.
    Canary,
    /// CPU milliseconds a second, doing nothing.
    Idle,
}

pub type Figures = BTreeMap<Metric, f64>;

/// One measurement of one contender.
pub struct Cell {
    pub scenario: &'static str,
    pub kind: Kind,
    /// Which of the scenario's shapes.
    pub shape: usize,
    pub round: usize,
    pub figures: Figures,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

#[derive(Default)]
pub struct Results {
    pub cells: Vec<Cell>,
    /// Why they are not valid, if they are not.
    pub problems: Vec<String>,
}

impl Results {
    pub fn was_measured(&self, scenario: &Scenario, kind: Kind) -> bool {
        self.cells.iter().any(|cell| cell.scenario == scenario.name && cell.kind == kind)
    }

    pub fn absolute(&self, scenario: &str, kind: Kind, shape: usize, metric: Metric) -> Option<Spread> {
        Spread::of(self.of(scenario, kind, shape, metric).into_values().collect())
    }

    /// The ratio that the scenario is about.
    pub fn ratio(&self, scenario: &Scenario, kind: Kind, metric: Metric) -> Option<Spread> {
        let last = scenario.shapes.len() - 1;
        match scenario.against {
            Against::Peer(other) => self.between(scenario.name, (kind, last), (other, last), metric),
            Against::ItselfInFirstShape => self.between(scenario.name, (kind, last), (kind, 0), metric),
            Against::Nothing => None,
        }
    }

    /// The ratio of one to the other, round by round: what changes from round to round cancels out.
    pub fn between(
        &self,
        scenario: &str,
        this: (Kind, usize),
        other: (Kind, usize),
        metric: Metric,
    ) -> Option<Spread> {
        let others = self.of(scenario, other.0, other.1, metric);
        let these = self.of(scenario, this.0, this.1, metric);
        let ratio =
            |(round, value): (usize, f64)| Some(value / others.get(&round).filter(|other| **other > 0.0)?);
        Spread::of(these.into_iter().filter_map(ratio).collect())
    }

    /// By round.
    fn of(&self, scenario: &str, kind: Kind, shape: usize, metric: Metric) -> BTreeMap<usize, f64> {
        let wanted = |cell: &&Cell| cell.scenario == scenario && cell.kind == kind && cell.shape == shape;
        let cells = self.cells.iter().filter(wanted);
        cells.filter_map(|cell| Some((cell.round, *cell.figures.get(&metric)?))).collect()
    }
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let middle = |values: &[f64]| (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { min: *values.first()?, median: middle(&values), max: *values.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Metric, Results, Spread};
    use crate::peers::Kind;

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let mut results = Results::default();
        // The machine is twice as slow in the second round, for both.
        for (kind, round, cpu) in
            [(Kind::Floor, 0, 10.0), (Kind::Adit, 0, 13.0), (Kind::Floor, 1, 20.0), (Kind::Adit, 1, 28.0)]
        {
            let figures = [(Metric::Cpu, cpu)].into();
            results.cells.push(Cell { scenario: "small", kind, shape: 0, round, figures });
        }
        let ratio = results.between("small", (Kind::Adit, 0), (Kind::Floor, 0), Metric::Cpu);
        assert_eq!(ratio, Some(Spread { min: 1.3, median: 1.35, max: 1.4 }));
    }
}
