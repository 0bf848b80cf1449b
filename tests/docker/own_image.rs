//! Adit's own image, by `config/Dockerfile`, with the program under test in it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::engine::{Engine, said};
use crate::harness::directory;
use crate::image::{Image, build};
use crate::load::Load;
use crate::world::patiently;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Builds the image `adit` on this engine. The program under test is not static: what it stands on has its libraries.
pub(crate) fn build_adit(engine: &Engine) {
    let context = directory();
    let libraries = context.path().join("libraries");
    for library in libraries_of(Path::new(env!("CARGO_BIN_EXE_adit"))) {
        copy(&library, &libraries.join(library.strip_prefix("/").unwrap()));
    }
    std::fs::write(libraries.join("Dockerfile"), "FROM scratch\nCOPY lib /lib\nCOPY lib64 /lib64\n").unwrap();
    build(engine, "libraries", &libraries, &[]);
    for file in ["config/Dockerfile", "config/container.toml"] {
        copy(&Path::new(ROOT).join(file), &context.path().join(file));
    }
    strip(Path::new(env!("CARGO_BIN_EXE_adit")), &context.path().join("adit"));
    let dockerfile = context.path().join("config/Dockerfile");
    let args =
        ["-f", dockerfile.to_str().unwrap(), "--build-arg", "BASE=libraries", "--build-arg", "BINARY=adit"];
    build(engine, "adit", context.path(), &[&args[..], &["--build-arg", "VERSION=1.2.3"]].concat());
}

/// The files that a program needs, as `ldd` lists them.
pub(crate) fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let listed = said("ldd", Command::new("ldd").arg(program).output().unwrap());
    let paths = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// Without what only a debugger needs: it is the most of it.
fn strip(from: &Path, to: &Path) {
    let stripped = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if !stripped.is_ok_and(|status| status.success()) {
        copy(from, to);
    }
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn in_its_own_image_adit_is_nobody_and_finds_containers_in_the_network_that_it_shares() {
    let Some(engine) = Engine::apart() else { return };
    build_adit(&engine);
    Image::new("shop:v1", "v1").build(&engine);
    Image::new("shop:v2", "v2").build(&engine);
    engine.docker(&["network", "create", "front"]);
    let labels = ["adit.service=shop", "adit.health.path=/healthz"];
    let quick = [
        "adit.rollout.steps=20,100",
        "adit.rollout.advance.min_requests=20",
        "adit.rollout.advance.min_time=1s",
    ];
    let margin =
        ["adit.rollout.analysis.promote_margin.absolute=5%", "adit.rollout.analysis.latency.quantiles="];
    let labels = [&labels[..], &quick, &margin].concat();
    let network = ["--network", "front"];
    let _v1 = engine.run_with("shop-1", "shop:v1", &labels, &[], &network);
    let socket = format!("{}:/var/run/docker.sock:ro", engine.socket());
    let group = engine.group();
    let more = [&network[..], &["-v", &socket, "--group-add", &group]].concat();
    let adit = engine.run_with("adit", "adit", &[], &[], &more);
    assert_eq!(adit.inspect("{{.Config.User}} {{.Config.StopSignal}}"), "65532:65532 SIGTERM");
    let status = || -> Value {
        let told =
            engine.command("docker").args(["exec", "adit", "/adit", "status", "--json"]).output().unwrap();
        serde_json::from_slice(&told.stdout).unwrap_or_default()
    };
    let explain = || format!("{:#}\n{}", status(), engine.docker(&["logs", "--tail", "30", "adit"]));
    let serves = || {
        let (status, endpoint) = (status(), "/services/0/versions/0/endpoints/0/state");
        (status.pointer(endpoint).is_some_and(|state| state == "ready")).then_some(())
    };
    patiently("it serves", serves, explain);
    let (address, network) = (SocketAddr::new(adit.address().ip(), 8080), engine.network());
    let load = Load::over(move || network.connect(address), "shop.example").start();
    let _v2 = engine.run_with("shop-2", "shop:v2", &labels, &[], &more[..2]);
    patiently("v2 is promoted", || (status()["services"][0]["stable"] == "v2").then_some(()), explain);
    let tally = load.stop();
    assert!(tally.failed("GET") == 0 && tally.of("v2") > 0, "{tally:#?}\n{}", explain());
    let health = adit.inspect("{{.State.Health.Status}}");
    assert!(["healthy", "starting"].contains(&health.as_str()), "{health}");
    // State is kept where nobody may write: SIGTERM drains and ends well.
    adit.stop();
    assert_eq!(adit.inspect("{{.State.ExitCode}}"), "0", "{}", explain());
}
