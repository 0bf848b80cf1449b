//! Which image runs: said by the verb and by the API, and how a health check in a container asks.

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::harness::{Adit, Endpoint, directory, run_to_end, web};

const DIGEST: &str = "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

/// A service whose `v1` and `v3` are one pinned image, and whose `v2` nothing is known of.
fn served() -> (Vec<Endpoint>, Adit) {
    let endpoints: Vec<_> = ["v1", "v2", "v3"].into_iter().map(Endpoint::start).collect();
    let [v1, v2, v3] = &endpoints[..] else { panic!("three were started") };
    let config = web(&[("v1", &[v1]), ("v2", &[v2]), ("v3", &[v3])]);
    let image = format!("image = \"r.example/web@{DIGEST}\"\n");
    let build = "revision = \"8c1d2e3f4a5b\"\ncreated = \"2026-11-01T12:00:00Z\"\n";
    let config = config
        .replace("[services.web.versions.v1]\n", &format!("[services.web.versions.v1]\n{image}{build}"))
        .replace("[services.web.versions.v3]\n", &format!("[services.web.versions.v3]\n{image}"));
    let adit = Adit::start(&config);
    adit.wait_until_all_ready();
    (endpoints, adit)
}

#[test]
fn images_of_a_service_are_shown_with_their_time_and_commit_and_what_is_unknown_is_said_so() {
    let (endpoints, adit) = served();
    let shown = adit.cli(&["images", "web"]).expect_code(0).stdout;
    let [v1, v2, v3] = [0, 1, 2].map(|index| endpoints[index].address());
    let expected = format!(
        "web v1 · stable · 100 %\n  image    r.example/web\n  id       digest 60303ae22b99\n  \
         built    2026-11-01 12:00:00 UTC\n  commit   8c1d2e3f4a5b\n  source   unknown\n  at       {v1}\n  \
         note     the very same image as v3\n\n\
         web v2 · standby · 0 %\n  image    unknown\n  id       unknown\n  built    unknown\n  commit   unknown\n  \
         source   unknown\n  at       {v2}\n\n\
         web v3 · standby · 0 %\n  image    r.example/web\n  id       digest 60303ae22b99\n  built    unknown\n  \
         commit   unknown\n  source   unknown\n  at       {v3}\n  note     the very same image as v1\n"
    );
    assert_eq!(shown, expected, "\n{shown}");
    let all = adit.cli(&["images"]).expect_code(0).stdout;
    assert_eq!(all, shown, "there is one service");
}

#[test]
fn images_as_json_are_in_full_and_what_is_unknown_is_null() {
    let (endpoints, adit) = served();
    let shown = adit.cli(&["images", "web", "--json"]).expect_code(0).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let expected = json!({
        "name": "v1", "role": "stable", "weight": 100.0,
        "image": format!("r.example/web@{DIGEST}"), "digest": DIGEST, "image_id": null,
        "created": "2026-11-01T12:00:00Z", "revision": "8c1d2e3f4a5b", "source": null,
        "same_image": ["v3"], "containers": [], "endpoints": [endpoints[0].address().to_string()],
    });
    assert_eq!((&shown["service"], &shown["versions"][0]), (&json!("web"), &expected), "{shown}");
    let all = adit.cli(&["images", "--json"]).expect_code(0).stdout;
    let all: Value = serde_json::from_str(&all).expect("JSON");
    assert_eq!(all, json!({ "services": [shown] }));
}

#[test]
fn images_of_an_unknown_service_are_a_problem_that_names_the_known_ones() {
    let (_endpoints, adit) = served();
    let answer = adit.api("GET", "/v1/services/wep/images", "");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.head.field("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["code"], "unknown_service", "{problem}");
    adit.cli(&["images", "wep"]).expect_code(1).expect_words(&["wep", "known: web"]);
}

#[test]
fn shells_complete_the_verb() {
    let script = run_to_end(&["completion", "bash"], directory().path()).expect_code(0).stdout;
    assert!(script.contains("adit,images"), "{script}");
}

#[test]
fn a_health_check_needs_no_arguments_and_knows_only_zero_and_one() {
    let (_endpoints, adit) = served();
    let folder = adit.file();
    let folder = folder.parent().expect("a file is in a folder");
    run_to_end(&["healthcheck"], folder).expect_code(0);
    run_to_end(&["healthcheck"], directory().path()).expect_code(1).expect_words(&["admin.sock"]);
}

#[test]
fn a_health_check_does_not_wait_for_ever() {
    let dir = directory();
    // Connections are taken by the kernel, and nobody answers.
    let _mute = UnixListener::bind(dir.path().join("admin.sock")).expect("a socket");
    run_to_end(&["healthcheck", "--timeout", "50ms"], dir.path()).expect_code(1);
}
