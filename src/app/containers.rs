//! The container engine, if there is one: watched on the control thread, told to control.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::clock::Clock;
use crate::config::spec::Spec;
use crate::control::{Control, Handle};
use crate::domain::container::{Engine, Sighting, Site};
use crate::provider::docker::{Docker, Restart};
use crate::telemetry::Metrics;

/// How long the engine may take to say which containers there are before the door opens without them.
const FIRST_LIST: Duration = Duration::from_secs(3);
/// Restarts that were asked for and are not carried out yet; who asks for more is told so.
const RESTARTS: usize = 64;

/// What the engine says, on its way to control.
pub(super) struct Containers(Option<Watched>);

struct Watched {
    docker: Option<(Docker, watch::Sender<Option<Sighting>>, mpsc::Receiver<Restart>)>,
    seen: watch::Receiver<Option<Sighting>>,
    clock: Clock,
    /// The watching itself; it ends with this.
    running: JoinSet<()>,
}

/// Those of a config, and where their restarts are asked for. Nothing is asked of the engine yet.
pub(super) fn of(
    spec: &Spec,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(Containers, Option<mpsc::Sender<Restart>>), String> {
    let Some(docker) = &spec.docker else { return Ok((Containers(None), None)) };
    let docker = Docker::new(docker, clock.clone())?;
    let events = docker.events();
    metrics.watch_docker_events(move || events.load(Ordering::Relaxed));
    let (teller, seen) = watch::channel(None);
    let (restarts, orders) = mpsc::channel(RESTARTS);
    let docker = Some((docker, teller, orders));
    let watched = Watched { docker, seen, clock: clock.clone(), running: JoinSet::new() };
    Ok((Containers(Some(watched)), Some(restarts)))
}

impl Containers {
    /// Begins to watch, and tells control what there is before anything else is decided; waits for it, but not for long.
    pub(super) async fn begin(mut self, control: &mut Control) -> Self {
        if let Some(watched) = &mut self.0 {
            control.sighted(watched.first().await);
        }
        self
    }

    /// Tells control for ever.
    pub(super) async fn forward(mut self, handle: Handle) {
        let Some(watched) = &mut self.0 else { return pending().await };
        while watched.seen.changed().await.is_ok() {
            let sighting = watched.seen.borrow_and_update().clone();
            if let Some(sighting) = sighting
                && !handle.sighted(sighting).await
            {
                return;
            }
        }
        warn!("the container engine is not watched any more");
        pending().await
    }
}

impl Watched {
    async fn first(&mut self) -> Sighting {
        if let Some((docker, teller, orders)) = self.docker.take() {
            self.running.spawn(docker.run(teller, orders));
        }
        let first = tokio::time::timeout(FIRST_LIST, self.seen.wait_for(Option::is_some)).await;
        let first = first.ok().and_then(|seen| seen.ok()?.clone());
        first.unwrap_or_else(|| self.nothing_yet())
    }

    fn nothing_yet(&self) -> Sighting {
        let why = format!("no list of containers within {FIRST_LIST:?}");
        warn!(why, "starting without the containers");
        let engine = Engine::Lost { since: self.clock.now(), why };
        Sighting { engine, site: Site::Host, containers: BTreeMap::new() }
    }
}
