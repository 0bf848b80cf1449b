//! Containers that go, one of three at a time, under load.

use crate::container::Container;
use crate::engine::Engine;
use crate::load::Tally;
use crate::world::{World, find, patiently, ready};

/// Three containers under load while `act` does something to them; what clients saw until a while after it.
fn meanwhile(
    name: &str,
    posts: bool,
    act: impl FnOnce(&World, &mut Vec<Container>),
) -> Option<(Tally, String)> {
    let world = World::start(Engine::shared()?, name);
    let mut containers = world.run_stable(3);
    let load = world.load();
    let load = if posts { load.posts_every(3) } else { load }.start();
    let more = |count| {
        let before = load.tally().total();
        patiently(
            "more requests",
            || (load.tally().total() > before + count).then_some(()),
            || "no progress",
        );
    };
    more(150);
    act(&world, &mut containers);
    more(150);
    Some((load.stop(), world.explain()))
}

fn are_ready(world: &World, count: usize) {
    world.wait(&format!("{count} are ready"), |web| ready(web, "v1") == count);
}

fn assert_no_failed_get(seen: Option<(Tally, String)>) {
    if let Some((tally, explained)) = seen {
        assert_eq!(tally.failed("GET"), 0, "{tally:#?}\n{explained}");
    }
}

#[test]
fn docker_stop_of_one_of_three_loses_no_request() {
    let seen = meanwhile("stops", true, |world, containers| {
        containers[0].stop();
        are_ready(world, 2);
        containers[0].start();
        are_ready(world, 3);
        containers[1].stop();
        are_ready(world, 2);
    });
    if let Some((tally, explained)) = seen {
        assert_eq!((tally.failed("GET"), tally.failed("POST")), (0, 0), "{tally:#?}\n{explained}");
    }
}

#[test]
fn docker_kill_of_one_of_three_fails_no_get() {
    assert_no_failed_get(meanwhile("kills", false, |world, containers| {
        containers[0].kill();
        are_ready(world, 2);
        containers[0].start();
        are_ready(world, 3);
    }));
}

#[test]
fn docker_pause_of_one_of_three_fails_no_get() {
    assert_no_failed_get(meanwhile("pauses", false, |world, containers| {
        containers[0].pause();
        are_ready(world, 2);
        containers[0].unpause();
        are_ready(world, 3);
    }));
}

#[test]
fn docker_restart_of_one_of_three_fails_no_get() {
    assert_no_failed_get(meanwhile("restarts", false, |world, containers| {
        containers[0].restart(10);
        are_ready(world, 3);
        // One that is killed because it does not heed SIGTERM.
        let deaf = world.run("deaf", &format!("{}:v1", world.name), &["IGNORE_TERM=1"]);
        are_ready(world, 4);
        deaf.restart(1);
        are_ready(world, 4);
    }));
}

#[test]
fn a_container_that_is_made_anew_is_found_at_its_new_address() {
    assert_no_failed_get(meanwhile("anew", false, |world, containers| {
        let first = containers.remove(0);
        let (name, address) = (first.name.clone(), first.address());
        first.remove();
        are_ready(world, 2);
        // What takes the address that has become free.
        let other = world.engine.run(&world.own("other"), &format!("{}:v1", world.name), &[], &[]);
        let new = world.run("v1-1", &format!("{}:v1", world.name), &[]);
        assert_eq!(new.name, name);
        assert_ne!(new.address(), address, "the test needs another address");
        let web = world.wait("three are ready", |web| ready(web, "v1") == 3);
        let endpoints = &find(&web, "v1").expect("it is ready").endpoints;
        let at = new.address().to_string();
        assert!(endpoints.iter().any(|it| it.address.as_deref() == Some(&at)), "{at}: {endpoints:#?}");
        drop(other);
    }));
}

#[test]
fn a_container_that_ends_for_want_of_memory_fails_no_get() {
    assert_no_failed_get(meanwhile("starves", false, |world, _containers| {
        let more = ["--memory=24m", "--memory-swap=24m"];
        let image = format!("{}:v1", world.name);
        let small = world.run_with("small", &image, &[], &[], &more);
        are_ready(world, 4);
        let mut client = crate::harness::Client::connect(small.address()).unwrap();
        assert!(client.get("/eat").is_err(), "it outlived its limit");
        patiently(
            "it was ended by the kernel",
            // By its signal: the engine's own word for it, OOMKilled, is lost when the end is noticed before its reason.
            || (small.inspect("{{.State.ExitCode}} {{.State.Running}}") == "137 false").then_some(()),
            || small.inspect("{{json .State}}"),
        );
        are_ready(world, 3);
    }));
}
