//! Envoy: health checks, outlier detection, limits of its own out of the way, no log of requests.

use std::process::Command;

use serde_json::{Value, json};

use super::{CHECKED_EVERY, Logs, Site};
use crate::process::pinned;
use crate::routes::{Route, SHOP};

const TYPES: &str = "type.googleapis.com/envoy.";

pub(super) fn command(site: &Site) -> Result<Command, String> {
    let config = site.write("envoy.json", &config(site).to_string())?;
    let mut command = pinned(&site.cores, &site.programs.envoy);
    command.arg("-c").arg(config).args(["--disable-hot-restart", "-l", "error", "--concurrency"]);
    command.arg(site.shape.workers.to_string());
    Ok(command)
}

fn config(site: &Site) -> Value {
    let certificate = json!({
        "certificate_chain": { "filename": site.programs.certificate },
        "private_key": { "filename": site.programs.key },
    });
    let tls = json!({
        "name": "tls",
        "typed_config": {
            "@type": format!("{TYPES}extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": { "tls_certificates": [certificate], "alpn_protocols": ["h2", "http/1.1"] },
        },
    });
    json!({
        "admin": { "address": address(site.ports.admin) },
        "static_resources": {
            "listeners": [
                listener(site, site.ports.plain, None),
                listener(site, site.ports.h2, None),
                listener(site, site.ports.tls, Some(tls)),
            ],
            "clusters": [cluster(site)],
        },
    })
}

fn listener(site: &Site, port: u16, tls: Option<Value>) -> Value {
    let log = json!([{
        "name": "file",
        "typed_config": {
            "@type": format!("{TYPES}extensions.access_loggers.file.v3.FileAccessLog"),
            "path": site.folder.join("access.log"),
        },
    }]);
    let router = json!({
        "name": "router",
        "typed_config": { "@type": format!("{TYPES}extensions.filters.http.router.v3.Router") },
    });
    let manager = json!({
        "@type": format!("{TYPES}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "web",
        "use_remote_address": true,
        "access_log": if site.shape.logs == Logs::On { log } else { json!([]) },
        "route_config": { "virtual_hosts": hosts(site) },
        "http_filters": [router],
    });
    let mut chain = json!({ "filters": [{ "name": "http", "typed_config": manager }] });
    if let Some(tls) = tls {
        chain["transport_socket"] = tls;
    }
    json!({ "name": format!("port-{port}"), "address": address(port), "filter_chains": [chain] })
}

fn hosts(site: &Site) -> Value {
    let leads = |prefix: &str| json!({ "match": { "prefix": prefix }, "route": { "cluster": "web", "timeout": "60s" } });
    if site.shape.routes == 1 {
        return json!([{ "name": "any", "domains": ["*"], "routes": [leads("/")] }]);
    }
    let (mut hosts, mut paths) = (Vec::new(), Vec::new());
    for route in site.routes() {
        match route {
            Route::Host(host) => hosts.push(host),
            Route::Path(path) => paths.push(leads(&format!("{path}/"))),
            Route::Any => {}
        }
    }
    json!([
        { "name": "hosts", "domains": hosts, "routes": [leads("/")] },
        { "name": "paths", "domains": [SHOP], "routes": paths },
    ])
}

fn cluster(site: &Site) -> Value {
    let endpoint = |(port, weight): (u16, u8)| json!({ "endpoint": { "address": address(port) }, "load_balancing_weight": weight });
    let endpoints: Vec<Value> = site.weighted().map(endpoint).collect();
    let plenty = json!({
        "max_connections": 1_000_000,
        "max_pending_requests": 1_000_000,
        "max_requests": 1_000_000,
        "max_retries": 1_000,
    });
    json!({
        "name": "web",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": { "thresholds": [plenty] },
        "outlier_detection": { "consecutive_5xx": 5 },
        "health_checks": [{
            "timeout": "1s",
            "interval": CHECKED_EVERY,
            "no_traffic_interval": CHECKED_EVERY,
            "unhealthy_threshold": 3,
            "healthy_threshold": 1,
            "http_health_check": { "path": "/healthz" },
        }],
        "load_assignment": { "cluster_name": "web", "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
