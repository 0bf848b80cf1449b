//! Which version a request gets.

use crate::harness::{Adit, Client, Endpoint, Load, staying_at, version, web};

/// A service with fixed weights instead of a release.
fn weighted(v1: &Endpoint, v2: &Endpoint, weights: &str) -> String {
    web(&[("v1", &[v1]), ("v2", &[v2])]).replace("release = \"v1\"", &format!("weights = {{ {weights} }}"))
}

#[test]
fn over_100_000_requests_the_share_is_within_four_standard_deviations_of_the_weight() {
    const REQUESTS: u64 = 100_000;
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&weighted(&v1, &v2, "v1 = 90, v2 = 10"));
    adit.wait_until_all_ready();
    let tally = Load::on(adit.address()).connections(16).requests(REQUESTS).run();
    tally.assert_all_good();
    // sd = sqrt(100,000 × 0.1 × 0.9) = 94.9
    let off = tally.of("v2").abs_diff(10_000);
    assert!(off <= 380, "v2 got {} of 10,000 expected", tally.of("v2"));
    let counted = adit.wait_for_web("all requests counted", |web| {
        version(web, "v1").requests + version(web, "v2").requests == REQUESTS
    });
    assert_eq!(version(&counted, "v2").requests, tally.of("v2"), "what is counted is what was served");
}

#[test]
fn a_weight_of_zero_gets_nothing() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&weighted(&v1, &v2, "v1 = 100, v2 = 0"));
    adit.wait_until_all_ready();
    Load::on(adit.address()).requests(5_000).run().assert_all_good();
    assert_eq!((v1.requests(), v2.requests()), (5_000, 0));
}

#[test]
fn with_cookie_affinity_no_client_goes_back_while_the_weight_rises() {
    const CLIENTS: usize = 300;
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let config = format!(
        "{}[services.web.affinity]\nby = \"cookie\"\n{}",
        web(&[("v1", &[&v1]), ("v2", &[&v2])]),
        staying_at(10.0)
    );
    let adit = Adit::start(&config);
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(10.0);
    let mut client = adit.client();
    // The first answer of each client brings the cookie.
    let mut clients: Vec<(String, String)> = (0..CLIENTS)
        .map(|_| {
            let response = client.get("/").expect("answer");
            let cookie = response.head.field("set-cookie").expect("a cookie with the first answer");
            let cookie = cookie.split(';').next().expect("a cookie's pair comes first").to_owned();
            (cookie, response.version().to_owned())
        })
        .collect();
    let on_canary =
        |clients: &[(String, String)]| clients.iter().filter(|(_, version)| version == "v2").count();
    for weight in [10, 30, 60, 100] {
        adit.cli(&["set-weight", "web", &weight.to_string()]).expect_code(0);
        let before = on_canary(&clients);
        for (cookie, had) in &mut clients {
            let now = ask(&mut client, cookie);
            assert!(!(had == "v2" && now == "v1"), "at {weight} % a client went back");
            *had = now;
        }
        let (after, expected) = (on_canary(&clients), CLIENTS * weight / 100);
        assert!(after >= before && after.abs_diff(expected) < 50, "{after} clients at {weight} %");
    }
}

fn ask(client: &mut Client, cookie: &str) -> String {
    let response = client.request("GET", "/", &[("cookie", cookie)], b"").expect("answer");
    response.version().to_owned()
}

#[test]
fn chosen_clients_pick_a_version_by_hand() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let config = format!(
        "{}[services.web.override]\nheader = \"x-adit-version\"\nfrom = [\"127.0.0.0/8\"]\n",
        web(&[("v1", &[&v1]), ("v2", &[&v2])])
    );
    let adit = Adit::start(&config);
    adit.wait_until_all_ready();
    let response = adit.client().request("GET", "/", &[("x-adit-version", "v2")], b"").expect("answer");
    assert_eq!(response.version(), "v2");
}

#[test]
fn nobody_else_picks_a_version_by_hand() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let config = format!(
        "{}[services.web.override]\nheader = \"x-adit-version\"\nfrom = [\"10.0.0.0/8\"]\n",
        web(&[("v1", &[&v1]), ("v2", &[&v2])])
    );
    let adit = Adit::start(&config);
    adit.wait_until_all_ready();
    let response = adit.client().request("GET", "/", &[("x-adit-version", "v2")], b"").expect("answer");
    assert_eq!(response.version(), "v1");
}

#[test]
fn the_share_of_a_version_without_a_ready_endpoint_goes_to_the_others() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    v2.script(|script| script.health = 503);
    let adit = Adit::start(&weighted(&v1, &v2, "v1 = 50, v2 = 50"));
    adit.wait_until_ready();
    Load::on(adit.address()).requests(200).run().assert_all_good();
    assert_eq!((v1.requests(), v2.requests()), (200, 0));
    v2.script(|script| script.health = 200);
    adit.wait_until_all_ready();
    let tally = Load::on(adit.address()).requests(400).run();
    tally.assert_all_good();
    assert!(tally.of("v2") > 100, "{tally:?}");
}

#[test]
fn how_clients_are_told_apart_stays_while_a_rollout_rests_on_it() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let versions = web(&[("v1", &[&v1]), ("v2", &[&v2])]);
    let affinity = "[services.web.affinity]\nby = \"cookie\"\n";
    let adit = Adit::start(&format!("{versions}{affinity}{}", staying_at(50.0)));
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.edit(|text| text.replace("by = \"cookie\"", "by = \"none\""));
    adit.cli(&["reload"]).expect_code(0);
    let gets_cookie = || {
        let answer = adit.client().get("/").expect("an answer");
        answer.head.field("set-cookie").is_some()
    };
    assert!(gets_cookie(), "the rollout under way goes on by cookie");
    adit.cli(&["abort", "web"]).expect_code(0);
    assert!(!gets_cookie(), "afterwards the config has its way");
}
