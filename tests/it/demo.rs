//! The demo shows what it says.

use crate::harness::{Turn, directory, run_to_end};

#[test]
fn the_demo_promotes_a_good_version_and_takes_a_bad_one_back() {
    // It brings a load of its own and has a time limit.
    let _alone = Turn::alone();
    let ended = run_to_end(&["demo", "--json"], directory().path()).expect_code(0);
    let summary: serde_json::Value =
        serde_json::from_str(&ended.stdout).expect("one JSON document on stdout");
    let (good, bad) = (&summary["rollouts"][0], &summary["rollouts"][1]);
    assert_eq!((&good["version"], &good["outcome"]), (&"v2".into(), &"promoted".into()), "{summary:#}");
    assert_eq!((&bad["version"], &bad["outcome"]), (&"v3".into(), &"aborted".into()), "{summary:#}");
    let number =
        |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("no number in {summary:#}"));
    // Service, users and proxy share this machine: one that stands still for seconds makes an answer late now and then.
    let late = number(&good["user_requests"]) / 500.0;
    assert!(number(&good["user_failures"]) <= late, "{summary:#}");
    // What the bad version failed, users got from stable.
    assert!(number(&bad["user_failures"]) <= number(&bad["user_requests"]) / 500.0, "{summary:#}");
    assert!(number(&bad["rescued"]) >= 1.0, "{summary:#}");
    assert!(number(&bad["canary_failures"]) <= 30.0, "{summary:#}");
    assert!(number(&bad["evidence"]) >= number(&bad["bound"]), "{summary:#}");
    assert!(number(&good["seconds"]) + number(&bad["seconds"]) < 90.0, "{summary:#}");
}
