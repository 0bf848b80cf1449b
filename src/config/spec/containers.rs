//! What a config says of containers.

use std::time::Duration;

/// A container engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerSpec {
    /// Where it listens: `unix:///var/run/docker.sock`, `tcp://127.0.0.1:2375`. `None`: what `DOCKER_HOST` says, else that
    /// unix socket.
    pub endpoint: Option<String>,
    /// The network in which containers are reached when they have several and no label of their own; `None`: one that we
    /// share with them.
    pub network: Option<String>,
    /// Between two full lists, beside the events. Default 30 s.
    pub relist: Duration,
}

/// What is done about a container that stays unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recover {
    /// Nothing.
    #[default]
    No,
    /// The engine is asked to restart it.
    Restart,
}

/// Who says which version of a service is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReleaseBy {
    /// The config's `release` (or its only version).
    #[default]
    Config,
    /// The containers: the version that came last.
    Containers,
}

impl Default for DockerSpec {
    fn default() -> Self {
        Self { endpoint: None, network: None, relist: Duration::from_secs(30) }
    }
}
