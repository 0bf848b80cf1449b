//! A release is started by starting containers.

use adit::domain::Weight;

use crate::engine::Engine;
use crate::world::{World, find, ready};

#[test]
fn three_containers_of_v2_are_promoted_and_v1_stopped_without_a_failed_request() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "good");
    let old = world.run_stable(3);
    let load = world.load().posts_every(5).start();
    let new = world.run_all(3, "v2", &world.image("v2"), &[]);
    let web = world.wait_for_outcome("promoted");
    assert_eq!(web.stable.as_ref().map(|stable| stable.as_str()), Some("v2"), "{}", world.explain());
    for container in &old {
        container.stop();
    }
    world.wait("v1 has no ready container left", |web| ready(web, "v1") == 0);
    drop(old);
    let before = load.tally().total();
    crate::world::patiently("more requests", || (load.tally().total() > before + 100).then_some(()), || "");
    let tally = load.stop();
    assert_eq!((tally.failed("GET"), tally.failed("POST")), (0, 0), "{tally:#?}\n{}", world.explain());
    let story = world.story();
    let timeline = story["timeline"].as_array().expect("a timeline");
    let phases: Vec<_> = timeline.iter().filter_map(|entry| entry["change"]["to"].as_str()).collect();
    for phase in ["waiting", "stepping", "promoted"] {
        assert!(phases.contains(&phase), "{phase} is not in the history: {story:#}");
    }
    for step in 1..=3 {
        let seen = timeline.iter().any(|entry| entry["change"]["step"] == step);
        assert!(seen, "step {step} is not in the history: {story:#}");
    }
    drop(new);
}

#[test]
fn a_v2_that_fails_goes_back_and_no_user_sees_it() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "bad");
    let _old = world.run_stable(3);
    let load = world.load().start();
    let _new = world.run_all(3, "v2", &world.image("v2"), &["FAIL=0.5"]);
    let web = world.wait_for_outcome("aborted");
    assert_eq!(web.stable.as_ref().map(|stable| stable.as_str()), Some("v1"), "{}", world.explain());
    let given =
        world.wait("v2 has no weight", |web| find(web, "v2").is_some_and(|v2| v2.weight == Weight::ZERO));
    let v2 = |web: &_| find(web, "v2").map_or(0, |v2| v2.requests);
    let before = (v2(&given), load.tally().total());
    crate::world::patiently("more requests", || (load.tally().total() > before.1 + 200).then_some(()), || "");
    let tally = load.stop();
    assert_eq!(tally.failed("GET"), 0, "{tally:#?}\n{}", world.explain());
    let after = world.service().expect("it is still there");
    // Those under way when it was aborted end there.
    assert!(v2(&after) <= before.0 + 6, "v2 got requests after its abort: {} and {}", before.0, v2(&after));
    assert_eq!(ready(&after, "v1"), 3, "stable is untouched: {}", world.explain());
}

#[test]
fn a_v2_whose_health_never_turns_good_gets_nothing_and_is_given_up() {
    let Some(engine) = Engine::shared() else { return };
    let world = World::start(engine, "sick");
    let _old = world.run_stable(1);
    let load = world.load().start();
    let labels = ["adit.rollout.ready_timeout=5s"];
    let _new = world.run_with("v2-1", &world.image("v2"), &labels, &["HEALTH_AFTER=never"], &[]);
    world.wait("a rollout waits", |web| web.phase == "waiting");
    world.wait_for_outcome("aborted");
    let tally = load.stop();
    assert_eq!((tally.failed("GET"), tally.of("v2")), (0, 0), "{tally:#?}\n{}", world.explain());
}
