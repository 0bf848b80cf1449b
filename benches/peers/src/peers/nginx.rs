//! nginx: idle connections to the endpoints kept for all, nothing of a body written to disk, no log of requests.

use std::process::Command;

use rustix::process::Signal;

use super::{Logs, Site};
use crate::process::{Process, pinned};
use crate::routes::{Route, SHOP};

pub(super) fn command(site: &Site) -> Result<Command, String> {
    let config = site.write("nginx.conf", &config(site))?;
    let mut command = pinned(&site.cores, "nginx");
    command.arg("-p").arg(&site.folder).arg("-c").arg(config).arg("-e").arg(site.folder.join("error.log"));
    Ok(command)
}

pub(super) fn reload(site: &Site, process: &Process) -> Result<(), String> {
    site.write("nginx.conf", &config(site))?;
    process.signal(Signal::HUP);
    Ok(())
}

fn config(site: &Site) -> String {
    let folder = site.folder.display();
    let log = match site.shape.logs {
        Logs::On => format!("{folder}/access.log"),
        Logs::Off => "off".to_owned(),
    };
    let endpoints: String = site
        .weighted()
        .map(|(port, weight)| format!("    server 127.0.0.1:{port} weight={weight};\n"))
        .collect();
    format!(
        r"daemon off;
user root;
worker_processes {workers};
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 16000; }}
http {{
  access_log {log};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  server_names_hash_max_size 65536;
  upstream web {{
{endpoints}    keepalive {kept};
    keepalive_requests 1000000000;
  }}
  proxy_http_version 1.1;
  proxy_set_header Connection '';
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:tls:16m;
  ssl_session_timeout 1h;
{servers}}}
",
        workers = site.shape.workers,
        kept = (2 * site.endpoints.len()).max(256),
        certificate = site.programs.certificate.display(),
        key = site.programs.key.display(),
        servers = servers(site),
    )
}

fn servers(site: &Site) -> String {
    let (plain, tls, h2) = (site.ports.plain, site.ports.tls, site.ports.h2);
    let listen = |default: &str| {
        format!(
            "    listen 127.0.0.1:{plain}{default};\n    listen 127.0.0.1:{h2}{default} http2;\n    listen 127.0.0.1:{tls}{default} ssl http2;\n"
        )
    };
    let pass = "proxy_pass http://web;";
    if site.shape.routes == 1 {
        return format!("  server {{\n{}    location / {{ {pass} }}\n  }}\n", listen(" default_server"));
    }
    let (mut hosts, mut locations) = (String::new(), String::new());
    for route in site.routes() {
        match route {
            Route::Host(host) => hosts.push_str(&format!(" {host}")),
            Route::Path(path) => locations.push_str(&format!("    location {path}/ {{ {pass} }}\n")),
            Route::Any => {}
        }
    }
    format!(
        "  server {{\n{nobody}    return 404;\n  }}\n  server {{\n{listen}    server_name{hosts};\n    location / {{ {pass} }}\n  }}\n  server {{\n{listen}    server_name {SHOP};\n{locations}  }}\n",
        nobody = listen(" default_server"),
        listen = listen(""),
    )
}
