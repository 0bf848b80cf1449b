//! Who is compared, and how each is set up: one file per contender, as one would set it up who wants it to do well.

mod adit;
mod envoy;
mod floor;
mod haproxy;
mod nginx;

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Process, wait_for};
use crate::{ask, routes};

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    Floor,
    Adit,
    Nginx,
    HaProxy,
    Envoy,
    /// Another build of Adit, to hold a change against what was before it.
    Other,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Floor, Kind::Adit, Kind::Nginx, Kind::HaProxy, Kind::Envoy, Kind::Other];
    /// Who takes part unless it is said who does.
    pub const PEERS: [Kind; 5] = [Kind::Floor, Kind::Adit, Kind::Nginx, Kind::HaProxy, Kind::Envoy];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Floor => "floor",
            Kind::Adit => "adit",
            Kind::Nginx => "nginx",
            Kind::HaProxy => "haproxy",
            Kind::Envoy => "envoy",
            Kind::Other => "other",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a contender is set up for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    pub endpoints: usize,
    pub routes: usize,
    pub workers: usize,
    pub logs: Logs,
}

/// Whether every request is logged, to a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Logs {
    On,
    Off,
}

/// Two versions with two endpoints each, one route, one worker.
pub const PLAIN: Shape = Shape { endpoints: 4, routes: 1, workers: 1, logs: Logs::Off };

/// How often each endpoint is checked: Adit's and HAProxy's default.
const CHECKED_EVERY: &str = "2s";

/// Where a contender runs and what it is given.
pub struct Site {
    pub shape: Shape,
    pub ports: Ports,
    /// The first half is the stable version, the other the canary.
    pub endpoints: Vec<u16>,
    pub folder: PathBuf,
    pub cores: String,
    pub programs: Programs,
    /// A host that a reload added.
    pub added: Option<String>,
}

#[derive(Clone, Copy)]
pub struct Ports {
    pub plain: u16,
    pub tls: u16,
    /// HTTP/2 without TLS.
    pub h2: u16,
    pub admin: u16,
}

#[derive(Clone)]
pub struct Programs {
    pub own: PathBuf,
    pub adit: PathBuf,
    /// Empty: there is none.
    pub other: PathBuf,
    pub envoy: PathBuf,
    /// Certificate and key, PEM; and both in one file, as HAProxy wants them.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub both: PathBuf,
}

impl Site {
    /// Endpoints with their weights: 5 % go to the canary's, as Adit's rollout has it.
    fn weighted(&self) -> impl Iterator<Item = (u16, u8)> {
        let stable = self.endpoints.len() / 2;
        self.endpoints
            .iter()
            .enumerate()
            .map(move |(index, &port)| (port, if index < stable { 95 } else { 5 }))
    }

    fn routes(&self) -> Vec<routes::Route> {
        let added = self.added.iter().cloned().map(routes::Route::Host);
        routes::routes(self.shape.routes).into_iter().chain(added).collect()
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// A contender that is running.
pub struct Peer {
    pub kind: Kind,
    pub site: Site,
    process: Process,
}

impl Peer {
    /// Starts it and waits until it serves.
    pub fn start(kind: Kind, shape: Shape, endpoints: &[u16], place: &Place) -> Result<Peer, String> {
        let ports = free_ports()?;
        let folder = place.folder.join(format!("{kind}-{}", ports.plain));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let site = Site {
            shape,
            ports,
            endpoints: endpoints[..shape.endpoints].to_vec(),
            folder,
            cores: place.cores(shape.workers),
            programs: place.programs.clone(),
            added: None,
        };
        let command = match kind {
            Kind::Floor => floor::command(&site),
            Kind::Adit => adit::command(&site, &site.programs.adit)?,
            Kind::Other => adit::command(&site, &site.programs.other)?,
            Kind::Nginx => nginx::command(&site)?,
            Kind::HaProxy => haproxy::command(&site)?,
            Kind::Envoy => envoy::command(&site)?,
        };
        let process =
            Process::start(kind.name(), command, &site.folder).map_err(|error| format!("{kind}: {error}"))?;
        let mut peer = Peer { kind, site, process };
        peer.become_ready().map_err(|why| {
            format!("{kind} with {shape:?}: {why}\n{}", peer.process.last_words(&peer.site.folder))
        })?;
        Ok(peer)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether what it must be like while it is measured still holds.
    pub fn check(&self) -> Result<(), String> {
        match self.kind {
            Kind::Adit | Kind::Other => adit::is_rolling_out(&self.site),
            Kind::Floor | Kind::Nginx | Kind::HaProxy | Kind::Envoy => Ok(()),
        }
    }

    /// How many bytes of log it has written.
    pub fn logged(&self) -> u64 {
        let files = ["access.log".to_owned(), format!("{}.out", self.kind)];
        let sizes = files.iter().filter_map(|file| fs::metadata(self.site.folder.join(file)).ok());
        sizes.map(|file| file.len()).sum()
    }

    /// Gives it a config with one more host and has it read that. Returns when it was told, not when it is done.
    pub fn reload(&mut self, host: &str) -> Result<(), String> {
        self.site.added = Some(host.to_owned());
        match self.kind {
            Kind::Adit | Kind::Other => adit::reload(&self.site),
            Kind::Nginx => nginx::reload(&self.site, &self.process),
            Kind::HaProxy => haproxy::reload(&self.site, &self.process),
            Kind::Floor | Kind::Envoy => Err(format!("{} has no reload of a file", self.kind)),
        }
    }

    fn become_ready(&mut self) -> Result<(), String> {
        let (host, path) = routes::requests(self.site.shape.routes).swap_remove(0);
        let mut ended = false;
        wait_for("an answer", Duration::from_secs(60), || {
            ended = self.process.has_ended();
            ended || ask::status(self.site.ports.plain, &host, &path) == Some(200)
        })?;
        if ended {
            return Err("it ended".to_owned());
        }
        match self.kind {
            Kind::Adit | Kind::Other => adit::start_rollout(&self.site),
            Kind::Floor | Kind::Nginx | Kind::HaProxy | Kind::Envoy => Ok(()),
        }
    }
}

/// Where contenders run.
pub struct Place {
    pub folder: PathBuf,
    pub programs: Programs,
}

impl Place {
    /// The first cores are the contender's.
    fn cores(&self, workers: usize) -> String {
        if workers == 1 { "0".to_owned() } else { format!("0-{}", workers - 1) }
    }
}

/// Ports that were free a moment ago.
fn free_ports() -> Result<Ports, String> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are known: no two of them are the same.
    let held: Vec<TcpListener> =
        (0..4).map(|_| listen()).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let port = |index: usize| {
        held[index].local_addr().map(|address| address.port()).map_err(|error| error.to_string())
    };
    Ok(Ports { plain: port(0)?, tls: port(1)?, h2: port(2)?, admin: port(3)? })
}

/// What it calls itself.
pub fn version(kind: Kind, programs: &Programs) -> String {
    let (program, argument): (&Path, _) = match kind {
        Kind::Floor => return "this bench's relay".to_owned(),
        Kind::Adit => (&programs.adit, "--version"),
        Kind::Other => (&programs.other, "--version"),
        Kind::Nginx => (Path::new("nginx"), "-v"),
        Kind::HaProxy => (Path::new("haproxy"), "-v"),
        Kind::Envoy => (&programs.envoy, "--version"),
    };
    let Ok(output) = std::process::Command::new(program).arg(argument).output() else {
        return "?".to_owned();
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("?").trim();
    line.split("version: ").last().unwrap_or(line).to_owned()
}
