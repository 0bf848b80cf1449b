//! Who may ask, and how often, while the config changes.

use crate::harness::{Adit, Endpoint, web};

const LIMIT: &str =
    "[services.web.rate_limit]\nrequests = 2\nper = \"1d\"\n[services.web.timeouts]\nconnect = \"1s\"\n";

fn asked(adit: &Adit, client: &str) -> u16 {
    adit.client()
        .request("GET", "/", &[("host", "a"), ("x-forwarded-for", client)], b"")
        .expect("an answer")
        .status
}

fn reloaded(adit: &Adit, from: &str, to: &str) {
    adit.edit(|text| text.replace(from, to));
    adit.cli(&["reload"]).expect_code(0);
}

#[test]
fn a_rate_limit_outlives_reloads_that_leave_it_as_it_is() {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("{}{LIMIT}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    assert_eq!([(); 3].map(|()| asked(&adit, "192.0.2.1")), [200, 200, 429]);
    reloaded(&adit, "connect = \"1s\"", "connect = \"2s\"");
    assert_eq!(asked(&adit, "192.0.2.1"), 429, "what was used stays used");
    reloaded(&adit, "requests = 2", "requests = 3");
    assert_eq!([(); 4].map(|()| asked(&adit, "192.0.2.1")), [200, 200, 200, 429], "another rule");
    let metrics = adit.api("GET", "/metrics", "").text();
    assert!(metrics.contains("code=\"429\",method=\"GET\"} 3\n"), "{metrics}");
}

#[test]
fn whom_to_believe_and_whom_to_answer_change_by_a_reload() {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!(
        "trusted_proxies = [\"10.0.0.1\"]\n{}[services.web.access]\nallow = [\"192.0.2.0/24\"]\n",
        web(&[("v1", &[&endpoint])])
    ));
    adit.wait_until_ready();
    assert_eq!(asked(&adit, "192.0.2.1"), 403, "127.0.0.1 is not trusted yet");
    reloaded(&adit, "10.0.0.1", "127.0.0.1");
    assert_eq!([asked(&adit, "192.0.2.1"), asked(&adit, "198.51.100.1")], [200, 403]);
    reloaded(&adit, "allow = [\"192.0.2.0/24\"]", "deny = [\"192.0.2.0/24\"]");
    assert_eq!([asked(&adit, "192.0.2.1"), asked(&adit, "198.51.100.1")], [403, 200]);
}
