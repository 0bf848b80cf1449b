//! The file as a whole: what is said once for the program. Services are read in `services`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::access;
use super::address;
use super::limits;
use super::reader::Table;
use super::services::{self, Around};
use super::spec::{AccessLog, Admin, AdminAddress, DockerSpec, EndpointAddress, Keep, Listener, Spec};
use super::tls;
use super::value::Value;
use crate::domain::routing::{Spoken, TrustedProxies};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const CENTURY: Duration = Duration::from_secs(86_400 * 36_525);

/// Reads the whole file. What is wrong is reported; the meaning then counts for nothing.
pub(super) fn read(file: &mut Table<'_>) -> Spec {
    file.unserved(&["tracing"]);
    let listeners = listeners(file);
    let trusted_proxies = access::trusted_proxies(file);
    refuse_distrust(file, &listeners, &trusted_proxies);
    let docker = file.value("docker").and_then(|value| value.table(docker));
    let around = Around { listeners: &addresses(&listeners), docker: docker.as_ref() };
    let services = services::read(file, around).into_iter();
    let named = services.map(|service| (service.name.clone(), Arc::new(service)));
    let (services, waiting) = named.partition(|(_, service)| service.can_be_served());
    let (state_dir, keep) = file.table("state", state);
    Spec {
        workers: workers(file),
        drain: file.duration("drain", Duration::ZERO..=DAY, Spec::DEFAULT_DRAIN),
        access_log: access_log(file),
        admin: file.table("admin", |table| admin(table, &addresses(&listeners))),
        state_dir,
        keep,
        trusted_proxies: Arc::new(trusted_proxies),
        limits: Arc::new(file.table("limits", limits::limits)),
        docker,
        listeners,
        services,
        waiting,
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

fn docker(table: &mut Table<'_>) -> DockerSpec {
    let bounds = Duration::from_secs(5)..=Duration::from_secs(600);
    DockerSpec {
        endpoint: table.value("endpoint").and_then(|value| value.parsed(engine)),
        network: table.value("network").and_then(|value| value.parsed(network)),
        relist: table.duration("relist", bounds, DockerSpec::default().relist),
    }
}

/// Where an engine listens.
fn engine(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "`{text}` is not where an engine listens: write `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375`"
        )
    };
    let fits = match text.split_once("://") {
        Some(("unix", path)) => path.starts_with('/') && !path.contains('\0'),
        Some(("tcp", address)) => address.parse::<EndpointAddress>().is_ok(),
        Some(_) | None => false,
    };
    fits.then(|| text.to_owned()).ok_or_else(wrong)
}

fn network(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("a network has a name"),
        text => Ok(text.to_owned()),
    }
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
    let mut seen: Vec<SocketAddr> = Vec::new();
    let mut leads_on = Vec::new();
    let read = value.list(|item| {
        let listener = item.table(listener)??;
        if listener.address.port() != 0 && seen.contains(&listener.address) {
            item.error(format!("{} is listened on twice", listener.address), Some("remove one".to_owned()));
        }
        seen.push(listener.address);
        if listener.redirect.is_some_and(|redirect| redirect.port.is_none()) {
            leads_on.push(item);
        }
        Some(listener)
    });
    if read.as_ref().is_some_and(|all| all.iter().all(|listener| listener.tls.is_none())) {
        for item in leads_on {
            let help = "add a listener with `tls`, or name the port that clients reach one at: `redirect = \"https:443\"`";
            item.error("`redirect` leads to a listener with `tls`, and there is none", Some(help.to_owned()));
        }
    }
    if read.as_ref().is_some_and(Vec::is_empty) {
        value.error("there is no listener, so no client can connect", Some(HELP.to_owned()));
    }
    read.unwrap_or_default()
}

fn listener(table: &mut Table<'_>) -> Option<Listener> {
    let words = [("auto", Spoken::Any), ("http1", Spoken::Http1), ("http2", Spoken::Http2)];
    let protocol = table.value("protocol").and_then(|value| value.choice(&words, &[])).unwrap_or_default();
    let address = table.required("address", "write `address = \"0.0.0.0:8080\"`");
    let tls = tls::tls(table);
    let (redirect, hsts) = (tls::redirect(table), tls::hsts(table));
    if table.sound() && tls.is_some() && redirect.is_some() {
        let help = "give `redirect` to the listener without `tls`";
        table.error_of("redirect", "whoever connects here speaks TLS already", Some(help.to_owned()));
    }
    if table.sound() && tls.is_none() && hsts.is_some() {
        let help = "give `hsts` to the listener with `tls`: without TLS browsers ignore it";
        table.error_of("hsts", "`hsts` is for a listener with `tls`", Some(help.to_owned()));
    }
    let proxy_protocol = table.boolean("proxy_protocol", false);
    Some(Listener {
        address: address?.parsed(address::listen)?,
        protocol,
        proxy_protocol,
        tls,
        redirect,
        hsts,
    })
}

/// A listener that takes only what is relayed, and only from those who are trusted, would take nothing.
fn refuse_distrust(file: &Table<'_>, listeners: &[Listener], trusted: &TrustedProxies) {
    if trusted.0.is_empty() && listeners.iter().any(|listener| listener.proxy_protocol) && file.sound() {
        let help =
            "write `trusted_proxies = [\"10.0.0.0/8\"]` with the addresses of whoever sends that header";
        let message =
            "a listener has `proxy_protocol`, and `trusted_proxies` names nobody who may connect to it";
        file.error_of("listeners", message, Some(help.to_owned()));
    }
}

fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().map(|listener| listener.address).collect()
}

/// A path; a relative one is meant from the current directory.
pub(super) fn path(value: &Value<'_>) -> Option<PathBuf> {
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
