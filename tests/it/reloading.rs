//! The config changes while traffic flows.

use crate::harness::{Adit, Answer, Endpoint, Load, version, web};

fn served(more: &str) -> (Endpoint, Adit) {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    (endpoint, adit)
}

/// Another connect timeout: a change that reloads, and matters to nobody.
fn with_timeout(text: &str, millis: u32) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("connect = ")).collect::<Vec<_>>().join("\n");
    lines.replace("[services.web.timeouts]", &format!("[services.web.timeouts]\nconnect = \"{millis}ms\""))
}

#[test]
fn a_hundred_reloads_under_load_lose_no_request_and_no_unrelated_connection() {
    let (endpoint, adit) = served("[services.web.timeouts]\nconnect = \"1s\"\n");
    endpoint.script(|script| script.answer = Answer::Stream);
    let mut slow = adit.client();
    slow.send_request("GET", "/slow", &[], b"").expect("sent");
    slow.response_head().expect("the slow answer has begun");
    endpoint.script(|script| script.answer = Answer::Status(200));

    let load = Load::on(adit.address()).start();
    let first = adit.status().generation;
    for reload in 0..100 {
        adit.edit(|text| with_timeout(&text, 1001 + reload));
        adit.cli(&["reload"]).expect_code(0);
        endpoint.feed();
        let piece = slow.piece().expect("the slow answer goes on").expect("a piece");
        assert!(piece.starts_with(b"piece"), "{piece:?}");
    }
    let tally = load.stop();
    tally.assert_all_good();
    assert!(tally.total() > 100, "{tally:?}");
    assert!(adit.status().generation >= first + 100);
    endpoint.finish();
    assert_eq!(slow.piece().expect("a good end"), None);
}

#[test]
fn a_change_of_the_file_is_seen_without_being_told() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&web(&[("v1", &[&v1])]));
    adit.wait_until_ready();
    adit.edit(|text| text + &format!("[services.web.versions.v2]\nendpoints = [\"{}\"]\n", v2.address()));
    adit.wait_for_web("v2 is known", |web| web.versions.iter().any(|version| version.name.as_str() == "v2"));
}

#[test]
fn a_hangup_reloads() {
    let (_endpoint, adit) = served("[services.web.timeouts]\nconnect = \"1s\"\n");
    let first = adit.status().generation;
    adit.edit(|text| with_timeout(&text, 1500));
    adit.signal("HUP");
    adit.wait_for("a new generation", |status| status.generation > first);
}

#[test]
fn a_bad_file_changes_nothing_and_is_shown() {
    let (_endpoint, adit) = served("");
    let before = adit.status();
    adit.edit(|text| text.replace("interval =", "intervall ="));
    let refusal = adit.cli(&["reload"]).expect_code(3);
    for words in ["intervall", "interval", "adit.toml"] {
        assert!(refusal.stderr.contains(words), "`{words}` is missing in:\n{}", refusal.stderr);
    }
    let after = adit.wait_for("the problem is shown", |status| !status.problems.is_empty());
    assert_eq!((after.generation, after.ready), (before.generation, true), "{after:?}");
    assert!(after.problems.iter().any(|problem| problem.contains("intervall")), "{after:?}");
    Load::on(adit.address()).requests(100).run().assert_all_good();
}

#[test]
fn a_good_file_after_a_bad_one_clears_the_problem() {
    let (_endpoint, adit) = served("");
    adit.edit(|text| text.replace("interval =", "intervall ="));
    adit.cli(&["reload"]).expect_code(3);
    adit.edit(|text| text.replace("intervall =", "interval ="));
    adit.cli(&["reload"]).expect_code(0);
    let status = adit.status();
    assert!(status.problems.is_empty(), "{status:?}");
}

#[test]
fn a_key_that_is_not_served_yet_is_refused_by_name() {
    let (_endpoint, adit) = served("");
    adit.edit(|text| format!("{text}\n[services.web.hooks]\nat = 2\n"));
    adit.cli(&["reload"]).expect_code(3).expect_words(&["hooks", "not served"]);
}

#[test]
fn an_endpoint_that_leaves_the_file_gets_nothing_more_and_costs_nobody_a_request() {
    let (a, b) = (Endpoint::start("v1"), Endpoint::start("v1"));
    let adit = Adit::start(&web(&[("v1", &[&a, &b])]));
    adit.wait_until_all_ready();
    let load = Load::on(adit.address()).start();
    load.wait_for_more(200);
    adit.edit(|text| text.replace(&format!("\"{}\", ", a.address()), ""));
    adit.cli(&["reload"]).expect_code(0);
    // Those that were on their way end here.
    load.stop().assert_all_good();
    let before = a.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(a.requests(), before);
    assert_eq!(version(&adit.web(), "v1").endpoints.len(), 1);
}

#[test]
fn a_replaced_endpoint_serves_until_the_new_one_has_passed_its_check() {
    let (old, new) = (Endpoint::start("v1"), Endpoint::start("v1"));
    new.script(|script| script.health = 503);
    let adit = Adit::start(&web(&[("v1", &[&old])]));
    adit.wait_until_ready();
    let load = Load::on(adit.address()).start();
    load.wait_for_more(50);
    adit.edit(|text| text.replace(&old.address().to_string(), &new.address().to_string()));
    adit.cli(&["reload"]).expect_code(0);
    load.wait_for_more(200);
    assert_eq!(new.requests(), 0, "it has passed no check");
    new.script(|script| script.health = 200);
    adit.wait_for_web("the old one has left", |web| version(web, "v1").endpoints.len() == 1);
    load.wait_for_more(200);
    load.stop().assert_all_good();
    let before = old.requests();
    Load::on(adit.address()).requests(100).run().assert_all_good();
    assert_eq!(old.requests(), before);
}

#[test]
fn a_config_without_the_version_that_users_have_is_refused() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&web(&[("v1", &[&v1])]));
    adit.wait_until_ready();
    adit.edit(|text| text.replace("v1", "v2").replace(&v1.address().to_string(), &v2.address().to_string()));
    adit.cli(&["reload"]).expect_code(6).expect_words(&["v1 is stable", "versions.v1", "promote"]);
    Load::on(adit.address()).requests(50).run().assert_all_good();
    assert_eq!((v1.requests(), v2.requests()), (50, 0));
}

#[test]
fn a_refused_config_leaves_no_trace_in_what_is_known_of_images() {
    let digest = |digit: &str| format!("r/web@sha256:{}", digit.repeat(64));
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&web(&[("v1", &[&v1]), ("v2", &[&v2])]));
    adit.wait_until_all_ready();
    let image = |version: &str, digit: &str| {
        format!("[services.web.versions.{version}]\nimage = \"{}\"", digest(digit))
    };
    let with = |text: &str, v1: &str, v2: &str| {
        let text = text.lines().filter(|line| !line.starts_with("image = ")).collect::<Vec<_>>().join("\n");
        text.replace("[services.web.versions.v1]", &image("v1", v1))
            .replace("[services.web.versions.v2]", &image("v2", v2))
    };
    adit.edit(|text| with(&text, "1", "2"));
    adit.cli(&["reload"]).expect_code(0);
    adit.edit(|text| with(&text, "1", "3"));
    adit.cli(&["reload"]).expect_code(6).expect_words(&["another build", &digest("2")]);
    adit.edit(|text| with(&text, "1", "2"));
    adit.cli(&["reload"]).expect_code(0);
}
