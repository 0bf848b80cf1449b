//! What users see of a bad canary, with rescue and without.

use serde_json::Value;

use crate::harness::{Adit, Answer, Endpoint, Load, staying_at, version, web};

fn under_release(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let text = format!("access_log = \"stdout\"\n{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])]));
    let adit = Adit::start(&text);
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

fn metric(adit: &Adit, series: &str) -> u64 {
    let text = adit.api("GET", "/metrics", "").text();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn a_canary_that_answers_500_to_everything_costs_users_nothing() {
    let (_v1, v2, adit) = under_release(&staying_at(5.0));
    v2.script(|script| script.answer = Answer::Status(500));
    assert_eq!(metric(&adit, "adit_rescues_total{service=\"web\",version=\"v2\"}"), 0);
    let load = Load::on(adit.address()).per_second(200).start();
    adit.release("v2");
    let status = adit.wait_for_outcome("aborted");
    let tally = load.stop();
    tally.assert_all_good();
    let failures = u64::try_from(v2.failures().len()).expect("a few");
    assert!((1..=10).contains(&failures), "{failures} failed canary requests");
    assert_eq!(version(&status, "v2").weight.parts(), 0);
    assert_eq!(metric(&adit, "adit_rescues_total{service=\"web\",version=\"v2\"}"), failures);
    let verdict = status.rollout.and_then(|rollout| rollout.verdict).expect("a verdict");
    assert!((1..=failures).contains(&verdict.canary_failures), "{verdict:?}");

    let all: u64 = adit.web().versions.iter().map(|version| version.requests).sum();
    assert_eq!(all, tally.total(), "each request is counted once");
    let lines = crate::harness::until(
        "the log shows every rescue",
        || {
            let lines = adit.stdout();
            let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let rescued: Vec<_> = lines.filter(|line| line["rescued"] == Value::Bool(true)).collect();
            (u64::try_from(rescued.len()) == Ok(failures)).then_some(rescued)
        },
        || format!("{failures} rescues; {:?}", adit.stdout().last()),
    );
    for line in lines {
        let told = (&line["version"], &line["answered_by"], &line["status"], &line["error"]);
        assert_eq!(told, (&"v2".into(), &"v1".into(), &200.into(), &"http_server_error".into()), "{line}");
    }
}

#[test]
fn without_rescue_at_most_ten_users_see_it() {
    let off = staying_at(5.0)
        .replace("[services.web.rollout]\n", "[services.web.rollout]\nrescue = { methods = [] }\n");
    let (_v1, v2, adit) = under_release(&off);
    v2.script(|script| script.answer = Answer::Status(500));
    let load = Load::on(adit.address()).per_second(200).start();
    adit.release("v2");
    adit.wait_for_outcome("aborted");
    let tally = load.stop();
    assert!((1..=10).contains(&tally.server_errors()), "{tally:?}");
}

#[test]
fn posts_are_not_rescued_unless_said() {
    let (_v1, v2, adit) = under_release(&staying_at(50.0));
    v2.script(|script| script.answer = Answer::Status(500));
    let load = Load::on(adit.address()).method("POST").per_second(200).start();
    adit.release("v2");
    adit.wait_for_outcome("aborted");
    assert!(load.stop().server_errors() > 0);
}

#[test]
fn the_preview_host_leads_to_the_canary_that_nobody_else_gets() {
    let preview = staying_at(5.0)
        .replace("[services.web.rollout]\n", "[services.web.rollout]\npreview_host = \"preview.example\"\n");
    let (_v1, v2, adit) = under_release(&preview);
    let host = [("host", "preview.example")];
    let client = &mut adit.client();
    assert_eq!(client.request("GET", "/", &host, b"").expect("an answer").version(), "v1");
    adit.release("v2");
    adit.wait_for_weight(5.0);
    adit.cli(&["set-weight", "web", "0"]).expect_code(0);
    assert_eq!(client.request("GET", "/", &host, b"").expect("an answer").version(), "v2");
    v2.script(|script| script.answer = Answer::Status(500));
    for _ in 0..50 {
        assert_eq!(client.request("GET", "/", &host, b"").expect("an answer").status, 500);
    }
    let web = adit.web();
    assert_eq!(
        web.canary.as_ref().map(|it| it.as_str()),
        Some("v2"),
        "looking at it is no evidence: {web:?}"
    );
}
