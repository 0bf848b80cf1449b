//! The relay of this bench: see `relay.rs`.

use std::process::Command;

use super::Site;
use crate::process::pinned;

pub(super) fn command(site: &Site) -> Command {
    let mut command = pinned(&site.cores, &site.programs.own);
    command.arg("relay").arg(site.ports.plain.to_string()).args(site.endpoints.iter().map(u16::to_string));
    command
}
