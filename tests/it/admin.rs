//! What operators see and say.

use crate::harness::{Adit, Client, Endpoint, Load, directory, run_to_end, staying_at, web};

fn served() -> (Endpoint, Adit) {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &[&endpoint])]), staying_at(5.0)));
    adit.wait_until_ready();
    (endpoint, adit)
}

#[test]
fn it_says_whether_it_lives_and_whether_it_is_ready() {
    let mut endpoint = Endpoint::start("v1");
    endpoint.stop();
    let adit = Adit::start(&web(&[("v1", &[&endpoint])]));
    assert_eq!(adit.api("GET", "/livez", "").status, 200);
    assert_eq!(adit.api("GET", "/readyz", "").status, 503);
    adit.cli(&["healthcheck"]).expect_code(1);
    endpoint.resume();
    adit.wait_until_ready();
    assert_eq!(adit.api("GET", "/readyz", "").status, 200);
    adit.cli(&["healthcheck"]).expect_code(0);
}

#[test]
fn status_shows_who_is_stable_who_is_canary_and_the_weights() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &[&v1]), ("v2", &[&v2])]), staying_at(12.5)));
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(12.5);
    Load::on(adit.address()).requests(400).run().assert_all_good();
    let shown = adit.cli(&["status"]).expect_code(0).stdout;
    let (v1, v2) = (v1.address().to_string(), v2.address().to_string());
    for words in ["web", "stable", "v1", "canary", "v2", "12.5 %", "stepping", "ready", &v1, &v2] {
        assert!(shown.contains(words), "`{words}` is missing in:\n{shown}");
    }
}

#[test]
fn status_as_json_is_what_the_api_says() {
    let (_endpoint, adit) = served();
    let shown = adit.cli(&["status", "--json"]).expect_code(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["services"][0]["name"], "web", "{shown}");
    assert_eq!(shown["services"][0]["stable"], "v1", "{shown}");
}

#[test]
fn metrics_count_what_was_served() {
    let (_endpoint, adit) = served();
    Load::on(adit.address()).requests(50).run().assert_all_good();
    let line = crate::harness::until(
        "50 requests in the metrics",
        || {
            let text = adit.api("GET", "/metrics", "").text();
            let mut lines = text.lines().filter(|line| line.starts_with("adit_requests_total{"));
            lines.find(|line| line.ends_with(" 50")).map(str::to_owned)
        },
        || adit.api("GET", "/metrics", "").text(),
    );
    for label in ["service=\"web\"", "version=\"v1\"", "method=\"GET\""] {
        assert!(line.contains(label), "{label} is missing in {line}");
    }
}

#[test]
fn every_metric_of_a_live_version_exists_from_zero() {
    let (_endpoint, adit) = served();
    let text = adit.api("GET", "/metrics", "").text();
    for name in [
        "adit_requests_in_flight",
        "adit_endpoint_errors_total",
        "adit_endpoint_up",
        "adit_rollout_weight_ratio",
        "adit_config_last_reload_successful",
        "adit_build_info",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }
}

#[test]
fn an_unknown_service_is_named_along_with_the_known_ones() {
    let (_endpoint, adit) = served();
    let answer = adit.api("POST", "/v1/services/wep/abort", "{}");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.head.field("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["code"], "unknown_service", "{problem}");
    assert!(answer.text().contains("web"), "{problem}");
}

#[test]
fn what_is_not_served_yet_is_refused_with_a_reason() {
    let (_endpoint, adit) = served();
    let answer = adit.api("GET", "/", "");
    assert_eq!(answer.status, 501, "{}", answer.text());
}

#[test]
fn a_write_that_a_foreign_page_sends_is_turned_away() {
    let (_endpoint, adit) = served();
    let mut client = Client::connect_unix(&adit.socket()).expect("the socket accepts");
    let foreign = [("host", "localhost"), ("origin", "http://evil.example")];
    let answer = client.request("POST", "/v1/services/web/abort", &foreign, b"{}").expect("answer");
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[test]
fn nobody_at_the_admin_address_is_an_exit_code_of_its_own() {
    let dir = directory();
    run_to_end(&["status", "--admin", "unix:nobody.sock"], dir.path())
        .expect_code(7)
        .expect_words(&["nobody.sock"]);
}
