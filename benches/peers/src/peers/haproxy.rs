//! HAProxy: connections to the endpoints reused always, health checks, endpoints taken out for their own answers, a page of
//! metrics, no log of requests.

use std::process::Command;

use rustix::process::Signal;

use super::{CHECKED_EVERY, Logs, Site};
use crate::process::{Process, pinned};
use crate::routes::{Route, SHOP};

pub(super) fn command(site: &Site) -> Result<Command, String> {
    let config = write(site)?;
    let mut command = pinned(&site.cores, "haproxy");
    // With a master, since without one there is no reload.
    command.arg("-W").arg("-f").arg(config);
    Ok(command)
}

pub(super) fn reload(site: &Site, process: &Process) -> Result<(), String> {
    write(site)?;
    process.signal(Signal::USR2);
    Ok(())
}

fn write(site: &Site) -> Result<std::path::PathBuf, String> {
    let (mut hosts, mut paths) = (String::new(), String::new());
    for route in site.routes() {
        match route {
            Route::Host(host) => hosts.push_str(&format!("{host} web\n")),
            Route::Path(path) => paths.push_str(&format!("{path}/ web\n")),
            Route::Any => {}
        }
    }
    site.write("hosts.map", &hosts)?;
    site.write("paths.map", &paths)?;
    site.write("haproxy.cfg", &config(site))
}

fn config(site: &Site) -> String {
    let (plain, tls, h2, admin) = (site.ports.plain, site.ports.tls, site.ports.h2, site.ports.admin);
    let folder = site.folder.display();
    let log = match site.shape.logs {
        Logs::On => "  log stdout format raw local0\n  option httplog\n",
        Logs::Off => "",
    };
    let endpoints: String = site
        .weighted()
        .map(|(port, weight)| format!("  server e{port} 127.0.0.1:{port} weight {weight}\n"))
        .collect();
    format!(
        "global
  nbthread {workers}
  stats socket {folder}/haproxy.sock mode 600 level admin expose-fd listeners
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
{log}  http-reuse always
  option forwardfor
  timeout connect 1s
  timeout client 75s
  timeout server 60s
  timeout http-keep-alive 75s
frontend metrics
  bind 127.0.0.1:{admin}
  http-request use-service prometheus-exporter if {{ path /metrics }}
frontend web
  bind 127.0.0.1:{plain}
  bind 127.0.0.1:{h2} proto h2
  bind 127.0.0.1:{tls} ssl crt {both} alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
{rules}backend web
  option httpchk GET /healthz
  default-server check inter {every} observe layer7 error-limit 5 on-error mark-down
{endpoints}",
        workers = site.shape.workers,
        both = site.programs.both.display(),
        every = CHECKED_EVERY,
        rules = rules(site),
    )
}

/// Maps are how HAProxy looks up one of many: a tree, instead of a rule for each.
fn rules(site: &Site) -> String {
    if site.shape.routes == 1 {
        return "  default_backend web\n".to_owned();
    }
    let folder = site.folder.display();
    format!(
        "  use_backend %[path,map_beg({folder}/paths.map,nobody)] if {{ hdr(host) {SHOP} }}
  use_backend %[req.hdr(host),field(1,:),lower,map_str({folder}/hosts.map,nobody)]
backend nobody
  http-request return status 404
"
    )
}
