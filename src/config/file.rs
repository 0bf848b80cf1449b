//! The file as a whole: what is said once for the program. Services are read in `services`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address;
use super::limits;
use super::reader::Table;
use super::services;
use super::spec::{AccessLog, Admin, AdminAddress, EndpointAddress, Keep, Listener, Spec};
use super::value::Value;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const CENTURY: Duration = Duration::from_secs(86_400 * 36_525);

/// Reads the whole file. What is wrong is reported; the meaning then counts for nothing.
pub(super) fn read(file: &mut Table<'_>) -> Spec {
    file.unserved(&["trusted_proxies", "tls", "tracing", "docker"]);
    let listeners = listeners(file);
    let services = services::read(file, &addresses(&listeners));
    let (state_dir, keep) = file.table("state", state);
    Spec {
        workers: workers(file),
        drain: file.duration("drain", Duration::ZERO..=DAY, Spec::DEFAULT_DRAIN),
        access_log: access_log(file),
        admin: file.table("admin", |table| admin(table, &addresses(&listeners))),
        state_dir,
        keep,
        limits: Arc::new(file.table("limits", limits::limits)),
        listeners,
        services: services
            .into_iter()
            .map(|service| (service.name.clone(), Arc::new(service)))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn workers(file: &mut Table<'_>) -> Option<NonZeroUsize> {
    let workers = file.value("workers")?.integer(&(1..=1024))?;
    usize::try_from(workers).ok().and_then(NonZeroUsize::new)
}

fn access_log(file: &mut Table<'_>) -> AccessLog {
    let words = [("stdout", AccessLog::Stdout), ("off", AccessLog::Off)];
    file.value("access_log").and_then(|value| value.choice(&words, &[])).unwrap_or_default()
}

fn admin(table: &mut Table<'_>, listeners: &[SocketAddr]) -> Admin {
    table.unserved(&["tls"]);
    let address = table.value("address").and_then(|value| value.parsed(str::parse::<AdminAddress>));
    let token_file = table.value("token_file").and_then(|value| path(&value));
    let address = address.unwrap_or_default();
    if let AdminAddress::Tcp(tcp) = address
        && table.sound()
    {
        if !tcp.ip().to_canonical().is_loopback() && token_file.is_none() {
            let help = "set `token_file` to a file with a secret, or use 127.0.0.1 or a unix socket";
            let message = format!("{tcp} can be reached from other machines, and `token_file` is not set");
            table.error_of("address", message, Some(help.to_owned()));
        }
        if tcp.port() != 0 && listeners.contains(&tcp) {
            let help = "give the admin API a port of its own";
            table.error_of("address", format!("{tcp} is also a listener"), Some(help.to_owned()));
        }
    }
    Admin { address, token_file }
}

fn state(table: &mut Table<'_>) -> (PathBuf, Keep) {
    let dir = table.value("dir").and_then(|value| path(&value));
    let age = table.value("keep").and_then(|value| value.duration(&(HOUR..=CENTURY)));
    let rollouts = table.value("keep_rollouts").and_then(|value| value.integer(&(1..=1_000_000)));
    let keep = Keep { age, rollouts: rollouts.and_then(|rollouts| u32::try_from(rollouts).ok()) };
    (dir.unwrap_or_else(|| Spec::DEFAULT_STATE_DIR.into()), keep)
}

fn listeners(file: &mut Table<'_>) -> Vec<Listener> {
    const HELP: &str = "add a `[[listeners]]` table with `address = \"0.0.0.0:8080\"`";
    let Some(value) = file.value("listeners") else {
        file.error("there is no listener, so no client can connect", Some(HELP.to_owned()));
        return Vec::new();
    };
    let mut seen: Vec<Listener> = Vec::new();
    let read = value.list(|item| {
        let listener = item.table(listener)??;
        if listener.address.port() != 0 && seen.contains(&listener) {
            item.error(format!("{} is listened on twice", listener.address), Some("remove one".to_owned()));
        }
        seen.push(listener.clone());
        Some(listener)
    });
    if read.as_ref().is_some_and(Vec::is_empty) {
        value.error("there is no listener, so no client can connect", Some(HELP.to_owned()));
    }
    read.unwrap_or_default()
}

fn listener(table: &mut Table<'_>) -> Option<Listener> {
    table.unserved(&["tls", "protocol"]);
    let address = table.required("address", "write `address = \"0.0.0.0:8080\"`")?;
    Some(Listener { address: address.parsed(address::listen)? })
}

fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().map(|listener| listener.address).collect()
}

/// A path; a relative one is meant from the current directory.
fn path(value: &Value<'_>) -> Option<PathBuf> {
    value.parsed(|text| match text {
        "" => Err("a path is not empty"),
        text if text.contains('\0') => Err("a path has no zero byte"),
        text => Ok(PathBuf::from(text)),
    })
}

/// Whether a request to `endpoint` would come back to one of `listeners`.
pub(crate) fn comes_back(endpoint: &EndpointAddress, listeners: &[SocketAddr]) -> bool {
    let EndpointAddress::Ip(endpoint) = endpoint else {
        return false;
    };
    let reaches = |listener: IpAddr| {
        listener == endpoint.ip() || (listener.is_unspecified() && endpoint.ip().is_loopback())
    };
    listeners.iter().any(|listener| listener.port() == endpoint.port() && reaches(listener.ip()))
}
