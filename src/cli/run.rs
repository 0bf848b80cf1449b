//! `adit run`: the program itself, from its start to the end of its drain.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::client::Failure;
use super::exit::Exit;
use super::{config_file, logging, print};
use crate::app::{self, Options, Running};
use crate::clock::Clock;
use crate::config::spec::{AdminAddress, EndpointAddress, Spec};
use crate::control::{By, Handle, ReloadError};
use crate::provider;

/// Where `--to` and `--docker` listen when nothing else is said.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How long the rest may take to end after a second signal.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Serve: from a config file, the containers of a Docker Engine, or straight to some endpoints
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("fileless").args(["to", "docker"]), after_help = "\
Examples:
  adit run -c adit.toml
  adit run --to 127.0.0.1:9001 127.0.0.1:9002 --listen 0.0.0.0:8080
  adit run --docker --listen 0.0.0.0:8080

SIGTERM or SIGINT drains and ends, a second one ends at once; SIGHUP reloads the config.
ADIT_LOG sets how much is logged: error, warn, info (default), debug, trace.")]
pub(super) struct Args {
    /// The config file [default: ./adit.toml, else /etc/adit/adit.toml]
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["to", "docker"])]
    config: Option<PathBuf>,
    /// Serve these endpoints (host:port) without a config file
    #[arg(long, value_name = "ADDR", num_args = 1.., conflicts_with = "docker")]
    to: Vec<EndpointAddress>,
    /// Serve the labelled containers of the Docker Engine (DOCKER_HOST, else its usual socket) without a config file
    #[arg(long)]
    docker: bool,
    /// Where clients connect [default: 127.0.0.1:8080]
    #[arg(short, long, value_name = "ADDR", requires = "fileless")]
    listen: Option<SocketAddr>,
    /// Where the admin API listens: host:port or unix:PATH [default: ADIT_ADMIN, else 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR", requires = "fileless")]
    admin: Option<AdminAddress>,
}

pub(super) fn run(args: Args) -> Exit {
    match serve(args) {
        Ok(exit) => exit,
        Err(failure) => print::finish(Err(failure)),
    }
}

fn serve(args: Args) -> Result<Exit, Failure> {
    logging::start()?;
    let options = options(args)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
    // Before the first socket is open: from then on, a signal must find someone who drains.
    let signals = Signals::new(&runtime).map_err(no_runtime)?;
    let running = app::start(options).map_err(|error| Failure::Other(print::chain(&error)))?;
    for url in running.urls() {
        tracing::info!("listening on {url}");
    }
    tracing::info!("admin on {}", running.admin());
    let exit = runtime.block_on(attend(running, signals));
    runtime.shutdown_timeout(AFTERMATH);
    Ok(exit)
}

fn options(args: Args) -> Result<Options, Failure> {
    let clock = Clock::real();
    if args.docker || !args.to.is_empty() {
        let listen = args.listen.unwrap_or(LISTEN);
        let mut spec = if args.docker { Spec::of_docker(listen) } else { Spec::front_door(listen, args.to) };
        if let Some(address) = args.admin.map_or_else(admin_from_environment, |address| Ok(Some(address)))? {
            spec.admin.address = address;
        }
        return Ok(Options { spec, file: None, clock });
    }
    let Some(file) = config_file::find(args.config.as_deref()) else {
        let none = config_file::none_found("run");
        return Err(Failure::Config(format!(
            "{none}, or serve without one: adit run --to HOST:PORT, or adit run --docker"
        )));
    };
    let spec = provider::file::load(&file).map_err(|error| Failure::Config(print::chain(&error)))?;
    Ok(Options { spec, file: Some(file), clock })
}

/// The same variable leads the other verbs to the admin API. (Were it clap's, it would clash with `-c`.)
fn admin_from_environment() -> Result<Option<AdminAddress>, Failure> {
    let Some(text) = std::env::var("ADIT_ADMIN").ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error| Failure::Usage(format!("ADIT_ADMIN: {error}")))
}

fn no_runtime(error: io::Error) -> Failure {
    Failure::Other(format!("the operating system refuses what a runtime needs: {error}"))
}

/// Follows signals until the program has ended.
async fn attend(running: Running, mut signals: Signals) -> Exit {
    let mut reloads = JoinSet::new();
    loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::End => break,
                Order::Reload => { reloads.spawn(reload(running.handle().clone())); }
            },
            Some(_ended) = reloads.join_next() => {}
        }
    }
    drain(running, signals).await
}

/// The second signal does not wait for requests any more; that is a failure, for they are cut off.
async fn drain(running: Running, mut signals: Signals) -> Exit {
    tracing::info!("draining; a second signal ends at once");
    let stop = running.stop_switch();
    let mut drained = tokio::task::spawn_blocking(move || running.drain());
    tokio::select! {
        ended = &mut drained => match ended {
            Ok(()) => Exit::Ok,
            Err(error) => {
                tracing::error!(%error, "the drain broke off");
                Exit::Failure
            }
        },
        () = signals.end() => {
            tracing::warn!("a second signal: requests under way are cut off");
            stop.now();
            Exit::Failure
        }
    }
}

async fn reload(handle: Handle) {
    match handle.reload(By { who: "SIGHUP".to_owned(), why: None }).await {
        Ok(reloaded) => tracing::info!(generation = reloaded.generation, "reloaded"),
        Err(ReloadError::Invalid(reason) | ReloadError::Refused(reason)) => {
            tracing::error!(reason, "the config was not reloaded; the last good one serves on");
        }
        Err(ReloadError::Stopped) => tracing::warn!("no reload: the program is ending"),
    }
}

/// What a signal asks for.
enum Order {
    End,
    Reload,
}

/// The signals that mean something to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new(runtime: &Runtime) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    async fn end(&mut self) {
        while let Order::Reload = self.next().await {}
    }
}
