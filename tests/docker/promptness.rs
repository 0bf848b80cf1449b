//! How soon a container is served, by the clocks of the engine and of the access log.

use std::time::Duration;

use adit::domain::Timestamp;
use serde_json::Value;

use crate::container::Container;
use crate::engine::Engine;
use crate::image::Image;
use crate::world::{World, log_file, patiently};

const AT_MOST: Duration = Duration::from_secs(1);

/// When the engine saw its health check turn good.
fn healthy_at(engine: &Engine, container: &Container) -> Timestamp {
    let name = format!("container={}", container.name);
    let events = patiently(
        "it is healthy",
        || {
            let (since, until) = ("10m", "0s");
            let words = ["events", "--since", since, "--until", until, "--filter", &name];
            let told = engine.docker(&[&words[..], &["--format", "{{.TimeNano}} {{.Status}}"]].concat());
            told.lines().find(|line| line.ends_with("health_status: healthy")).map(str::to_owned)
        },
        || container.inspect("{{json .State}}"),
    );
    let nanos: u64 = events.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds");
    Timestamp::from_micros(nanos / 1000)
}

/// What a log line says of its time.
fn at(text: &str) -> Option<Timestamp> {
    let micros = text.parse::<jiff::Timestamp>().ok()?.as_microsecond();
    u64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[test]
fn a_container_has_its_first_request_within_a_second_of_its_health_turning_good() {
    let Some(engine) = Engine::shared() else { return };
    let log = log_file("docker-promptness.log");
    let world = World::start_logging_to(engine, "prompt", &log);
    Image::new("prompt:v1", "v1").checked_every("300ms").build(engine);
    // Nothing but what every user says: how health is checked is as it is by default.
    let labels = ["adit.service=prompt", "adit.hosts=prompt.example"];
    let _first = engine.run("prompt-1", "prompt:v1", &labels, &[]);
    world.wait("the first is ready", |web| crate::world::ready(web, "v1") == 1);
    let load = world.load().start();
    let second = engine.run("prompt-2", "prompt:v1", &labels, &["HEALTH_AFTER=1"]);
    let good = healthy_at(engine, &second);
    let endpoint = second.address().to_string();
    let first = patiently(
        "it has a request",
        || {
            let text = std::fs::read_to_string(&log).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let its = lines.filter(|line| line["endpoint"] == endpoint.as_str());
            its.filter_map(|line| at(line["ts"].as_str()?)).min()
        },
        || world.explain(),
    );
    println!("first request {:?} after its health turned good", first - good);
    assert!(first >= good, "it had a request at {first}, before its health turned good at {good}");
    assert!(first - good <= AT_MOST, "healthy at {good}, first request at {first}");
    let tally = load.stop();
    assert_eq!(tally.failed("GET"), 0, "{tally:#?}\n{}", world.explain());
}
