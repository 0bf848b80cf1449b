//! A hundred containers come and go at random, under load. The accounts agree, and nothing is left behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::engine::Engine;
use crate::world::{World, log_file, patiently, ready};

const CONTAINERS: usize = 100;
/// At the same time: a machine of two cores starts no more than that quickly.
const AT_ONCE: u64 = 4;
const SEED: u64 = 6;
/// After so many, memory and files are as they stay.
const WARM: usize = 30;
/// What memory may grow by after that: this, or a fifth of what it was.
const GROWTH: u64 = 16 * 1024 * 1024;
/// Connections of health checks come and go.
const FILES: usize = 12;

/// One container's life.
fn live(world: &World, number: usize, chance: &mut fastrand::Rng) {
    let env = if chance.bool() { "LINGER=500" } else { "IGNORE_TERM=1" };
    let container = world.run(&format!("c-{number}"), &format!("{}:v1", world.name), &[env]);
    std::thread::park_timeout(Duration::from_millis(chance.u64(0..1500)));
    match chance.u8(0..5) {
        0 => container.stop_within(1),
        1 => container.kill(),
        2 => {
            container.pause();
            std::thread::park_timeout(Duration::from_millis(chance.u64(0..500)));
            container.unpause();
        }
        3 => container.restart(0),
        _ => {}
    }
    // Removed as it is, running or not.
    container.remove();
}

/// All of them, `AT_ONCE` at a time; `warm` is called when most of what can happen has happened.
fn live_all(world: &World, warm: impl Fn() + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (next, warm) = (&next, &warm);
            scope.spawn(move || {
                let chance = &mut fastrand::Rng::with_seed(SEED + worker);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= CONTAINERS {
                        return;
                    }
                    if number == WARM {
                        warm();
                    }
                    live(world, number, chance);
                }
            });
        }
    });
}

#[test]
fn a_hundred_containers_come_and_go_and_no_get_fails() {
    let Some(engine) = Engine::shared() else { return };
    let log = log_file("docker-churn.log");
    let world = World::start_logging_to(engine, "churn", &log);
    let _stay = world.run_stable(2);
    let load = world.load().start();
    let (memory, files) = (AtomicUsize::new(0), AtomicUsize::new(0));
    live_all(&world, || {
        memory.store(usize::try_from(world.adit.own_memory()).unwrap(), Ordering::Relaxed);
        files.store(world.adit.open_files().len(), Ordering::Relaxed);
    });
    world.wait("those that stay are left", |web| {
        ready(web, "v1") == 2 && web.versions[0].endpoints.len() == 2
    });
    let tally = load.stop();
    println!("{} requests: {:?}", tally.total(), tally.answers);
    assert_eq!(tally.failed("GET"), 0, "{tally:#?}\n{}", world.explain());
    assert_same_books(&world, &tally.answers, &log);
    println!("{}", assert_flat(&world, memory.into_inner() as u64, files.into_inner()));
}

/// What clients saw is what the log says and what was counted.
fn assert_same_books(world: &World, answers: &BTreeMap<(&'static str, u16), u64>, log: &std::path::Path) {
    let mine = |service: &str| service == world.name;
    let logged = || {
        let mut counts = BTreeMap::new();
        let text = std::fs::read_to_string(log).unwrap();
        // A line that is being written is looked at again.
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["service"].as_str().is_some_and(mine) {
                let method = line["method"].as_str().unwrap_or_default().to_owned();
                *counts.entry((method, line["status"].as_u64().unwrap_or_default())).or_insert(0) += 1;
            }
        }
        counts
    };
    let seen: BTreeMap<_, _> = answers
        .iter()
        .map(|((method, status), count)| (((*method).to_owned(), u64::from(*status)), *count))
        .collect();
    patiently(
        "the log has them all",
        || (logged() == seen).then_some(()),
        || format!("{seen:?}\n{:?}", logged()),
    );
    let service = format!("service=\"{}\"", world.name);
    let metrics = world.metrics();
    let lines =
        metrics.lines().filter(|line| line.starts_with("adit_requests_total{") && line.contains(&service));
    let counted: f64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert_eq!(counted as u64, seen.values().sum::<u64>(), "{metrics}");
}

/// Waits until memory and files are nearly as before; says how they are.
fn assert_flat(world: &World, memory: u64, files: usize) -> String {
    let may = memory + GROWTH.max(memory / 5);
    let now = || world.adit.own_memory();
    patiently(
        "memory is as before",
        || (now() <= may).then_some(()),
        || format!("{memory} bytes, then {}", now()),
    );
    let open = || world.adit.open_files();
    patiently(
        "files are as before",
        || (open().len() <= files + FILES).then_some(()),
        || format!("{files} files, then {:#?}", open()),
    );
    format!("memory: {} KiB, then {} KiB; files: {files}, then {}", memory / 1024, now() / 1024, open().len())
}
