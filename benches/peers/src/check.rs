//! Before anything is measured: each contender is asked once per scenario by curl, and the answer compared.

use std::fs;
use std::process::Command;

use crate::load::Framing;
use crate::peers::Peer;
use crate::routes;
use crate::scenarios::{Asked, Scenario, Wire, Work};

/// Whether the contender does what the scenario is about, to the byte, by one of its endpoints.
pub fn answers(peer: &Peer, scenario: &Scenario) -> Result<(), String> {
    let (asked, port, protocol) = match &scenario.work {
        Work::Load(load) if load.tls.is_some() => (load.asked, peer.site.ports.tls, "1.1"),
        Work::Load(load) => (load.asked, peer.site.ports.plain, "1.1"),
        Work::H2(Wire::Clear) => (Asked::Small, peer.site.ports.h2, "2"),
        Work::H2(Wire::Tls) => (Asked::Small, peer.site.ports.tls, "2"),
        Work::Latency | Work::Idle | Work::Reload => (Asked::Small, peer.site.ports.plain, "1.1"),
    };
    for (host, path) in routes::requests(peer.site.shape.routes) {
        let path = if asked == Asked::Small { &path } else { asked.path() };
        answer(peer, asked, port, protocol, (&host, path)).map_err(|why| {
            format!("{} in {}: asked once for {host}{path}: {why}", peer.kind, scenario.name)
        })?;
    }
    Ok(())
}

fn answer(peer: &Peer, asked: Asked, port: u16, protocol: &str, request: (&str, &str)) -> Result<(), String> {
    let (sent, expected) = asked.bodies();
    let folder = &peer.site.folder;
    let scheme = if port == peer.site.ports.tls { "https" } else { "http" };
    let mut curl = Command::new("curl");
    curl.args(["-sk", "--noproxy", "*", "--max-time", "10", "-H", "Expect:", "-w"]);
    curl.args(["%{http_code} %{http_version} %header{x-endpoint}", "-H", &format!("Host: {}", request.0)]);
    curl.arg(match (protocol, scheme) {
        ("2", "http") => "--http2-prior-knowledge",
        ("2", _) => "--http2",
        _ => "--http1.1",
    });
    curl.arg("-o").arg(folder.join("answer"));
    if let Some(body) = sent {
        fs::write(folder.join("upload"), body).map_err(|error| error.to_string())?;
        curl.arg("--data-binary").arg(format!("@{}", folder.join("upload").display()));
    }
    if asked == Asked::Upload(Framing::Chunked) {
        curl.args(["-H", "Transfer-Encoding: chunked"]);
    }
    let output = curl.arg(format!("{scheme}://127.0.0.1:{port}{}", request.1)).output();
    let said = output.map_err(|error| format!("curl: {error}"))?.stdout;
    let said = String::from_utf8_lossy(&said);
    let body = fs::read(folder.join("answer")).unwrap_or_default();
    let by_one_of_ours = peer.site.endpoints.iter().any(|port| said == format!("200 {protocol} {port}"));
    if !by_one_of_ours {
        return Err(format!("status, version, endpoint: {said}"));
    }
    if body != expected {
        return Err(format!("another body: {} bytes instead of {}", body.len(), expected.len()));
    }
    Ok(())
}
