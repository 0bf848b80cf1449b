//! Containers, as status says them in JSON. These are contracts: add, never rename.

use serde::{Deserialize, Serialize};

use crate::domain::{ServiceName, VersionName};

/// The container behind an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// The engine's id: 64 hexadecimal digits.
    pub id: String,
    /// The image, as whoever created it wrote it.
    pub image: String,
    /// The engine's id of the image: `sha256:…`.
    pub image_id: String,
}

/// The container engine that the config's `[docker]` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerStatus {
    /// Whether it can be asked now. While it can't, the containers are those seen last.
    pub connected: bool,
    /// The engine's version; `None` while it can't be asked.
    pub version: Option<String>,
    /// Since when it can't be asked (RFC 3339); `None` while it can, and before it was heard at all.
    pub since: Option<String>,
    /// Why it can't be asked.
    pub why: Option<String>,
    /// How many containers ask to be served, and what becomes of them.
    pub containers: ContainerCounts,
    /// Containers that get no requests now because of how they are: stopped, paused, not healthy.
    pub withheld: Vec<IdleContainer>,
    /// Containers that are not served because of what is wrong with them.
    pub left_out: Vec<IdleContainer>,
}

/// What becomes of the containers that ask to be served: `seen` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerCounts {
    /// All of them.
    pub seen: usize,
    /// Those that are endpoints and, as far as the engine knows, may be given requests.
    pub served: usize,
    /// Those that get none because of how they are.
    pub withheld: usize,
    /// Those that get none because of what is wrong with them.
    pub left_out: usize,
}

/// A container that gets no requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleContainer {
    /// Which one.
    #[serde(flatten)]
    pub container: ContainerStatus,
    /// The service it belongs to, as far as it is known.
    pub service: Option<ServiceName>,
    /// The version it belongs to, as far as it is known.
    pub version: Option<VersionName>,
    /// `starting` | `running` | `unhealthy` | `paused` | `restarting` | `stopping` | `exited`.
    pub state: String,
    /// Why it gets none, each in words.
    pub reasons: Vec<String>,
}

impl ContainerStatus {
    /// The first 12 digits of its id, as people know it.
    pub fn short_id(&self) -> &str {
        short(&self.id)
    }
}

/// The first 12 digits of an id or a digest, as people know it: without the `sha256:` before them.
pub fn short(id: &str) -> &str {
    let digits = id.rsplit(':').next().unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_as_short_as_people_know_it() {
        for (id, known) in [
            ("sha256:4f2a91c0d3b75e68aa", "4f2a91c0d3b7"),
            ("4f2a91c0d3b75e68aa", "4f2a91c0d3b7"),
            ("sha256:4f2a", "4f2a"),
            ("", ""),
            ("sha256:äöüäöüäöüäöü", "äöüäöü"),
        ] {
            assert_eq!(short(id), known, "{id}");
        }
    }
}
