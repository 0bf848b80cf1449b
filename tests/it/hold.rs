//! A service is held and released.

use std::thread;

use crate::harness::{Adit, Endpoint, web};

fn held() -> (Endpoint, Adit) {
    let v1 = Endpoint::start("v1");
    let adit = Adit::start(&web(&[("v1", &[&v1])]));
    adit.wait_until_all_ready();
    (v1, adit)
}

#[test]
fn requests_wait_from_hold_to_release_and_then_all_are_answered() {
    let (v1, adit) = held();
    let said = adit.cli(&["hold", "web", "--max-wait", "1m", "--why", "a move"]).expect_code(0).stdout;
    assert!(said.contains("held") && said.contains("a move"), "{said}");
    let before = v1.requests();
    let address = adit.address();
    let waiting: Vec<_> =
        (0..100).map(|_| thread::spawn(move || crate::harness::Client::connect(address)?.get("/"))).collect();
    let web = adit.wait_for_web("all wait", |web| web.held.as_ref().is_some_and(|held| held.waiting == 100));
    let status = web.held.expect("it is held");
    assert_eq!((status.why.as_deref(), status.max_waiting), (Some("a move"), 1000));
    assert!((status.max_wait_seconds - 60.0).abs() < 1e-9, "{status:?}");
    assert_eq!(v1.requests(), before);
    adit.cli(&["release", "web"]).expect_code(0);
    for client in waiting {
        let answer = client.join().expect("no panic").expect("an answer");
        assert_eq!((answer.status, answer.version()), (200, "v1"));
    }
    assert_eq!(adit.web().held, None);
}

#[test]
fn a_hold_that_was_acknowledged_outlives_kill_9() {
    let (v1, mut adit) = held();
    adit.cli(&["hold", "web", "--max-wait", "50ms"]).expect_code(0);
    adit.kill_and_restart();
    let held = adit.web().held.expect("still held");
    assert!((held.max_wait_seconds - 0.05).abs() < 1e-9, "{held:?}");
    let answer = adit.client().get("/").expect("an answer");
    assert_eq!((answer.status, v1.requests()), (503, 0));
    assert_eq!(answer.head.field("retry-after"), Some("1"));
    adit.cli(&["release", "web"]).expect_code(0);
    adit.kill_and_restart();
    adit.wait_until_ready();
    assert_eq!(adit.client().get("/").expect("an answer").status, 200);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (_v1, adit) = held();
    let unheld = adit.cli(&["release", "web"]).expect_code(6).stderr;
    assert!(unheld.contains("is not held"), "{unheld}");
    let unknown = adit.cli(&["hold", "wep"]).expect_code(1).stderr;
    assert!(unknown.contains("no service `wep`") && unknown.contains("web"), "{unknown}");
    adit.cli(&["hold", "web", "--max-wait", "soon"]).expect_code(2);
    assert_eq!(adit.web().held, None);
}
