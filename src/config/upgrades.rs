//! `upgrades`: the protocols that a service's clients may change to.

use super::reader::Table;
use crate::domain::routing::{NotAProtocol, Upgrades};

/// Reads the list. Without one: the default.
pub(super) fn upgrades(service: &mut Table<'_>) -> Upgrades {
    let listed = service.value("upgrades").and_then(|value| value.list(|item| item.parsed(protocol)));
    listed.map_or_else(Upgrades::default, Upgrades::of)
}

fn protocol(text: &str) -> Result<http::HeaderValue, String> {
    Upgrades::protocol(text).map_err(|why| match why {
        NotAProtocol::Malformed => {
            format!("{text:?} is not a protocol's name: write it as `Upgrade` has it, like \"websocket\"")
        }
        NotAProtocol::IsHttp => format!(
            "{text:?} can't be passed on: requests inside it would go past the routes and limits; leave it out"
        ),
        NotAProtocol::IsTls => {
            format!("{text:?} can't be passed on: nobody but the endpoint could read what is inside; leave it out")
        }
    })
}
