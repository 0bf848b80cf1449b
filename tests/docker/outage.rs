//! The engine itself goes away and comes back. Its containers go on (`live-restore`).

use crate::engine::Engine;
use crate::world::{World, patiently, ready};

#[test]
fn an_engine_that_is_restarted_or_killed_costs_no_request() {
    let Some(engine) = Engine::own() else { return };
    let world = World::start(&engine, "outage");
    let _containers = world.run_stable(2);
    let load = world.load().posts_every(5).start();
    for (round, end) in [Engine::stop, Engine::kill].into_iter().enumerate() {
        end(&engine);
        let lost = world.wait_for("it is said that the engine is away", |status| !status.problems.is_empty());
        let said = lost.problems.join("\n").to_lowercase();
        assert!(said.contains("docker") || said.contains("engine"), "{said}");
        assert_eq!(ready(lost.service("outage").expect("its routes stay"), "v1"), 2, "{}", world.explain());
        let before = load.tally().total();
        patiently(
            "more requests",
            || (load.tally().total() > before + 150).then_some(()),
            || world.explain(),
        );
        engine.resume();
        world.wait_for("it is connected again", |status| status.problems.is_empty());
        let more = world.run(&format!("more-{round}"), "outage:v1", &[]);
        world.wait("a new container is found", |web| ready(web, "v1") == 3);
        drop(more);
        world.wait("it is gone", |web| ready(web, "v1") == 2);
    }
    let tally = load.stop();
    assert_eq!((tally.failed("GET"), tally.failed("POST")), (0, 0), "{tally:#?}\n{}", world.explain());
}
