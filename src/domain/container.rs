//! A container as its engine describes it, in our words: what labels are read from, what addresses are made of, and
//! whether it may be given requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Timestamp;

/// All that is known of an engine's containers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whether the engine can be asked now. While it can't, the containers are those seen last.
    pub engine: Engine,
    /// Where we are ourselves.
    pub site: Site,
    /// Every container that asks to be served, by id; those that have ended too.
    pub containers: BTreeMap<String, Arc<Container>>,
}

/// How the engine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// It answers.
    Connected {
        /// Its own version: `28.2.2`.
        version: String,
    },
    /// It does not.
    Lost {
        /// Since when.
        since: Timestamp,
        /// Why, for people.
        why: String,
    },
}

/// Where Adit itself runs: it decides by which address a container is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// On the engine's host, or with the host's network.
    Host,
    /// In a container of the same engine, attached to these networks.
    Container {
        /// Its id.
        id: String,
        /// The names of its networks.
        networks: BTreeSet<String>,
    },
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The engine's id: 64 hexadecimal digits.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// What it was made from.
    pub image: Image,
    /// Its own labels; the image's are in [`Image::labels`].
    pub labels: BTreeMap<String, String>,
    /// What its process does.
    pub run: Run,
    /// What its own health check says; `None` when it has none.
    pub health: Option<Health>,
    /// Where it can be reached.
    pub ports: Ports,
}

/// What a container was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// As whoever created the container wrote it: `registry.example/web:1.4.0`.
    pub reference: String,
    /// The engine's id of the image, `sha256:…`: equal if and only if the build is the same, whatever the tags say.
    pub id: String,
    /// `name@sha256:…`, as registries know it. None for an image that was built here and never pushed.
    pub digests: Vec<String>,
    /// When it was built (RFC 3339).
    pub created: Option<String>,
    /// The image's labels, `org.opencontainers.image.*` among them.
    pub labels: BTreeMap<String, String>,
}

/// What a container's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Created, not started yet.
    Created,
    /// Running.
    Running,
    /// Frozen: its connections stay open and nothing answers on them.
    Paused,
    /// Ended, and about to be started again by the engine.
    Restarting,
    /// It was told to end, and has not yet.
    Stopping,
    /// Ended.
    Exited {
        /// The process's exit code.
        code: i64,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
    /// Being removed, or removed.
    Removed,
}

/// What a container's own health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No result that counts yet.
    Starting,
    /// The last one was good.
    Healthy,
    /// Too many in a row were bad.
    Unhealthy,
}

/// Where a container can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Whether it shares its host's network.
    pub host_network: bool,
    /// Its networks and its address in each; one without an address is left out.
    pub networks: BTreeMap<String, IpAddr>,
    /// TCP ports that it or its image exposes.
    pub exposed: BTreeSet<u16>,
    /// TCP ports of its host that lead to ports of its own: from the latter to the former.
    pub published: BTreeMap<u16, Vec<SocketAddr>>,
}

/// Why a container gets no requests whatever our own checks say. `Display` says it to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It is not running (any more, or yet).
    NotRunning(Run),
    /// Its own health check has not said that it is good.
    NotHealthy(Health),
    /// Nothing listened at its address for a moment while the engine could not be asked: it may be another container's.
    Unsure,
}

impl Container {
    /// Why it gets no requests; `None`: as far as the engine knows it may.
    pub fn withheld(&self) -> Option<Withheld> {
        match (self.run, self.health) {
            (Run::Running, None | Some(Health::Healthy)) => None,
            (Run::Running, Some(health)) => Some(Withheld::NotHealthy(health)),
            (run, _) => Some(Withheld::NotRunning(run)),
        }
    }

    /// Whether it runs or is about to run again: whether its version is there.
    pub fn is_live(&self) -> bool {
        matches!(self.run, Run::Running | Run::Paused | Run::Restarting | Run::Stopping)
    }

    /// Whether its process ended, and not well: with an exit code, but for those of the signals that `docker stop` and
    /// `docker kill` send (128 + SIGTERM, 128 + SIGKILL), unless for want of memory.
    pub fn has_failed(&self) -> bool {
        match self.run {
            Run::Exited { out_of_memory, code } => out_of_memory || !matches!(code, 0 | 137 | 143),
            Run::Created | Run::Running | Run::Paused | Run::Restarting | Run::Stopping | Run::Removed => {
                false
            }
        }
    }

    /// The first 12 digits of its id, as people know it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

impl Withheld {
    /// Whether requests that are under way there can't be answered any more: what is safe to repeat goes elsewhere at
    /// once. (One that is being stopped still answers; one whose health check fails may.)
    pub fn is_lost(self) -> bool {
        match self {
            Self::NotRunning(run) => !matches!(run, Run::Running | Run::Stopping),
            Self::NotHealthy(_) => false,
            Self::Unsure => true,
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(run) => write!(f, "{run}"),
            Self::NotHealthy(Health::Starting) => f.write_str("its health check has no result yet"),
            Self::NotHealthy(Health::Unhealthy | Health::Healthy) => f.write_str("its health check fails"),
            Self::Unsure => f.write_str(
                "nothing listened there for a moment; until the engine can be asked, it may be another container",
            ),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created, not started"),
            Self::Running => f.write_str("running"),
            Self::Paused => f.write_str("paused"),
            Self::Restarting => f.write_str("restarting"),
            Self::Stopping => f.write_str("being stopped"),
            Self::Exited { out_of_memory: true, code } => {
                write!(f, "ended for want of memory (exit code {code})")
            }
            Self::Exited { out_of_memory: false, code } => write!(f, "ended with exit code {code}"),
            Self::Removed => f.write_str("removed"),
        }
    }
}
