//! Which version a container is, where it is reached, and what is said of one that can't be served.

use std::net::TcpListener;

use crate::engine::Engine;
use crate::image::Image;
use crate::world::{World, find, patiently, ready};

/// The address of the only endpoint of `v1`.
fn address(world: &World) -> String {
    let web = world.wait("it is ready", |web| ready(web, "v1") == 1);
    find(&web, "v1").and_then(|v1| v1.endpoints[0].address.clone()).expect("a ready endpoint has an address")
}

#[test]
fn a_tag_that_moved_is_another_version_and_is_said_to_be() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "moved");
    let _old = world.run_stable(1);
    let load = world.load().start();
    let id = Image::new("moved:v1", "rebuilt").build(engine);
    let digits = id.trim_start_matches("sha256:").get(..12).expect("an image's id").to_owned();
    let _new = world.run("new", "moved:v1", &[]);
    let web = world.wait_for_outcome("promoted");
    let name = format!("v1-{digits}");
    assert_eq!(web.stable.as_ref().map(|stable| stable.as_str()), Some(name.as_str()), "{}", world.explain());
    let told = world.adit.cli(&["status"]).expect_code(0).stdout + &world.adit.stderr();
    assert!(told.contains("moved:v1") && told.contains(&digits), "{told}");
    let tally = load.stop();
    assert!(tally.failed("GET") == 0 && tally.of("rebuilt") > 0, "{tally:#?}");
}

#[test]
fn of_several_networks_the_label_names_one() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "nets");
    let image = world.image("v1");
    let (a, b) = (world.own("a"), world.own("b"));
    engine.docker(&["network", "create", &a]);
    engine.docker(&["network", "create", &b]);
    let label = format!("adit.network={b}");
    let container = world.run_with("1", &image, &[&label], &[], &["--network", &a]);
    engine.docker(&["network", "connect", &b, &container.name]);
    let template = format!("{{{{(index .NetworkSettings.Networks \"{b}\").IPAddress}}}}:8080");
    assert_eq!(address(&world), container.inspect(&template), "{}", world.explain());
    drop(container);
    engine.docker(&["network", "rm", &a, &b]);
}

#[test]
fn in_the_hosts_network_a_container_is_at_its_port_on_loopback() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "hostnet");
    let image = world.image("v1");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).unwrap().port();
    let (label, env) = (format!("adit.port={free}"), format!("PORT={free}"));
    let _container = world.run_with("1", &image, &[&label], &[&env], &["--network", "host"]);
    assert_eq!(address(&world), format!("127.0.0.1:{free}"), "{}", world.explain());
}

#[test]
fn from_the_host_a_container_is_reached_at_its_published_port() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "published");
    let image = world.image("v1");
    let container = world.run_with("1", &image, &[], &[], &["-p", "127.0.0.1::8080"]);
    let port = container.inspect("{{(index (index .NetworkSettings.Ports \"8080/tcp\") 0).HostPort}}");
    assert_eq!(address(&world), format!("127.0.0.1:{port}"), "{}", world.explain());
}

#[test]
fn a_one_off_container_of_compose_is_left_out() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "oneoff");
    let _served = world.run_stable(1);
    let oneoff = ["com.docker.compose.oneoff=True", "com.docker.compose.service=oneoff"];
    let _run = world.run_with("run", "oneoff:v1", &oneoff, &[], &[]);
    // Started after it, so what is known of this one is known of the other.
    let _later = world.run("later", "oneoff:v1", &[]);
    let web = world.wait("the later one is ready", |web| ready(web, "v1") == 2);
    assert_eq!(web.versions.iter().map(|version| version.endpoints.len()).sum::<usize>(), 2, "{web:#?}");
}

#[test]
fn a_label_that_is_wrong_is_said_with_its_container_and_hurts_no_other() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "typo");
    let _good = world.run_stable(1);
    let wrong = ["adit.helth.path=/up"];
    // Users have v1: it is served all the same. A version that nobody has yet is not.
    let _stable = world.run_with("stable", "typo:v1", &wrong, &[], &[]);
    let _other = world.run_with("other", &world.image("v2"), &wrong, &[], &[]);
    let web = world.wait("the one of stable is served", |web| ready(web, "v1") == 2);
    assert!(find(&web, "v2").is_none(), "{web:#?}");
    for container in ["typo-stable", "typo-other"] {
        world.wait_for("the label is said to be wrong", |status| {
            let told = |problem: &String| problem.contains(container) && problem.contains("adit.helth.path");
            status.problems.iter().any(told)
        });
    }
    let log = || world.adit.stderr();
    patiently("the log says so", || log().contains("adit.helth.path").then_some(()), log);
}

#[test]
fn adit_images_tells_image_commit_and_when_it_was_built() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "labelled");
    Image::new("labelled:build-7", "v1")
        .label("org.opencontainers.image.version", "7.1.0")
        .label("org.opencontainers.image.revision", "0123456789abcdef")
        .label("org.opencontainers.image.created", "2026-11-20T10:00:00Z")
        .label("org.opencontainers.image.source", "https://git.example/labelled")
        .build(engine);
    let _container = world.run("1", "labelled:build-7", &[]);
    world.wait("it is ready, under the name of its label", |web| ready(web, "7.1.0") == 1);
    let told = world.adit.cli(&["images", "labelled"]).expect_code(0).stdout;
    for fact in ["7.1.0", "labelled:build-7", "0123456789ab", "2026-11-20", "git.example/labelled"] {
        assert!(told.contains(fact), "`{fact}` is missing in:\n{told}");
    }
}
