//! Endpoints that are containers: whether they may be used, and when they begin anew.

use super::*;

#[tokio::test]
async fn a_container_that_is_not_as_it_should_be_gets_nothing_whatever_our_checks_say() {
    for (run, health) in [
        (Run::Paused, None),
        (Run::Stopping, None),
        (Run::Restarting, None),
        (Run::Running, Some(Health::Starting)),
        (Run::Running, Some(Health::Unhealthy)),
    ] {
        let mut world = World::new();
        world.serve("web-v1-1", "v1");
        world.serve("web-v1-2", "v1");
        world.change("web-v1-1", |it| (it.run, it.health) = (run, health));
        assert_eq!(world.candidates("v1"), ["10.0.1.2:80"], "{run:?} {health:?}");
    }
}

#[tokio::test]
async fn a_frozen_or_ended_container_is_lost_and_one_that_is_stopped_is_dismissed() {
    for (run, lost, dismissed) in [
        (Run::Paused, true, false),
        (Run::Stopping, false, true),
        (Run::Exited { code: 0, out_of_memory: false }, true, true),
        (Run::Running, false, false),
    ] {
        let mut world = World::new();
        world.serve("web-v1-1", "v1");
        let cells = world.endpoint("web-v1-1").cells.clone();
        world.change("web-v1-1", |it| it.run = run);
        assert_eq!((cells.is_lost(), cells.is_dismissed()), (lost, dismissed), "{run:?}");
    }
}

#[tokio::test]
async fn a_container_that_was_removed_is_lost_too() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let cells = world.endpoint("web-v1-1").cells.clone();
    world.remove("web-v1-1");
    assert!(cells.is_lost() && cells.is_dismissed());
    assert_eq!(world.candidates("v1"), Vec::<String>::new());
}

#[tokio::test]
async fn a_frozen_container_serves_again_when_it_is_thawed() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let cells = world.endpoint("web-v1-1").cells.clone();
    world.change("web-v1-1", |it| it.run = Run::Paused);
    assert_eq!(world.candidates("v1"), Vec::<String>::new(), "not even in panic");
    world.change("web-v1-1", |it| it.run = Run::Running);
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
    assert!(!cells.is_lost());
}

#[tokio::test]
async fn another_container_at_the_same_address_starts_from_zero() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.endpoint("web-v1-1");
    let (id, cells): (EndpointId, _) = (before.id, before.cells.clone());
    world.run("web-v1-1", "v1");
    let now = world.endpoint("web-v1-1");
    assert_ne!(now.id, id);
    assert!(!Arc::ptr_eq(&now.cells, &cells) && cells.is_lost() && !now.cells.is_lost());
    assert_eq!((now.check.condition, world.candidates("v1")), (Condition::New, vec![]));
}

#[tokio::test]
async fn an_address_that_goes_from_one_version_to_another_is_another_endpoint() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.endpoint("web-v1-1").id;
    world.containers.remove("web-v1-1");
    let reused = container("web-v1-1", "v2", world.clock.now(), &[]);
    world.containers.insert("web-v1-1".into(), reused);
    world.see();
    assert_eq!((world.candidates("v1"), world.candidates("v2")), (vec![], vec![]));
    assert_ne!(world.endpoint("web-v1-1").id, before);
}

#[tokio::test]
async fn a_container_that_was_restarted_with_the_same_address_passes_its_checks_again_first() {
    let mut world = World::new();
    let host = |it: &mut Container| (it.ports.host_network, it.ports.networks) = (true, BTreeMap::new());
    world.run("web-v1-1", "v1");
    world.change("web-v1-1", host);
    world.good("web-v1-1");
    assert_eq!(world.candidates("v1"), ["127.0.0.1:80"]);
    world.change("web-v1-1", |it| it.run = Run::Restarting);
    world.change("web-v1-1", |it| it.run = Run::Running);
    assert_eq!(
        (world.candidates("v1"), world.endpoint("web-v1-1").check.condition),
        (vec![], Condition::New)
    );
}

#[tokio::test]
async fn in_panic_an_unhealthy_container_that_was_good_once_is_tried_but_none_that_never_was() {
    let mut world = World::new();
    let refused = || ProbeResult::Failed(ProbeError::Refused);
    world.serve("web-v1-1", "v1");
    world.run_with("web-v1-2", "v1", &[]);
    world.change("web-v1-2", |it| it.health = Some(Health::Unhealthy));
    world.good("web-v1-2");
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
    world.probe("web-v1-1", Condition::Down, refused());
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
}

#[tokio::test]
async fn while_a_container_does_not_run_nobody_checks_it_and_then_it_is_checked_at_once() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let id = world.endpoint("web-v1-1").id;
    let probed = |world: &World| world.control.services["web"].probes(None).any(|(probed, _)| probed == id);
    assert!(probed(&world));
    world.change("web-v1-1", |it| it.run = Run::Paused);
    assert!(!probed(&world));
    world.change("web-v1-1", |it| it.run = Run::Running);
    assert!(probed(&world));
}
