//! What goes on beside the traffic: reloads, rollouts, and endpoints that die.

use std::time::Duration;

use crate::harness::{Adit, Answer};
use crate::tally::Tally;
use crate::world::World;

/// Reloads and rollouts by turns.
pub(crate) fn operate(world: &World, tally: &Tally) {
    let stable = world.adit.web().stable.expect("a version is stable");
    let mut stable = usize::from(stable.as_str() == world.web[1].0);
    for round in 0u32.. {
        if tally.is_calm() {
            return;
        }
        reload(&world.adit, tally, round);
        release(world, tally, 1 - stable, 200);
        stable = 1 - stable;
        if tally.is_calm() {
            return;
        }
        break_config(&world.adit, tally);
        release(world, tally, 1 - stable, 500);
        world.adit.release(world.web[stable].0);
        world.adit.wait_for_web("nothing is under way", |web| web.phase == "idle");
    }
}

fn reload(adit: &Adit, tally: &Tally, round: u32) {
    let change = |line: &str| match line.starts_with("connect = ") {
        true => format!("connect = \"{}ms\"", 1001 + round),
        false => line.to_owned(),
    };
    adit.edit(|text| text.lines().map(change).collect::<Vec<_>>().join("\n"));
    adit.cli(&["reload", "--wait"]).expect_code(0);
    tally.did("reloads");
}

fn break_config(adit: &Adit, tally: &Tally) {
    adit.edit(|text| text.replace("interval =", "intervall ="));
    adit.cli(&["reload"]).expect_code(3);
    tally.did("broken reloads");
    adit.edit(|text| text.replace("intervall =", "interval ="));
    adit.cli(&["reload"]).expect_code(0);
    tally.did("reloads");
}

/// Releases a version that answers with this status, and waits for what becomes of it.
fn release(world: &World, tally: &Tally, number: usize, status: u16) {
    let (version, endpoint) = &world.web[number];
    let (outcome, done) =
        if status == 200 { ("promoted", "rollouts promoted") } else { ("aborted", "rollouts gone back") };
    endpoint.script(|script| script.answer = Answer::Status(status));
    let before = world.adit.web().rollout.map_or(0, |rollout| rollout.number);
    world.adit.release(version);
    world.adit.wait_for_web(outcome, |web| {
        let last = web.rollout.as_ref().filter(|rollout| rollout.number > before);
        last.is_some_and(|rollout| rollout.outcome.as_deref() == Some(outcome))
    });
    tally.did(done);
}

/// Kills an endpoint and starts it again, once it is asked again.
pub(crate) fn kill(world: &World, tally: &Tally) {
    let mut endpoint = world.killed.lock().unwrap();
    while !tally.is_calm() {
        let before = endpoint.requests();
        endpoint.stop();
        tally.did("endpoints killed");
        tally.pause(Duration::from_millis(fastrand::u64(..600)));
        endpoint.resume();
        endpoint.wait_for("it is asked again", |it| it.requests() > before);
        tally.pause(Duration::from_millis(fastrand::u64(..600)));
    }
}
