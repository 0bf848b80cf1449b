//! The examples for Compose, as they are, with images of the tests' own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::engine::{Engine, said};
use crate::harness::{directory, is_missing};
use crate::image::{Image, build};
use crate::load::{Load, Running};
use crate::own_image::{build_adit, copy, libraries_of};
use crate::world::patiently;

/// `docker compose -f FILE`, and what it is told by its environment.
struct Project<'e> {
    engine: &'e Engine,
    file: String,
    green: &'static str,
}

impl<'e> Project<'e> {
    fn new(engine: &'e Engine, file: &str) -> Self {
        build_adit(engine);
        for version in ["v1", "v2"] {
            Image::new(&format!("shop:{version}"), version).build(engine);
        }
        Self { engine, file: format!("{}/{file}", env!("CARGO_MANIFEST_DIR")), green: "shop:v1" }
    }

    fn compose(&self, words: &[&str]) -> Command {
        let mut command = compose(self.engine);
        command.args(["-p", "shop", "-f", &self.file]).args(words);
        command.env("DOCKER_GID", self.engine.group()).env("DOCKER_SOCKET", self.engine.socket());
        command.env("BLUE", "shop:v1").env("GREEN", self.green).env("SOCKET_PROXY_IMAGE", "socket-proxy");
        command
    }

    fn up(&self) {
        said("docker compose up -d", self.compose(&["up", "-d"]).output().unwrap());
    }

    fn status(&self) -> Value {
        let told = self.compose(&["exec", "-T", "adit", "/adit", "status", "--json"]).output().unwrap();
        serde_json::from_slice(&told.stdout).unwrap_or_default()
    }

    fn wait(&self, what: &str, fact: impl Fn(&Value) -> bool) {
        let logs = || said("logs", self.compose(&["logs", "--tail", "40"]).output().unwrap());
        patiently(what, || fact(&self.status()).then_some(()), || format!("{:#}\n{}", self.status(), logs()));
    }

    /// At the published port.
    fn load(&self) -> Running {
        let (network, at) = (self.engine.network(), SocketAddr::from(([127, 0, 0, 1], 8080)));
        Load::over(move || network.connect(at), "shop.example").start()
    }
}

/// `docker compose`, where this engine is.
pub(crate) fn compose(engine: &Engine) -> Command {
    let mut command = engine.command("docker");
    command.arg("compose");
    command
}

/// Whether `up -d` with another image in one slot releases it, with no request failed until its first step is served.
fn releases(project: &mut Project) {
    project.up();
    project.wait("both slots serve v1", |status| {
        let endpoints = status["services"][0]["versions"][0]["endpoints"].as_array();
        endpoints.is_some_and(|all| all.len() == 2 && all.iter().all(|endpoint| endpoint["state"] == "ready"))
    });
    let load = project.load();
    project.green = "shop:v2";
    project.up();
    project.wait("v2 is released", |status| {
        let web = &status["services"][0];
        web["stable"] == "v1" && web["canary"] == "v2" && web["phase"] == "stepping"
    });
    patiently(
        "v2 serves",
        || (load.tally().of("v2") > 0).then_some(()),
        || format!("{:#}", project.status()),
    );
    let tally = load.stop();
    assert_eq!(tally.failed("GET"), 0, "{tally:#?}\n{:#}", project.status());
}

#[test]
fn compose_yaml_releases_a_version_by_changing_one_variable() {
    let Some(engine) = Engine::apart().filter(|_| !is_missing("compose")) else { return };
    releases(&mut Project::new(&engine, "config/compose.yaml"));
}

#[test]
fn compose_socket_proxy_yaml_does_the_same_with_gets_alone() {
    let Some(engine) = Engine::apart().filter(|_| !is_missing("compose") && !is_missing("haproxy")) else {
        return;
    };
    build_proxy(&engine);
    let mut project = Project::new(&engine, "config/compose.socket-proxy.yaml");
    releases(&mut project);
    let id = said("ps", project.compose(&["ps", "-q", "adit"]).output().unwrap());
    let mounts = engine.docker(&["inspect", "-f", "{{range .Mounts}}{{.Destination}} {{end}}", &id]);
    assert_eq!(mounts.trim(), "/var/lib/adit", "Adit has no socket");
}

/// A proxy with the rules that the example's has by its documentation: HAProxy, of Debian.
fn build_proxy(engine: &Engine) {
    let context = directory();
    let haproxy = Path::new("/usr/sbin/haproxy");
    for file in libraries_of(haproxy).iter().map(AsRef::as_ref).chain([haproxy]) {
        copy(file, &context.path().join("root").join(file.strip_prefix("/").unwrap()));
    }
    std::fs::write(context.path().join("root/proxy.cfg"), PROXY).unwrap();
    let dockerfile =
        "FROM scratch\nCOPY root /\nENTRYPOINT [\"/usr/sbin/haproxy\", \"-f\", \"/proxy.cfg\"]\n";
    std::fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    build(engine, "socket-proxy", context.path(), &[]);
}

const PROXY: &str = "\
defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 10m
frontend gets
  bind :2375
  http-request deny unless METH_GET
  http-request deny unless { path_reg ^(/v[0-9.]+)?/(containers|images|events|info|version|_ping) }
  default_backend engine
backend engine
  server socket /var/run/docker.sock
";
