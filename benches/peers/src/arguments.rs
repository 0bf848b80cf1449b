//! What was typed.

use std::path::PathBuf;

use crate::peers::Kind;
use crate::scenarios::{ALL, Scenario};

pub enum Role {
    Endpoints { count: usize },
    Relay { port: u16, endpoints: Vec<u16> },
    Compare(Arguments),
}

pub struct Arguments {
    pub rounds: usize,
    pub seconds: u64,
    pub scenarios: Vec<&'static Scenario>,
    pub peers: Vec<Kind>,
    /// Where the report goes; none: to standard output.
    pub out: Option<PathBuf>,
    /// When and of what, in words.
    pub note: String,
    pub folder: PathBuf,
    pub adit: PathBuf,
    pub other: PathBuf,
    pub envoy: PathBuf,
}

const USAGE: &str = "usage: benches/peers/run [--rounds N] [--seconds S] [--only SCENARIO,...] [--peers PEER,...] [--out FILE]

A whole run goes to RESULTS.md beside it; one with --only, --peers or fewer than 3 rounds to standard output, unless --out
says where.";

pub fn read(words: impl Iterator<Item = String>) -> Result<Role, String> {
    let words: Vec<String> = words.collect();
    let number = |word: &String| word.parse::<u16>().map_err(|_| format!("{word} is no port"));
    match words.first().map(String::as_str) {
        Some("endpoints") => {
            let count = words.get(1).and_then(|word| word.parse().ok()).ok_or("endpoints COUNT")?;
            Ok(Role::Endpoints { count })
        }
        Some("relay") => {
            let mut ports = words[1..].iter().map(number).collect::<Result<Vec<_>, _>>()?.into_iter();
            let port = ports.next().ok_or("relay PORT ENDPOINT...")?;
            Ok(Role::Relay { port, endpoints: ports.collect() })
        }
        Some("compare") => Ok(Role::Compare(comparison(&words[1..])?)),
        _ => Err(USAGE.to_owned()),
    }
}

fn comparison(words: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        rounds: 5,
        seconds: 2,
        scenarios: ALL.iter().collect(),
        peers: Kind::PEERS.to_vec(),
        out: None,
        note: String::new(),
        folder: PathBuf::new(),
        adit: PathBuf::new(),
        other: PathBuf::new(),
        envoy: PathBuf::new(),
    };
    let mut results = None;
    for pair in words.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{} wants a value\n{USAGE}", pair[0])) };
        match flag.as_str() {
            "--rounds" => arguments.rounds = positive(flag, value)?,
            "--seconds" => arguments.seconds = positive(flag, value)? as u64,
            "--only" => arguments.scenarios = value.split(',').map(scenario).collect::<Result<_, _>>()?,
            "--peers" => arguments.peers = value.split(',').map(peer).collect::<Result<_, _>>()?,
            "--out" => arguments.out = Some(value.into()),
            "--note" => arguments.note = value.clone(),
            "--results" => results = Some(PathBuf::from(value)),
            "--folder" => arguments.folder = value.into(),
            "--adit" => arguments.adit = value.into(),
            "--other" => arguments.other = value.into(),
            "--envoy" => arguments.envoy = value.into(),
            _ => return Err(format!("{flag}?\n{USAGE}")),
        }
    }
    let whole = arguments.scenarios.len() == ALL.len() && arguments.peers == Kind::PEERS;
    if whole && arguments.rounds >= 3 && arguments.out.is_none() {
        arguments.out = results;
    }
    if arguments.peers.contains(&Kind::Other) && arguments.other.as_os_str().is_empty() {
        return Err("other is another build of Adit: ADIT_OTHER names its binary".to_owned());
    }
    Ok(arguments)
}

fn positive(flag: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| format!("{flag} is a number from 1 to 1000, not {value}"))
}

fn scenario(name: &str) -> Result<&'static Scenario, String> {
    let names = || ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    ALL.iter()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| format!("no scenario {name}; there are {}", names()))
}

fn peer(name: &str) -> Result<Kind, String> {
    let names = Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| format!("no peer {name}; there are {names}"))
}
