//! A release is simulated before it happens.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Adit, Ended, Endpoint, Load, QUICK, directory, run_to_end, web};

/// Runs `adit simulate` where nothing runs, with one of the example configs.
fn simulate(config: &str, args: &[&str]) -> Ended {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(config);
    let file = file.to_string_lossy().into_owned();
    let all: Vec<&str> = ["simulate", "-c", &file].into_iter().chain(args.iter().copied()).collect();
    run_to_end(&all, directory().path())
}

const TRAFFIC: [&str; 6] = ["--rate", "200", "--stable-errors", "0.1%", "--runs", "20"];

fn numbers(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_plan_is_simulated_without_a_running_adit() {
    let shown = simulate("canary.toml", &[&["web"], &TRAFFIC[..]].concat()).expect_code(0).stdout;
    for words in ["200 requests a second", "as given", "evidence", "baking", "100 %", "WITH RESCUE"] {
        assert!(shown.contains(words), "`{words}` is missing in:\n{shown}");
    }
}

#[test]
fn the_numbers_of_a_simulation_are_plausible() {
    let told = simulate("adit.toml", &[&["--json"], &TRAFFIC[..]].concat()).expect_code(0).stdout;
    let all = numbers(&told);
    let float = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} in {told}"));
    assert!(float(&all["healthy"]["promoted"]) >= 0.8, "{told}");
    let steps = all["healthy"]["stages"].as_array().expect("a list");
    assert_eq!(steps.len(), 5, "{told}");
    for step in steps {
        // 200 requests a second for as long as it lasts, of which the canary gets its share.
        let expected = 200.0 * float(&step["weight"]) / 100.0 * float(&step["seconds"]["median"]);
        let requests = float(&step["canary_requests"]["median"]);
        assert!((0.7..1.4).contains(&(requests / expected)), "{step}");
        assert!(float(&step["seconds"]["median"]) >= 30.0, "{step}");
    }
    let dead = all["canaries"].as_array().and_then(|canaries| canaries.last()).expect("a canary");
    assert_eq!((float(&dead["errors"]), float(&dead["aborted"])), (1.0, 1.0), "{told}");
    assert!(float(&dead["failed_requests"]["p95"]) <= 10.0, "{dead}");
    assert_eq!(float(&dead["failed_requests_with_rescue"]["p95"]), 0.0, "{dead}");
}

#[test]
fn the_same_seed_gives_the_same_simulation() {
    let told = |seed: &str| {
        let args = [&["--json", "--seed", seed, "--canary-errors", "2%"], &TRAFFIC[..]].concat();
        simulate("adit.toml", &args).expect_code(0).stdout
    };
    assert_eq!(told("7"), told("7"));
    assert_ne!(numbers(&told("7"))["canaries"], numbers(&told("8"))["canaries"]);
}

#[test]
fn a_step_that_would_not_end_in_time_comes_with_a_proposal() {
    let slow = ["--rate", "5", "--stable-errors", "0%", "--runs", "20", "--json"];
    let all = numbers(&simulate("adit.toml", &slow).expect_code(0).stdout);
    let first = &all["healthy"]["stages"][0];
    assert_eq!(
        (first["left"].as_f64(), first["waits_for"].as_str()),
        (Some(0.0), Some("evidence")),
        "{first}"
    );
    let proposals = first["proposals"].as_array().expect("a list");
    assert!(
        !proposals.is_empty() && proposals[0].as_str().is_some_and(|it| it.contains("weight")),
        "{first}"
    );
}

#[test]
fn a_simulation_that_makes_no_sense_says_what_to_do() {
    simulate("canary.toml", &TRAFFIC).expect_code(2).expect_words(&["api, web", "adit simulate SERVICE"]);
    simulate("canary.toml", &[&["shop"], &TRAFFIC[..]].concat())
        .expect_code(2)
        .expect_words(&["`shop`", "api, web"]);
    simulate("canary.toml", &[&["api"], &TRAFFIC[..]].concat())
        .expect_code(2)
        .expect_words(&["fixed weights", "release"]);
    simulate("adit.toml", &["--rate", "0", "--stable-errors", "0%"]).expect_code(2).expect_words(&["--rate"]);
    simulate("adit.toml", &["--rate", "9", "--stable-errors", "0.1"]).expect_code(2).expect_words(&["0.5%"]);
    simulate("none.toml", &TRAFFIC).expect_code(3).expect_words(&["none.toml"]);
    simulate("adit.toml", &["--rate", "9", "--admin", "unix:nobody.sock"])
        .expect_code(7)
        .expect_words(&["nobody.sock", "--rate 100 --stable-errors 0.1%"]);
}

#[test]
fn the_traffic_is_taken_from_a_running_adit() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{QUICK}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    let without = adit.cli(&["simulate", "--rate", "9", "-c", "adit.toml"]);
    without.expect_code(2).expect_words(&["no request", "--stable-errors"]);
    v1.script(|script| script.fail_every = Some(50));
    let load = Load::on(adit.address()).per_second(100).start();
    load.wait_for_more(200);
    let told = adit.cli(&["simulate", "--json", "--runs", "5", "-c", "adit.toml"]).expect_code(0).stdout;
    drop(load.stop());
    let all = numbers(&told);
    let (rate, errors) = (all["requests_per_second"].as_f64(), all["stable_errors"].as_f64());
    assert!(rate.is_some_and(|rate| (50.0..150.0).contains(&rate)), "{told}");
    assert!(errors.is_some_and(|errors| (0.01..0.03).contains(&errors)), "{told}");
    let source = all["source"].as_str().expect("words");
    assert!(source.contains("last 5 s") && source.contains("since Adit started"), "{source}");
}
