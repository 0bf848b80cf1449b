//! Everything at once, for `ADIT_SOAK_MINUTES`: all protocols, reloads, rollouts, endpoints that die, slow clients and
//! garbage. At the end every clean request was answered, the three accounts of them are the same, and nothing is left behind.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod books;
#[allow(dead_code, reason = "shared with tests/it, which uses more of it")]
#[path = "../shared/certificates.rs"]
mod certificates;
mod clients;
mod garbage;
#[allow(dead_code, unused_imports, reason = "shared with tests/it, which uses more of it")]
#[path = "../it/harness/mod.rs"]
mod harness;
mod operator;
mod python;
mod slow;
mod tally;
mod world;

use books::{Log, counted, differences, sum};
use clients::Plan;
use harness::{is_missing, until};
use tally::Tally;
use world::World;

/// Without `ADIT_SOAK_MINUTES`.
const SHORT: Duration = Duration::from_secs(15);
/// Long enough that every kind of thing has happened once.
const WARM_UP: Duration = Duration::from_secs(5);
/// What memory may grow by from the end of the warm-up to the end of the load: this, or a fifth of what it was.
const GROWTH: u64 = 16 * 1024 * 1024;
/// Files that may be open besides those that were before the load: connections of health checks, one per endpoint, come and go.
const FILES: usize = 8;

const fn plan(kind: &'static str, service: &'static str) -> Plan {
    let pause = Duration::from_millis(20);
    Plan { kind, service, tls: false, http2: false, rounds: 50, at_once: 1, pause }
}

#[rustfmt::skip]
const PLANS: [Plan; 12] = [
    plan("h1", "web"),
    plan("h1", "steady"),
    plan("h1", "still"),
    Plan { rounds: 1, ..plan("h1-new", "steady") },
    Plan { rounds: 1, ..plan("h1-new", "web") },
    Plan { tls: true, ..plan("h1-tls", "steady") },
    Plan { tls: true, rounds: 1, ..plan("h1-tls-new", "still") },
    Plan { http2: true, at_once: 5, ..plan("h2", "web") },
    Plan { http2: true, at_once: 5, ..plan("h2", "steady") },
    Plan { http2: true, tls: true, at_once: 3, ..plan("h2-tls", "steady") },
    Plan { http2: true, tls: true, at_once: 3, ..plan("h2-tls", "still") },
    Plan { http2: true, tls: true, at_once: 2, pause: Duration::from_millis(100), ..plan("h2-tls", "big") },
];

const OTHERS: [fn(&World, &Tally); 6] =
    [python::grpc, python::chat, slow::trickle, slow::sip, garbage::throw_all, garbage::stall];
const OPERATORS: [fn(&World, &Tally); 2] = [operator::operate, operator::kill];

/// All of it for so long.
fn load(world: &World, long: Duration, tally: &Arc<Tally>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            PLANS.iter().map(|plan| runtime.spawn(plan.run(world.front.clone(), tally.clone()))).collect();
        let others: Vec<_> = OTHERS.iter().map(|other| scope.spawn(move || other(world, tally))).collect();
        let operators = OPERATORS.map(|operator| scope.spawn(move || operator(world, tally)));
        tally.pause(long);
        tally.calm();
        let operated = operators.map(|operator| operator.join().is_ok());
        tally.stop();
        for client in clients {
            runtime.block_on(client).unwrap();
        }
        assert!(others.into_iter().all(|other| other.join().is_ok()), "a client panicked");
        assert!(operated.iter().all(|&well| well), "no rollout, reload or kill as it should be");
    });
}

/// Waits until no client is left.
fn rest(world: &World) {
    let left = |metrics: &str| {
        ["adit_connections_open", "adit_requests_in_flight", "adit_tunnels_open"]
            .map(|family| sum(metrics, family))
    };
    until(
        "nobody is connected",
        || left(&world.metrics()).iter().all(|count| count.abs() < 0.5).then_some(()),
        || format!("connections, requests, tunnels: {:?}", left(&world.metrics())),
    );
}

/// Compares the accounts, and says what was in them.
fn assert_same_books(world: &World, tally: &Tally) -> String {
    let metrics = world.metrics();
    let counted = counted(&metrics);
    let log = whole_log(world, counted.values().sum());
    assert_eq!(differences(&log.all, &counted), Vec::<String>::new(), "the log and the metrics");
    assert_eq!(differences(&tally.counts(), &log.clean), Vec::<String>::new(), "the clients and the log");
    for family in ["adit_panics_total", "adit_access_log_dropped_total"] {
        assert!(sum(&metrics, family).abs() < 0.5, "{family}: {}", sum(&metrics, family));
    }
    let [retries, rescues] = ["adit_retries_total", "adit_rescues_total"].map(|family| sum(&metrics, family));
    assert!(retries > 0.0 && rescues > 0.0, "no failure was met: {retries} retries, {rescues} rescues");
    format!("{} lines; of garbage: {:?}; {retries} retries, {rescues} rescues", log.lines, log.dirty())
}

/// Lines are written together, a moment after their requests were counted.
fn whole_log(world: &World, lines: u64) -> Log {
    let mut log = Log::read(&world.log);
    for _ in 0..20 {
        if log.lines >= lines {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(200));
        log = Log::read(&world.log);
    }
    log
}

/// Waits until memory is nearly as it was: what was freed is given back a moment later.
fn assert_same_memory(world: &World, before: u64) -> String {
    let first = world.adit.own_memory();
    let after = until(
        "memory is given back",
        || Some(world.adit.own_memory()).filter(|&now| now <= before + GROWTH.max(before / 5)),
        || format!("{before} bytes after the warm-up, {} now", world.adit.own_memory()),
    );
    let kib = |bytes| bytes / 1024;
    format!(
        "memory: {} KiB after the warm-up, {} KiB after the load, then {}",
        kib(before),
        kib(first),
        kib(after)
    )
}

/// Waits until so few files are open as before; says how many.
fn assert_same_files(world: &World, before: &[PathBuf]) -> String {
    let open = || world.adit.open_files();
    until(
        "files are closed",
        || (open().len() <= before.len() + FILES).then_some(()),
        || format!("before: {before:?}\nnow: {:?}", open()),
    );
    format!("files: {} before the load, {} after it", before.len(), open().len())
}

fn length() -> Duration {
    let minutes = std::env::var("ADIT_SOAK_MINUTES").ok().map(|text| text.parse::<f64>().expect("minutes"));
    minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(minutes * 60.0))
}

#[test]
fn under_all_at_once_every_request_is_answered_and_counted_and_nothing_is_left() {
    if is_missing("python") {
        return;
    }
    let mut world = World::start();
    let files = world.adit.open_files();
    let mut tally = Arc::new(Tally::default());
    load(&world, WARM_UP, &tally);
    rest(&world);
    let warm = world.adit.own_memory();
    tally = Arc::new(tally.again());
    load(&world, length(), &tally);
    rest(&world);
    println!("{}", tally.report());
    assert_eq!(tally.complaints(), Vec::<String>::new(), "{}", world.adit.stderr());
    println!("{}", assert_same_books(&world, &tally));
    for what in ["reloads", "broken reloads", "rollouts promoted", "rollouts gone back", "endpoints killed"] {
        assert!(tally.done(what) > 0, "no {what}");
    }
    println!("{}", assert_same_memory(&world, warm));
    world.stop_endpoints();
    println!("{}", assert_same_files(&world, &files));
}
