//! Checks: what a measurement from outside does to a rollout.

use adit::domain::rollout::{Outcome, Standing};

use crate::harness::{Adit, Answer, Endpoint, Load, Prometheus, QUICK, is_missing, staying_at, web};

/// Two versions with one endpoint each, v1 released, all ready, and this for the rollout.
fn two_versions(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

fn url_check(smoke: &Endpoint, more: &str) -> String {
    let address = smoke.address();
    format!(
        "[[services.web.rollout.checks]]\nname = \"smoke\"\nurl = \"http://{address}/smoke\"\ninterval = \"50ms\"\n{more}\n"
    )
}

#[test]
fn a_query_to_prometheus_beyond_its_bound_aborts_the_rollout() {
    if is_missing("prometheus") {
        return;
    }
    let (_v1, _v2, adit) = two_versions(&staying_at(50.0));
    let prometheus = Prometheus::scraping(&adit.socket());
    adit.edit(|text| {
        format!(
            "{text}\n[[services.web.rollout.checks]]\nname = \"too-many\"\nprometheus = \"{}\"\ninterval = \"100ms\"\n\
             query = 'sum(adit_requests_total{{service=\"{{{{service}}}}\",version=\"{{{{canary}}}}\"}})'\nmax = 100\n",
            prometheus.url()
        )
    });
    adit.cli(&["reload"]).expect_code(0);
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.wait_for_web("the check is good", |web| {
        let checks = web.rollout.as_ref().map(|rollout| &rollout.checks);
        checks.is_some_and(|checks| checks.iter().any(|check| check.standing == Standing::Good))
    });
    let load = Load::on(adit.address()).start();
    let web = adit.wait_for_outcome("aborted");
    load.stop().assert_all_good();
    let rollout = web.rollout.expect("a rollout");
    let verdict = rollout.verdict.expect("an abort with a verdict");
    assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
    let rule = "check too-many: sum(adit_requests_total{service=\"{{service}}\",version=\"{{canary}}\"}) at most 100";
    assert_eq!((verdict.rule.as_str(), verdict.bound), (rule, 100.0));
    assert!(verdict.value > 100.0, "{verdict:?}");
    assert_eq!(rollout.checks, [], "a rollout that is over is measured no more");
}

#[test]
fn a_url_that_does_not_answer_2xx_aborts_the_rollout() {
    let smoke = Endpoint::start("smoke");
    let (_v1, _v2, adit) =
        two_versions(&format!("{}{}", staying_at(50.0), url_check(&smoke, "failures = 3")));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    smoke.wait_for("it is measured", |smoke| smoke.requests() > 1);
    smoke.script(|script| script.answer = Answer::Status(404));
    let web = adit.wait_for_outcome("aborted");
    let verdict = web.rollout.and_then(|rollout| rollout.verdict).expect("an abort with a verdict");
    assert_eq!((verdict.rule.as_str(), verdict.value), ("check smoke: answered 404", 404.0));
    adit.cli(&["status", "web"]).expect_code(0);
}

#[test]
fn a_check_without_data_holds_a_rollout_that_the_evidence_would_advance() {
    let mut smoke = Endpoint::start("smoke");
    let (_v1, _v2, adit) = two_versions(&format!("{QUICK}{}", url_check(&smoke, "")));
    smoke.stop();
    adit.release("v2");
    adit.wait_for_weight(5.0);
    let load = Load::on(adit.address()).start();
    let web = adit.wait_for_web("the check is waited for", |web| {
        let verdict = web.rollout.as_ref().and_then(|rollout| rollout.verdict.as_ref());
        verdict.is_some_and(|verdict| verdict.rule.starts_with("waits for check smoke (http://"))
    });
    assert_eq!(web.rollout.expect("a rollout").step, 1);
    smoke.resume();
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
}

#[test]
fn a_check_without_data_may_pass_by_the_config() {
    let mut smoke = Endpoint::start("smoke");
    let (_v1, _v2, adit) = two_versions(&format!("{QUICK}{}", url_check(&smoke, "no_data = \"pass\"")));
    smoke.stop();
    adit.release("v2");
    let load = Load::on(adit.address()).start();
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
}

#[test]
fn a_check_that_fails_at_the_preview_ends_a_blue_green_release_before_any_user_saw_it() {
    let smoke = Endpoint::start("smoke");
    smoke.script(|script| script.answer = Answer::Status(500));
    let plan = "[services.web.rollout]\nstrategy = \"blue-green\"\n";
    let (_v1, v2, adit) = two_versions(&format!("{plan}{}", url_check(&smoke, "")));
    adit.release("v2");
    adit.wait_for_outcome("aborted");
    Load::on(adit.address()).requests(200).run().assert_all_good();
    assert_eq!(v2.requests(), 0);
}
