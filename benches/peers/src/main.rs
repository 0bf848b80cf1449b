//! Adit beside nginx, HAProxy, Envoy and a bare relay, side by side in one run. `benches/peers/run` starts it; README.md says
//! how it measures.

mod arguments;
mod ask;
mod body;
mod check;
mod compare;
mod cpu;
mod endpoint;
mod figures;
mod goals;
mod h2load;
mod idle;
mod load;
mod machine;
mod measure;
mod peers;
mod process;
mod relay;
mod reload;
mod report;
mod routes;
mod scenarios;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Role};
use compare::Comparison;
use figures::Results;
use machine::Machine;
use peers::{Place, Programs};
use process::{Process, pinned, wait_for};
use report::{NOTES, Report};

fn main() -> ExitCode {
    let done = match arguments::read(std::env::args().skip(1)) {
        Ok(Role::Endpoints { count }) => endpoint::serve(count).map_err(|error| error.to_string()),
        Ok(Role::Relay { port, endpoints }) => {
            relay::serve(port, &endpoints).map_err(|error| error.to_string())
        }
        Ok(Role::Compare(arguments)) => compare(&arguments),
        Err(usage) => Err(usage),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    let programs = programs(arguments)?;
    let machine = Machine::look(&arguments.note, &arguments.peers, &programs);
    let place = Place { folder: arguments.folder.clone(), programs };
    // Beside the contenders, on the last core, as we are.
    let count = arguments.scenarios.iter().flat_map(|scenario| scenario.shapes).map(|shape| shape.endpoints);
    let (process, ports) = endpoints(&place, count.max().unwrap_or(4))?;
    let comparison = Comparison {
        place: &place,
        endpoints: &ports,
        endpoints_process: process.id(),
        kinds: arguments.peers.clone(),
        rounds: arguments.rounds,
        window: Duration::from_secs(arguments.seconds),
    };
    let results = comparison.run(&arguments.scenarios);
    let terms = format!(
        "- Rounds: {}, of {} s each per contender; contenders on core 0, endpoints and generator on core {}; idle connections: {}",
        arguments.rounds,
        arguments.seconds,
        machine::cores() - 1,
        idle::connections(),
    );
    let report = Report { results: &results, machine: &machine, kinds: &arguments.peers, terms };
    publish(&report.text(), arguments.out.as_deref()).map_err(|error| error.to_string())?;
    verdict(&results)
}

fn endpoints(place: &Place, count: usize) -> Result<(Process, Vec<u16>), String> {
    let mut command = pinned(&(machine::cores() - 1).to_string(), &place.programs.own);
    command.arg("endpoints").arg(count.to_string());
    let process = Process::start("endpoints", command, &place.folder).map_err(|error| error.to_string())?;
    let said = || fs::read_to_string(place.folder.join("endpoints.out")).unwrap_or_default();
    wait_for("the endpoints' ports", Duration::from_secs(10), || said().ends_with('\n'))?;
    Ok((process, said().split_whitespace().filter_map(|port| port.parse().ok()).collect()))
}

fn programs(arguments: &Arguments) -> Result<Programs, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let [certificate, key, both] =
        ["cert.pem", "key.pem", "both.pem"].map(|name| arguments.folder.join(name));
    let [adit, other, envoy] = [&arguments.adit, &arguments.other, &arguments.envoy].map(Clone::clone);
    Ok(Programs { own, adit, other, envoy, certificate, key, both })
}

/// To the file, or to standard output. What people wrote below the file's notes stays.
fn publish(text: &str, out: Option<&Path>) -> io::Result<()> {
    let Some(path) = out else {
        println!("{text}");
        return Ok(());
    };
    let old = fs::read_to_string(path).unwrap_or_default();
    let notes = old.find(NOTES).map_or(String::new(), |at| format!("\n{}", &old[at..]));
    fs::write(path, format!("{text}{notes}"))?;
    eprintln!("written to {}", path.display());
    Ok(())
}

fn verdict(results: &Results) -> Result<(), String> {
    match results.problems.len() {
        0 => Ok(()),
        count => Err(format!("this run is not valid: {count} problems, see the report")),
    }
}
