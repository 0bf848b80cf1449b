//! The container engine in a line.

use crate::cli::words::moment;
use crate::control::report::{ContainerCounts, DockerStatus};

/// How the container engine stands, and what becomes of its containers.
pub(super) fn line(docker: &DockerStatus) -> String {
    let ContainerCounts { seen, served, withheld, left_out } = docker.containers;
    let stands = match (docker.connected, &docker.since) {
        (true, _) => format!("engine {}", docker.version.as_deref().unwrap_or("connected")),
        (false, Some(since)) => format!("not connected since {}", moment(since)),
        (false, None) => "not connected yet".to_owned(),
    };
    let left = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
    let held = if withheld > 0 { format!(", {withheld} not running or not healthy") } else { String::new() };
    let of = if seen == 1 { "container" } else { "containers" };
    format!("{stands} · {seen} {of}: {served} served{held}{left}")
}
