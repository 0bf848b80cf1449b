//! What a canary is judged by besides the rate of its errors: how fast it answers, whether it answers at all, and each route
//! by itself.

use std::time::Duration;

use adit::domain::rollout::{Outcome, Verdict};
use adit::domain::stats::{ErrorReason, Quantile};

use crate::harness::{Adit, Answer, Endpoint, Load, web};

const COLD: &str = "[services.web.rollout.analysis]\nlatency = { warmup = \"0s\" }\n";

/// Half of the requests go to the canary, until it fails.
const HALF: &str =
    "[services.web.rollout]\nsteps = [50, 100]\nadvance = { min_time = \"1h\", max_time = \"2h\" }\n";

/// Two versions that answer after 20 ms, v1 released, with enough known of it to say what is slow.
fn after_20_ms(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    for endpoint in [&v1, &v2] {
        endpoint.script(|script| script.latency = Duration::from_millis(20));
    }
    Load::on(adit.address()).requests(300).run().assert_all_good();
    (v1, v2, adit)
}

/// The verdict with which the rollout was aborted.
fn aborted(adit: &Adit) -> Verdict {
    let web = adit.wait_for_outcome("aborted");
    let verdict = web.rollout.and_then(|rollout| rollout.verdict).expect("an abort has a verdict");
    assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
    verdict
}

#[test]
fn a_canary_three_times_as_slow_is_aborted_and_the_verdict_names_the_quantile() {
    let (_v1, v2, adit) = after_20_ms(&format!("{HALF}{COLD}"));
    v2.script(|script| script.latency = Duration::from_millis(60));
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    let verdict = aborted(&adit);
    load.stop().assert_all_good();
    let answers = verdict.detail.answers.expect("the answers that it is about");
    let named = format!("latency {}: canary at most 1.189 × stable", answers.quantile.as_str());
    assert!(verdict.rule.starts_with(&named), "{verdict:?}");
    assert!(answers.canary_slow > 0 && verdict.canary_failures == 0, "{verdict:?}");
}

#[test]
fn a_canary_that_hangs_while_clients_give_up_is_aborted() {
    let (_v1, v2, adit) = after_20_ms(&format!("{HALF}{COLD}"));
    v2.script(|script| script.answer = Answer::Hang);
    // The proxy itself would wait for 30 s.
    let load = Load::on(adit.address()).patience(Duration::from_millis(250)).start();
    adit.release("v2");
    let verdict = aborted(&adit);
    load.stop();
    assert!(verdict.rule.starts_with("latency "), "{verdict:?}");
    assert_eq!(verdict.canary_requests, 0, "nothing ended: {verdict:?}");
}

#[test]
fn a_canary_that_hangs_is_aborted_while_clients_still_wait() {
    let (_v1, v2, adit) = after_20_ms(&format!("{HALF}{COLD}"));
    v2.script(|script| script.answer = Answer::Hang);
    let load = Load::on(adit.address()).connections(40).start();
    adit.release("v2");
    let verdict = aborted(&adit);
    assert_eq!((verdict.canary_requests, load.tally().broken), (0, 0), "nobody gave up: {verdict:?}");
    v2.script(|script| script.answer = Answer::Status(200));
    load.stop();
}

#[test]
fn a_canary_as_fast_as_stable_is_promoted_with_proof_of_it() {
    let quick = "[services.web.rollout]\nsteps = [50, 100]\nadvance = { min_requests = 20, min_time = \"100ms\" }\n\
                 [services.web.rollout.analysis]\npromote_margin = { absolute = \"5%\" }\n\
                 latency = { quantiles = [0.5, 0.9, 0.99], gates = [0.5, 0.9] }\n";
    let (_v1, _v2, adit) = after_20_ms(quick);
    let load = Load::on(adit.address()).start();
    adit.release("v2");
    adit.wait_for_outcome("promoted");
    load.stop().assert_all_good();
}

#[test]
fn without_proof_that_it_is_fast_enough_no_step_is_left() {
    let slower = "[services.web.rollout]\nsteps = [50, 100]\nadvance = { min_requests = 20, min_time = \"0s\" }\n\
                  [services.web.rollout.analysis]\npromote_margin = { absolute = \"20%\" }\n\
                  latency = { quantiles = [0.5], tolerated = 4 }\n";
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{slower}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    // Too few answers of stable to know what is slow.
    Load::on(adit.address()).requests(20).run().assert_all_good();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    Load::on(adit.address()).requests(200).run().assert_all_good();
    let web = adit.wait_for_web("the gate that is missing is named", |web| {
        let verdict = web.rollout.as_ref().and_then(|rollout| rollout.verdict.as_ref());
        verdict.is_some_and(|verdict| verdict.canary_requests > 50)
    });
    let verdict = web.rollout.and_then(|rollout| rollout.verdict).expect("a verdict");
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{verdict:?}");
    assert!(verdict.rule.starts_with("latency p50: canary proven"), "{verdict:?}");
    assert_eq!(verdict.detail.answers.map(|answers| answers.quantile), Some(Quantile::P50));
}

#[test]
fn a_canary_that_breaks_one_route_of_two_is_aborted_and_the_verdict_names_the_route() {
    let routes = "[[services.web.routes]]\npath = \"/\"\n[[services.web.routes]]\npath = \"/api\"\n";
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{}{routes}{HALF}", web(&[("v1", &[&v1]), ("v2", &[&v2])])));
    adit.wait_until_all_ready();
    // What both fail now and then hides what only the canary fails.
    for endpoint in [&v1, &v2] {
        endpoint.script(|script| script.fail_every = Some(5));
    }
    v2.script(|script| script.fail_path = Some("/api"));
    let many = Load::on(adit.address()).start();
    let few = Load::on(adit.address()).connections(1).path("/api").per_second(60).start();
    adit.release("v2");
    let verdict = aborted(&adit);
    drop((few.stop(), many.stop()));
    let route = verdict.detail.route.as_ref().expect("a route");
    assert_eq!(route.name, "*/api", "{verdict:?}");
    assert_eq!(verdict.rule, "route */api: canary at most 1.1 × stable + 0.02 %");
    assert!(verdict.detail.kinds[&ErrorReason::HttpServerError] > 0, "{verdict:?}");
}
