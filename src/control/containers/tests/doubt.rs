//! While the engine can't be asked, and when a container is no longer where it was.

use super::*;

#[tokio::test]
async fn while_the_engine_is_away_who_broke_off_gets_nothing_until_it_says_who_is_there() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v1-2", "v1");
    let engine = Engine::Lost { since: world.clock.now(), why: "connection refused".into() };
    let sighting = Sighting { engine, ..world.control.sighting.clone().unwrap() };
    world.control.sighted(sighting);
    world.control.turn(Scope::Changed);
    assert_eq!(world.candidates("v1").len(), 2);
    // One check that nobody answered: not down yet, but who knows who answers the next.
    world.probe("web-v1-1", Condition::Up, ProbeResult::Failed(ProbeError::Refused));
    assert_eq!(world.candidates("v1"), ["10.0.1.2:80"]);
    world.good("web-v1-1");
    assert_eq!(world.candidates("v1"), ["10.0.1.2:80"], "what answers there may be another container");
    world.see();
    assert_eq!(world.candidates("v1").len(), 2);
}

#[tokio::test]
async fn while_the_engine_is_away_a_slow_answer_is_no_reason_to_doubt_who_gives_it() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let engine = Engine::Lost { since: world.clock.now(), why: "connection refused".into() };
    let sighting = Sighting { engine, ..world.control.sighting.clone().unwrap() };
    world.control.sighted(sighting);
    let timeout = ProbeError::TimedOut(Duration::from_secs(1));
    world.probe("web-v1-1", Condition::Up, ProbeResult::Failed(timeout));
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
}

#[tokio::test]
async fn a_container_that_runs_on_elsewhere_is_lost_where_it_was() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let cells = world.endpoint("web-v1-1").cells.clone();
    world.change("web-v1-1", |it| it.ports.networks.clear());
    assert!(cells.is_lost() && cells.is_dismissed(), "another container may have its address");
}

#[tokio::test]
async fn an_engine_that_is_lost_changes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.generation();
    let known = world.control.sighting.clone().unwrap();
    let engine = Engine::Lost { since: world.clock.now(), why: "connection refused".into() };
    world.control.sighted(Sighting { engine, ..known });
    world.control.turn(Scope::Changed);
    assert_eq!((world.generation(), world.candidates("v1").len()), (before, 1));
}
