//! Limits of the config, on the real program.

use crate::harness::{Adit, Endpoint, until, web};

#[test]
fn a_reload_changes_limits_for_connections_that_begin_after_it() {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&web(&[("v1", &[&endpoint])]));
    adit.wait_until_ready();
    let mut old = adit.client();
    assert_eq!(old.get("/").expect("an answer").head.field("connection"), None);
    adit.edit(|text| format!("limits = {{ requests = 1 }}\n{text}"));
    adit.cli(&["reload"]).expect_code(0);
    let mut new = adit.client();
    assert_eq!(new.get("/").expect("an answer").head.field("connection"), Some("close"));
    assert_eq!(old.get("/").expect("an answer").head.field("connection"), None);
}

#[test]
fn a_head_that_is_no_request_is_logged_and_counted() {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("access_log = \"stdout\"\n{}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    let large = "v".repeat(40_000);
    let answer = adit.client().request("GET", "/", &[("x-large", &large)], b"").expect("an answer");
    assert_eq!(answer.status, 431);
    let line = until(
        "a line in the log",
        || adit.stdout().into_iter().find(|line| line.contains("\"status\":431")),
        || adit.stdout().join("\n"),
    );
    assert!(line.contains("http_request_error"), "{line}");
    let metrics = adit.api("GET", "/metrics", "").text();
    let counted = "adit_requests_total{service=\"\",version=\"\",code=\"431\",method=\"other\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}
