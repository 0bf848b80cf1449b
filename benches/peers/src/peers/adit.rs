//! Adit with everything on: a rollout under way at 5 %, health checks, ejection, metrics, rescue, the judge.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{CHECKED_EVERY, Logs, Site};
use crate::ask;
use crate::process::{pinned, wait_for};
use crate::routes::{Route, SHOP};

pub(super) fn command(site: &Site, program: &Path) -> Result<Command, String> {
    let config = write(site, "v1")?;
    let mut command = pinned(&site.cores, program);
    command.args(["run", "-c"]).arg(config).current_dir(&site.folder);
    Ok(command)
}

/// From v1, which serves, to v2; the first step, 5 %, lasts longer than any measurement.
pub(super) fn start_rollout(site: &Site) -> Result<(), String> {
    write(site, "v2")?;
    tell(site)?;
    wait_for("a rollout at 5 %", Duration::from_secs(60), || is_rolling_out(site).is_ok())?;
    // Every endpoint of both versions is in, else they would not be compared at what they are set up for.
    wait_for("all endpoints ready", Duration::from_secs(60), || {
        status(site)
            .is_some_and(|status| status.matches(r#""state":"ready""#).count() == site.endpoints.len())
    })
}

pub(super) fn is_rolling_out(site: &Site) -> Result<(), String> {
    let status = status(site).ok_or("adit: its admin API gives no status")?;
    let json: serde_json::Value = serde_json::from_str(&status).map_err(|error| error.to_string())?;
    let (phase, weight) = (&json["phase"], &json["rollout"]["weight"]);
    if phase == "stepping" && weight.as_f64() == Some(5.0) {
        return Ok(());
    }
    Err(format!(
        "adit: no rollout at 5 %: phase {phase}, weight {weight}, reason {}",
        json["rollout"]["reason"]
    ))
}

pub(super) fn reload(site: &Site) -> Result<(), String> {
    write(site, "v2")?;
    tell(site)
}

fn tell(site: &Site) -> Result<(), String> {
    let request =
        "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    match ask::exchange(site.ports.admin, request.as_bytes()) {
        Some(answer) if answer.status == 200 => Ok(()),
        Some(answer) => Err(format!("adit: reload refused: {}", String::from_utf8_lossy(&answer.body))),
        None => Err("adit: reload not answered".to_owned()),
    }
}

fn status(site: &Site) -> Option<String> {
    let answer = ask::get(site.ports.admin, "localhost", "/v1/services/web")?;
    String::from_utf8(answer.body).ok()
}

fn write(site: &Site, release: &str) -> Result<std::path::PathBuf, String> {
    // Over the old file in one move: it is watched, and half of it would be refused.
    let written = site.write("adit.toml.new", &config(site, release))?;
    let path = site.folder.join("adit.toml");
    std::fs::rename(written, &path).map_err(|error| error.to_string())?;
    Ok(path)
}

fn config(site: &Site, release: &str) -> String {
    let (plain, tls, h2, admin) = (site.ports.plain, site.ports.tls, site.ports.h2, site.ports.admin);
    let (certificate, key) = (site.programs.certificate.display(), site.programs.key.display());
    let (stable, canary) = site.endpoints.split_at(site.endpoints.len() / 2);
    let log = if site.shape.logs == Logs::On { "stdout" } else { "off" };
    let hosts = hosts(site);
    let mut config = format!(
        r#"workers = {workers}
access_log = "{log}"
[admin]
address = "127.0.0.1:{admin}"
[state]
dir = "{state}"
[limits]
requests = 1000000000
[[listeners]]
address = "127.0.0.1:{plain}"
[[listeners]]
address = "127.0.0.1:{h2}"
protocol = "http2"
[[listeners]]
address = "127.0.0.1:{tls}"
tls = {{ certificates = [{{ cert_file = "{certificate}", key_file = "{key}" }}] }}
[services.web]
{hosts}
release = "{release}"
[services.web.versions.v1]
endpoints = [{stable}]
[services.web.versions.v2]
endpoints = [{canary}]
[services.web.health]
path = "/healthz"
interval = "{every}"
[services.web.rollout]
steps = [{{ weight = 5, pause = "10h" }}, 100]
[services.web.rollout.advance]
max_time = "12h"
"#,
        workers = site.shape.workers,
        state = site.folder.join("state").display(),
        stable = addresses(stable),
        canary = addresses(canary),
        every = CHECKED_EVERY,
    );
    for route in site.routes() {
        if let Route::Path(path) = route {
            // Writing to a String can't fail.
            let _written = write!(config, "[[services.web.routes]]\nhost = \"{SHOP}\"\npath = \"{path}\"\n");
        }
    }
    config
}

fn hosts(site: &Site) -> String {
    let name = |route| if let Route::Host(host) = route { Some(format!("\"{host}\"")) } else { None };
    let hosts: Vec<String> = site.routes().into_iter().filter_map(name).collect();
    if hosts.is_empty() { String::new() } else { format!("hosts = [{}]", hosts.join(", ")) }
}

fn addresses(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect::<Vec<_>>().join(", ")
}
