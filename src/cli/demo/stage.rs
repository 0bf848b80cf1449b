//! What the demo plays on: endpoints, a config file, the proxy in front, users.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::{fs, io};

use tokio::task::{JoinSet, spawn_blocking};

use super::error::DemoError;
use super::load::{Seen, Users};
use super::service::{self, Character, HEALTH};
use crate::app::{self, Options, Running};
use crate::clock::Clock;
use crate::control::report::ServiceStatus;
use crate::provider;

/// The demo's only service.
const SERVICE: &str = "web";
/// Endpoints of each version.
const ENDPOINTS: usize = 2;

/// Everything that runs. [`Self::strike`] takes it down.
pub(super) struct Stage {
    dir: Dir,
    versions: Vec<(&'static str, Vec<SocketAddr>)>,
    proxy: Running,
    users: Users,
    clock: Clock,
    /// Endpoints and clients.
    tasks: JoinSet<()>,
}

/// A directory of our own; goes when dropped.
struct Dir(PathBuf);

impl Stage {
    /// Starts the first version behind the proxy.
    pub(super) async fn set(clock: Clock) -> Result<Self, DemoError> {
        let dir = Dir::create().map_err(DemoError::Files)?;
        let mut tasks = JoinSet::new();
        let first = start_version("v1", Character::GOOD, &clock, &mut tasks).await?;
        let versions = vec![first];
        let file = dir.config();
        fs::write(&file, config(&dir, "v1", &versions)).map_err(DemoError::Files)?;
        let spec = provider::file::load(&file).map_err(DemoError::Config)?;
        let options = Options { spec, file: Some(file), clock: clock.clone() };
        let proxy = app::start(options).map_err(DemoError::Start)?;
        let stage = Self { dir, versions, proxy, users: Users::default(), clock, tasks };
        stage.wait_until_ready().await?;
        Ok(stage)
    }

    /// Starts a version's endpoints and asks for it, as a person would: by editing `release` in the file.
    pub(super) async fn release(
        &mut self,
        version: &'static str,
        character: Character,
    ) -> Result<(), DemoError> {
        let started = start_version(version, character, &self.clock, &mut self.tasks).await?;
        self.versions.push(started);
        let text = config(&self.dir, version, &self.versions);
        let (new, file) = (self.dir.0.join("adit.toml.new"), self.dir.config());
        // Endpoints and users live on this thread: a busy disk must not hold them up.
        let saving = spawn_blocking(move || fs::write(&new, text).and_then(|()| fs::rename(&new, file)));
        saving.await.map_err(io::Error::other).flatten().map_err(DemoError::Files)
    }

    /// Starts the users.
    pub(super) fn start_load(&mut self, rate: u32) {
        if let Some(address) = self.proxy.listeners().first() {
            self.users.start(*address, rate, &self.clock, &mut self.tasks);
        }
    }

    /// How the service stands.
    pub(super) async fn service(&self) -> Result<ServiceStatus, DemoError> {
        let status = self.proxy.handle().status().await.ok_or(DemoError::Stopped)?;
        status.service(SERVICE).cloned().ok_or(DemoError::Stopped)
    }

    /// What users saw so far.
    pub(super) fn seen(&self) -> Seen {
        self.users.seen()
    }

    /// The clock that all of it runs by.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where users connect.
    pub(super) fn url(&self) -> String {
        self.proxy.listeners().first().map(|address| format!("http://{address}/")).unwrap_or_default()
    }

    /// Says what can be tried while it all keeps running.
    pub(super) fn invite(&self) {
        let (url, admin) = (self.url(), self.proxy.admin());
        eprintln!("Everything keeps running until Ctrl-C. Try:");
        eprintln!("  curl {url}");
        eprintln!("  adit status --admin {admin}");
        eprintln!("  adit explain {SERVICE} --admin {admin}   # why the bad version went back");
        eprintln!("  adit retry {SERVICE} --admin {admin}     # release the bad version once more");
        eprintln!("  adit abort {SERVICE} --admin {admin}     # and take it back before the verdict does");
        eprintln!("  ${{EDITOR:-vi}} {}", self.dir.config().display());
    }

    /// Drains the proxy and removes the files.
    pub(super) fn strike(self) {
        self.proxy.drain();
    }

    async fn wait_until_ready(&self) -> Result<(), DemoError> {
        loop {
            let status = self.proxy.handle().status().await.ok_or(DemoError::Stopped)?;
            if status.ready {
                return Ok(());
            }
            self.clock.sleep_until(self.clock.now() + super::release::LOOK).await;
        }
    }
}

async fn start_version(
    version: &'static str,
    character: Character,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<(&'static str, Vec<SocketAddr>), DemoError> {
    let mut endpoints = Vec::with_capacity(ENDPOINTS);
    for _ in 0..ENDPOINTS {
        let address = service::start(version, character, clock, tasks).await;
        endpoints.push(address.map_err(DemoError::Endpoint)?);
    }
    Ok((version, endpoints))
}

/// The demo's config. The margin is wider than the default, so that a step is proven within seconds: 431 canary requests
/// without a failure prove "at most one point worse".
fn config(dir: &Dir, release: &str, versions: &[(&str, Vec<SocketAddr>)]) -> String {
    let state = dir.0.join("state");
    let mut text = format!(
        r#"access_log = "off"
drain = "1s"

[admin]
address = "127.0.0.1:0"

[state]
dir = {state:?}

[[listeners]]
address = "127.0.0.1:0"

[services.{SERVICE}]
release = "{release}"

[services.{SERVICE}.health]
path = "{HEALTH}"
interval = "200ms"

[services.{SERVICE}.timeouts]
response = "2s"

[services.{SERVICE}.rollout]
steps = [{{ weight = 5 }}, {{ weight = 25 }}, {{ weight = 50 }}, {{ weight = 100 }}]
advance = {{ min_requests = 50, min_time = "1s" }}

[services.{SERVICE}.rollout.analysis]
promote_margin = {{ absolute = "1%" }}
"#
    );
    for (version, endpoints) in versions {
        let addresses: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
        // Writing to a string never fails.
        let _ok = write!(
            text,
            "\n[services.{SERVICE}.versions.{version}]\nendpoints = [{}]\n",
            addresses.join(", ")
        );
    }
    text
}

impl Dir {
    fn create() -> io::Result<Self> {
        let name = format!("adit-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn config(&self) -> PathBuf {
        self.0.join("adit.toml")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("adit demo: {} could not be removed: {error}", self.0.display());
        }
    }
}
