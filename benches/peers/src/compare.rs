//! The comparison: contenders take turns, round by round, so that what changes on the machine changes for all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::cpu::{Sample, Usage};
use crate::figures::{Cell, Figures, Metric, Results};
use crate::measure::{self, Measured, Terms};
use crate::peers::{Kind, PLAIN, Peer, Place, Shape};
use crate::scenarios::{Scenario, Work};
use crate::{check, idle, reload};

pub struct Comparison<'a> {
    pub place: &'a Place,
    /// The ports of all endpoints.
    pub endpoints: &'a [u16],
    pub endpoints_process: u32,
    pub kinds: Vec<Kind>,
    pub rounds: usize,
    pub window: Duration,
}

/// How long contenders are watched doing nothing: twice the time between two checks of an endpoint, so that these are in it.
const WATCHED: Duration = Duration::from_secs(4);

/// Open loops go at this share of what HAProxy can do.
const SHARE: f64 = 0.5;
/// Reloads at this one: some contenders work twice while they reload.
const RELOAD_SHARE: f64 = 0.25;

impl Comparison<'_> {
    pub fn run(&self, scenarios: &[&Scenario]) -> Results {
        let mut results = Results::default();
        let mut fleet = Fleet::default();
        for scenario in scenarios {
            eprintln!("== {}: {}", scenario.name, scenario.title);
            if let Err(problem) = self.measure(scenario, &mut fleet, &mut results) {
                eprintln!("   {problem}");
                results.problems.push(format!("{}: {problem}", scenario.name));
            }
        }
        results
    }

    fn measure(&self, scenario: &Scenario, fleet: &mut Fleet, results: &mut Results) -> Result<(), String> {
        let kinds: Vec<Kind> = self.kinds.iter().copied().filter(|kind| scenario.is_for(*kind)).collect();
        let mut lineup: Vec<(Kind, usize)> = Vec::new();
        for shape in 0..scenario.shapes.len() {
            lineup.extend(kinds.iter().map(|kind| (*kind, shape)));
        }
        let fresh = matches!(scenario.work, Work::Idle);
        fleet.keep(if fresh { &[] } else { scenario.shapes });
        if !fresh {
            for &(kind, shape) in &lineup {
                check::answers(fleet.get(kind, scenario.shapes[shape], self)?, scenario)?;
            }
            fleet.watch_idle();
        }
        let rate = self.rate(scenario, fleet, &kinds)?;
        for round in 0..scenario.rounds(self.rounds) {
            // Each round begins with another, so that nobody always comes after the same one.
            lineup.rotate_left(usize::from(round > 0));
            for &(kind, shape) in &lineup {
                let measured = self.cell(scenario, fleet, (kind, shape, round), rate);
                self.note(scenario, (kind, shape, round), measured, results);
            }
        }
        Ok(())
    }

    fn cell(
        &self,
        scenario: &Scenario,
        fleet: &mut Fleet,
        (kind, shape, round): (Kind, usize, usize),
        rate: f64,
    ) -> Result<Measured, String> {
        let terms = self.terms();
        let shape = scenario.shapes[shape];
        if let Work::Idle = scenario.work {
            let peer = Peer::start(kind, shape, self.endpoints, self.place)?;
            check::answers(&peer, scenario)?;
            let measured = idle::measure(&peer)?;
            peer.check()?;
            return Ok(measured);
        }
        let usage = fleet.idle(kind, shape);
        let peer = fleet.get(kind, shape, self)?;
        let (mut figures, problems) = match &scenario.work {
            Work::Load(load) => measure::closed(peer, load, usage, &terms)?,
            Work::H2(wire) => measure::http2(peer, *wire, usage, &terms)?,
            // Longer: its slowest thousandth must be more than a few requests.
            Work::Latency => {
                measure::open(peer, rate, usage, &Terms { window: self.window.mul_f64(1.5), ..terms })?
            }
            Work::Reload => reload::measure(peer, round, rate, &terms)?,
            Work::Idle => return Err("measured above".to_owned()),
        };
        peer.check()?;
        figures.insert(Metric::Idle, usage.share_of_core() * 1e3);
        Ok((figures, problems))
    }

    fn note(
        &self,
        scenario: &Scenario,
        (kind, shape, round): (Kind, usize, usize),
        measured: Result<Measured, String>,
        results: &mut Results,
    ) {
        let (figures, problems) = measured.unwrap_or_else(|problem| (Figures::new(), vec![problem]));
        eprintln!("   {} round {}: {}{}", kind, round + 1, shape_name(scenario, shape), short(&figures));
        for problem in problems {
            eprintln!("   INVALID: {problem}");
            results.problems.push(format!("{}, {kind}, round {}: {problem}", scenario.name, round + 1));
        }
        results.cells.push(Cell { scenario: scenario.name, kind, shape, round, figures });
    }

    fn terms(&self) -> Terms {
        let beside = [std::process::id(), self.endpoints_process];
        Terms { window: self.window, endpoint: self.endpoints[0], beside }
    }

    /// The rate of an open loop: a share of what HAProxy (without it: the last of the contenders) can do in this run.
    fn rate(&self, scenario: &Scenario, fleet: &mut Fleet, kinds: &[Kind]) -> Result<f64, String> {
        let share = match scenario.work {
            Work::Latency => SHARE,
            Work::Reload => RELOAD_SHARE,
            Work::Load(_) | Work::H2(_) | Work::Idle => return Ok(0.0),
        };
        let kind = if kinds.contains(&Kind::HaProxy) { Some(&Kind::HaProxy) } else { kinds.last() };
        let kind = *kind.ok_or("nobody takes part")?;
        let terms = self.terms();
        let peer = fleet.get(kind, scenario.shapes[0], self)?;
        let (figures, _) = measure::closed(peer, &measure::SMALL, Usage::default(), &terms)?;
        let most = figures.get(&Metric::Rate).copied().unwrap_or(0.0);
        eprintln!("   {kind} can do {most:.0} requests/s; asked {:.0} times a second", most * share);
        if most * share < 10.0 { Err(format!("{kind} answers hardly anything")) } else { Ok(most * share) }
    }
}

/// Contenders that are running.
#[derive(Default)]
struct Fleet {
    peers: HashMap<(Kind, Shape), Peer>,
    idle: HashMap<(Kind, Shape), Usage>,
}

impl Fleet {
    /// Ends all others.
    fn keep(&mut self, shapes: &[Shape]) {
        self.peers.retain(|(_, shape), _| shapes.contains(shape));
        self.idle.retain(|(_, shape), _| shapes.contains(shape));
    }

    fn get(&mut self, kind: Kind, shape: Shape, comparison: &Comparison) -> Result<&mut Peer, String> {
        match self.peers.entry((kind, shape)) {
            Entry::Occupied(running) => Ok(running.into_mut()),
            Entry::Vacant(place) => {
                Ok(place.insert(Peer::start(kind, shape, comparison.endpoints, comparison.place)?))
            }
        }
    }

    /// What each uses doing nothing, all at the same time. It is the same whatever they did before: who was watched once
    /// is not watched again.
    fn watch_idle(&mut self) {
        let unseen = self.peers.iter().filter(|(key, _)| !self.idle.contains_key(key));
        let samples: Vec<_> = unseen.map(|(key, peer)| (*key, Sample::of(peer.id()))).collect();
        if samples.is_empty() {
            return;
        }
        std::thread::sleep(WATCHED);
        for (key, sample) in samples {
            self.idle.insert(key, sample.until(&Sample::of(self.peers[&key].id())));
        }
    }

    fn idle(&self, kind: Kind, shape: Shape) -> Usage {
        self.idle.get(&(kind, shape)).copied().unwrap_or_default()
    }
}

fn shape_name(scenario: &Scenario, shape: usize) -> String {
    let Shape { endpoints, routes, workers, .. } = scenario.shapes[shape];
    if scenario.shapes[shape] == PLAIN && scenario.shapes.len() == 1 {
        return String::new();
    }
    format!("{routes} routes, {endpoints} endpoints, workers: {workers}: ")
}

fn short(figures: &Figures) -> String {
    figures.iter().map(|(metric, value)| format!("{metric:?} {value:.1}")).collect::<Vec<_>>().join(", ")
}
