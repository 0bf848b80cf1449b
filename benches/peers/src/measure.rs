//! One measurement of one contender.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cpu::{Sample, Usage};
use crate::figures::{Figures, Metric};
use crate::h2load;
use crate::load::{self, Handshakes, Pace, Plan, Resumption, Reuse, Tally};
use crate::peers::{Kind, Logs, Peer};
use crate::scenarios::{Asked, Load, Wire};
use crate::{ask, endpoint, routes};

/// What a measurement needs to know beside whom it measures.
pub struct Terms {
    pub window: Duration,
    /// One of the endpoints, to be asked for all counts.
    pub endpoint: u16,
    /// The processes of the endpoints and of the generator.
    pub beside: [u32; 2],
}

/// Figures, and what speaks against them.
pub type Measured = (Figures, Vec<String>);

pub const SMALL: Load = Load { connections: 64, asked: Asked::Small, reuse: Reuse::KeepAlive, tls: None };

/// Closed loop: CPU per request, requests per second.
pub fn closed(peer: &Peer, load: &Load, idle: Usage, terms: &Terms) -> Result<Measured, String> {
    let plan = plan(peer, load, Pace::Closed, terms.window);
    let (before, logged_before) = (counts(terms)?, peer.logged());
    let (tallies, usage, beside) = observed(peer, &plan, idle, terms)?;
    let (mut figures, mut problems) = (Figures::new(), Vec::new());
    let tally = &tallies[0];
    per_request(&mut figures, usage, tally.answers, peer.site.shape.workers);
    figures.insert(Metric::Beside, beside.share_of_core() * 100.0);
    figures.insert(Metric::Rate, tally.answers as f64 / tally.elapsed.as_secs_f64());
    faults(tally, &mut problems);
    if tally.reconnects > tally.answers / 100 + plan.connections as u64 {
        problems.push(format!("{} kept connections ended by it", tally.reconnects));
    }
    if let Some(wanted) = load.tls {
        problems.extend(wrong_handshakes(wanted, tally.handshakes, plan.connections as u64));
    }
    at_endpoints(peer, &before, &counts(terms)?, tally.answers, &mut figures, &mut problems);
    problems.extend(wrong_log(peer, peer.logged() - logged_before, tally.answers));
    Ok((figures, problems))
}

/// Open loop at this rate: latencies from when each request was due.
pub fn open(peer: &Peer, rate: f64, idle: Usage, terms: &Terms) -> Result<Measured, String> {
    let plan = plan(peer, &SMALL, Pace::Open(rate), terms.window);
    let (tallies, usage, beside) = observed(peer, &plan, idle, terms)?;
    let tally = &tallies[0];
    let (mut figures, mut problems) = (Figures::new(), Vec::new());
    per_request(&mut figures, usage, tally.answers, 1);
    figures.insert(Metric::Beside, beside.share_of_core() * 100.0);
    let quantiles = [(Metric::P50, 0.5), (Metric::P99, 0.99), (Metric::P999, 0.999)];
    figures.extend(quantiles.map(|(metric, quantile)| (metric, tally.quantile(quantile))));
    // A rate that is too much for it shows in its latencies; that is a result.
    let late = tally.errors.get("no answer in time").copied().unwrap_or(0);
    figures.insert(Metric::Failed, late as f64);
    if tally.failed() > late {
        faults(tally, &mut problems);
    }
    Ok((figures, problems))
}

pub fn http2(peer: &Peer, wire: Wire, idle: Usage, terms: &Terms) -> Result<Measured, String> {
    let before = (counts(terms)?, Sample::of(peer.id()));
    let said = h2load::run(peer, wire, terms.window)?;
    let usage = before.1.until(&Sample::of(peer.id())).without(idle);
    let (mut figures, mut problems) = (Figures::new(), Vec::new());
    per_request(&mut figures, usage, said.answers, 1);
    figures.insert(Metric::Rate, said.answers as f64 / usage.elapsed);
    if said.failed > 0 {
        problems.push(format!("h2load: {} requests failed", said.failed));
    }
    // What is under way when the time is over may be counted by its head, or by its bytes, alone.
    let expected = said.answers * endpoint::SMALL as u64;
    let under_way = 160 * endpoint::SMALL as u64;
    if said.bytes.abs_diff(expected) > under_way {
        problems.push(format!("h2load: {} bytes of bodies instead of {expected}", said.bytes));
    }
    at_endpoints(peer, &before.0, &counts(terms)?, said.answers, &mut figures, &mut problems);
    Ok((figures, problems))
}

/// Requests of the kind that the load is of, for the routes that the contender has.
pub fn plan(peer: &Peer, load: &Load, pace: Pace, window: Duration) -> Plan {
    let (sent, body) = load.asked.bodies();
    let request = |(host, path): (String, String)| match (load.asked, &sent) {
        (Asked::Upload(framing), Some(body)) => load::post("/upload", body, framing),
        (Asked::Small, _) => load::get(&host, &path, load.reuse),
        _ => load::get(&host, load.asked.path(), load.reuse),
    };
    Plan {
        port: if load.tls.is_some() { peer.site.ports.tls } else { peer.site.ports.plain },
        connections: load.connections,
        requests: routes::requests(peer.site.shape.routes).into_iter().map(request).collect(),
        body: body.into(),
        pace,
        reuse: load.reuse,
        tls: load.tls,
        warmup: warmup(peer, window),
        windows: 1,
        window,
    }
}

/// Many endpoints take long until connections to all of them stand.
fn warmup(peer: &Peer, window: Duration) -> Duration {
    let shortest = if peer.site.endpoints.len() > 100 { window } else { window / 8 };
    shortest.max(Duration::from_millis(300))
}

/// What was counted, what the contender used for it, and what endpoints and generator used.
fn observed(
    peer: &Peer,
    plan: &Plan,
    idle: Usage,
    terms: &Terms,
) -> Result<(Vec<Tally>, Usage, Usage), String> {
    let mut samples = Vec::new();
    let mut look = || samples.push((Sample::of(peer.id()), Sample::of_all(&terms.beside)));
    let tallies = load::run(plan, &mut look).map_err(|error| error.to_string())?;
    let [first, .., last] = samples.as_slice() else {
        return Err(format!("nothing but errors: {:?}", tallies.first().map(|tally| &tally.errors)));
    };
    Ok((tallies, first.0.until(&last.0).without(idle), first.1.until(&last.1)))
}

fn per_request(figures: &mut Figures, usage: Usage, answers: u64, workers: usize) {
    let micros = usage.cpu * 1e6 / answers.max(1) as f64;
    // On cores of its own it is as fast as its busiest thread, or as all of them on all cores.
    let limit = usage.busiest.max(usage.cpu / workers as f64).max(1e-9);
    figures.extend([
        (Metric::Cpu, micros),
        (Metric::User, micros * usage.user_share),
        (Metric::System, micros * (1.0 - usage.user_share)),
        (Metric::Busy, usage.share_of_core() * 100.0),
        (Metric::Capacity, answers as f64 / limit),
    ]);
}

fn faults(tally: &Tally, problems: &mut Vec<String>) {
    problems.extend(tally.errors.iter().map(|(why, times)| format!("{times} requests failed: {why}")));
    if tally.answers == 0 {
        problems.push("no answer at all".to_owned());
    }
}

/// With resumption the first handshake of each connection at once is full.
fn wrong_handshakes(wanted: Resumption, handshakes: Handshakes, connections: u64) -> Option<String> {
    let wrong = match wanted {
        Resumption::Full => handshakes.resumed > 0,
        Resumption::Resumed => handshakes.full > connections + handshakes.resumed / 50,
    };
    wrong.then(|| format!("{wanted:?} handshakes wanted, got {handshakes:?}"))
}

/// A line has a hundred bytes and more; some of the last lines may not be written yet.
fn wrong_log(peer: &Peer, bytes: u64, answers: u64) -> Option<String> {
    let wrong = match peer.site.shape.logs {
        Logs::On => bytes < 50 * answers,
        Logs::Off => bytes > 0,
    };
    (wrong && peer.kind != Kind::Floor).then(|| format!("{bytes} bytes of log for {answers} requests"))
}

/// How many requests each endpoint has answered.
fn counts(terms: &Terms) -> Result<BTreeMap<u16, u64>, String> {
    let answer = ask::get(terms.endpoint, "localhost", "/counts").ok_or("the endpoints don't answer")?;
    let line = |line: &str| {
        let (port, count) = line.split_once(' ')?;
        Some((port.parse().ok()?, count.parse().ok()?))
    };
    Ok(String::from_utf8_lossy(&answer.body).lines().filter_map(line).collect())
}

/// Whether the endpoints were asked as often as clients were answered, and the canary for its share.
fn at_endpoints(
    peer: &Peer,
    before: &BTreeMap<u16, u64>,
    after: &BTreeMap<u16, u64>,
    answers: u64,
    figures: &mut Figures,
    problems: &mut Vec<String>,
) {
    let asked =
        |ports: &[u16]| -> u64 { ports.iter().map(|port| after[port].saturating_sub(before[port])).sum() };
    let all = asked(&peer.site.endpoints);
    if all < answers {
        problems.push(format!("{answers} answers, but the endpoints gave only {all}"));
    }
    if peer.kind == Kind::Floor {
        return;
    }
    let canary =
        asked(&peer.site.endpoints[peer.site.endpoints.len() / 2..]) as f64 / all.max(1) as f64 * 100.0;
    figures.insert(Metric::Canary, canary);
    // A drawn share of so many stays within this. Who goes by turns needs many turns of each endpoint to come to its share.
    if all > 20_000.max(200 * peer.site.endpoints.len() as u64) && !(4.0..6.0).contains(&canary) {
        problems.push(format!("{canary:.1} % of the requests went to the canary instead of 5 %"));
    }
}
