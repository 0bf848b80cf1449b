//! What clients get: forwarding, routing, errors of ours, replay.

use crate::harness::{Adit, Answer, Endpoint, Load, web};

/// One version with one endpoint, ready.
fn served(more: &str) -> (Endpoint, Adit) {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("{}{more}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    (endpoint, adit)
}

#[test]
fn a_request_reaches_the_endpoint_and_its_answer_the_client() {
    let (endpoint, adit) = served("");
    let response =
        adit.client().request("POST", "/cart?item=7", &[("x-mine", "yes")], b"two of them").expect("answer");
    assert_eq!((response.status, response.text().as_str()), (200, "v1 answers /cart?item=7\n"));
    let seen = endpoint.last_seen().expect("the request arrived");
    assert_eq!(seen.head.line, "POST /cart?item=7 HTTP/1.1");
    assert_eq!(seen.head.field("x-mine"), Some("yes"));
    assert_eq!(seen.head.field("host"), Some("web.example"));
    assert_eq!(seen.body, b"two of them");
}

#[test]
fn the_endpoint_learns_who_asked_and_how() {
    let (endpoint, adit) = served("");
    adit.client().get("/").expect("answer");
    let seen = endpoint.last_seen().expect("the request arrived").head;
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"), "{seen:?}");
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"), "{seen:?}");
    assert_eq!(seen.field("x-forwarded-host"), Some("web.example"), "{seen:?}");
    assert!(seen.field("x-request-id").is_some_and(|id| !id.is_empty()), "{seen:?}");
}

#[test]
fn what_a_stranger_says_about_forwarding_is_dropped() {
    let (endpoint, adit) = served("");
    let forged = [("x-forwarded-for", "10.1.2.3"), ("x-real-ip", "10.1.2.3"), ("forwarded", "for=10.1.2.3")];
    adit.client().request("GET", "/", &forged, b"").expect("answer");
    let seen = endpoint.last_seen().expect("the request arrived").head;
    let told = seen.fields.iter().filter(|(_, value)| value.contains("10.1.2.3")).count();
    assert_eq!(told, 0, "{seen:?}");
}

#[test]
fn hop_by_hop_fields_go_no_further() {
    let (endpoint, adit) = served("");
    let fields = [("connection", "x-private"), ("x-private", "1"), ("keep-alive", "timeout=9")];
    adit.client().request("GET", "/", &fields, b"").expect("answer");
    let seen = endpoint.last_seen().expect("the request arrived").head;
    for name in ["x-private", "keep-alive"] {
        assert_eq!(seen.field(name), None, "{seen:?}");
    }
}

#[test]
fn the_longest_path_of_the_right_host_wins() {
    let (shop, api) = (Endpoint::start("shop"), Endpoint::start("api"));
    let adit = Adit::start(&format!(
        "[services.shop]\nhosts = [\"shop.example\"]\nrelease = \"v1\"\n\
         [services.shop.versions.v1]\nendpoints = [\"{}\"]\n\
         [services.api]\nrelease = \"v1\"\n\
         [services.api.versions.v1]\nendpoints = [\"{}\"]\n\
         [[services.api.routes]]\nhost = \"shop.example\"\npath = \"/api\"\nstrip_prefix = true\n",
        shop.address(),
        api.address()
    ));
    adit.wait_until_ready();
    let mut client = adit.client();
    for (path, answer) in [
        ("/", "shop answers /\n"),
        ("/apix", "shop answers /apix\n"),
        ("/api", "api answers /\n"),
        ("/api/v7?x=1", "api answers /v7?x=1\n"),
    ] {
        let response = client.request("GET", path, &[("host", "SHOP.example:8080")], b"").expect("answer");
        assert_eq!(response.text(), answer, "GET {path}");
    }
}

#[test]
fn a_request_that_no_route_matches_gets_a_404_that_says_whose_it_is() {
    let endpoint = Endpoint::start("v1");
    let config = web(&[("v1", &[&endpoint])]).replace("release", "hosts = [\"shop.example\"]\nrelease");
    let adit = Adit::start(&config);
    adit.wait_until_ready();
    let response = adit.client().get("/").expect("answer");
    assert_eq!(response.status, 404);
    let proxy_status = response.head.field("proxy-status").expect("an error of ours says so");
    assert!(proxy_status.contains("destination_not_found"), "{proxy_status}");
    assert_eq!(endpoint.requests(), 0);
}

#[test]
fn an_error_of_ours_is_json_for_those_who_ask_for_it() {
    let (endpoint, adit) = served("[services.web.timeouts]\nresponse = \"50ms\"\n");
    endpoint.script(|script| script.answer = Answer::Hang);
    let response = adit.client().request("GET", "/", &[("accept", "application/json")], b"").expect("answer");
    assert_eq!(response.status, 504);
    serde_json::from_slice::<serde_json::Value>(&response.body).expect("a JSON body");
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_a_504() {
    let (endpoint, adit) = served("[services.web.timeouts]\nresponse = \"50ms\"\n");
    endpoint.script(|script| script.answer = Answer::Hang);
    let response = adit.client().get("/").expect("answer");
    let proxy_status = response.head.field("proxy-status").unwrap_or_default();
    assert_eq!(response.status, 504);
    assert!(proxy_status.contains("http_response_timeout"), "{proxy_status}");
}

#[test]
fn an_answer_that_is_not_http_is_a_502() {
    let (endpoint, adit) = served("");
    endpoint.script(|script| script.answer = Answer::Garbage);
    assert_eq!(adit.client().get("/").expect("answer").status, 502);
}

#[test]
fn a_body_that_is_cut_looks_cut_to_the_client() {
    let (endpoint, adit) = served("");
    endpoint.script(|script| script.answer = Answer::Cut);
    let answer = adit.client().get("/");
    assert!(answer.is_err(), "a cut body must not look whole: {answer:?}");
}

#[test]
fn a_post_that_may_have_been_processed_is_not_sent_twice() {
    let (endpoint, adit) = served("");
    let mut client = adit.client();
    // A warm connection is the tempting case.
    assert_eq!(client.request("POST", "/", &[], b"first").expect("answer").status, 200);
    endpoint.script(|script| script.answer = Answer::Close);
    let response = client.request("POST", "/", &[], b"pay once").expect("answer");
    assert_eq!((response.status, endpoint.requests()), (502, 2), "{}", response.text());
}

#[test]
fn a_get_on_a_connection_that_just_died_is_sent_again() {
    let (endpoint, adit) = served("");
    // Every reused connection turns out to be dead.
    endpoint.script(|script| script.requests_per_connection = 1);
    Load::on(adit.address()).connections(4).requests(400).run().assert_all_good();
    assert_eq!(endpoint.requests(), 400, "and none arrived twice");
}

#[test]
fn connections_to_an_endpoint_are_used_again() {
    let (endpoint, adit) = served("");
    let before = endpoint.connections() - endpoint.health_checks();
    Load::on(adit.address()).connections(1).requests(500).run().assert_all_good();
    let made = endpoint.connections() - endpoint.health_checks() - before;
    assert!(made <= 4, "{made} connections for 500 requests one after the other");
}

#[test]
fn a_slow_reader_holds_the_endpoint_back_instead_of_filling_memory() {
    const SIZE: u64 = 256 << 20;
    let (endpoint, adit) = served("");
    let mut others = adit.client();
    others.get("/warm").expect("answer");
    let before = adit.peak_memory();
    endpoint.script(|script| script.answer = Answer::Big(SIZE));
    let mut slow = adit.client();
    slow.send_request("GET", "/big", &[], b"").expect("sent");
    slow.first_byte().expect("the answer has begun");
    endpoint.script(|script| script.answer = Answer::Status(200));
    // While the slow one reads nothing, others are served; the endpoint is not done with it.
    for _ in 0..1000 {
        assert_eq!(others.get("/").expect("answer").status, 200);
    }
    assert_eq!(endpoint.in_flight(), 1, "256 MiB went somewhere: {endpoint:?}");
    let response = slow.response("GET").expect("the whole body");
    assert_eq!(u64::try_from(response.body.len()).ok(), Some(SIZE));
    let grown = adit.peak_memory() - before;
    assert!(grown < 32 << 20, "memory grew by {} MiB", grown >> 20);
}

#[test]
fn http2_with_prior_knowledge_is_served() {
    let (endpoint, adit) = served("");
    let response = crate::harness::get_http2(adit.address(), "/two").expect("an answer over HTTP/2");
    assert_eq!((response.0, response.1.as_str()), (200, "v1 answers /two\n"));
    let seen = endpoint.last_seen().expect("the request arrived").head;
    assert_eq!((seen.line.as_str(), seen.field("host")), ("GET /two HTTP/1.1", Some("web.example")));
}

#[test]
fn every_request_leaves_a_line_that_says_what_became_of_it() {
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&format!("access_log = \"stdout\"\n{}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    adit.client().get("/seen?by=all").expect("answer");
    let line = crate::harness::until(
        "an access log line",
        || adit.stdout().into_iter().find(|line| line.contains("/seen")),
        || adit.stdout().join("\n"),
    );
    let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    let expected = [
        ("method", "GET"),
        ("path", "/seen"),
        ("query", "by=all"),
        ("service", "web"),
        ("version", "v1"),
        ("client_ip", "127.0.0.1"),
    ];
    for (key, value) in expected {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert_eq!(line["status"], 200, "{line}");
}

#[test]
fn an_endpoint_may_be_given_by_name() {
    let endpoint = Endpoint::start("v1");
    let (address, name) =
        (endpoint.address().to_string(), format!("localhost:{}", endpoint.address().port()));
    let adit = Adit::start(&web(&[("v1", &[&endpoint])]).replace(&address, &name));
    adit.wait_until_ready();
    Load::on(adit.address()).requests(100).run().assert_all_good();
    let shown = adit.version("v1").endpoints;
    assert!(
        shown.iter().any(|known| known.endpoint == name && known.address.as_ref() == Some(&address)),
        "{shown:?}"
    );
}

#[test]
fn endpoints_are_served_without_any_file() {
    let endpoint = Endpoint::start("v1");
    let to = endpoint.address().to_string();
    let adit = Adit::start_with(&["run", "--to", &to, "--listen", "127.0.0.1:0"]);
    adit.wait_until_ready();
    assert_eq!(adit.client().get("/").expect("answer").version(), "v1");
}
