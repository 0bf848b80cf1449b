//! gRPC end to end, with a client and servers of another maker.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::certificates::Authority;
use crate::harness::{Adit, directory, is_missing, python, staying_at, until, version};

/// A gRPC server, or a client that goes on until it is told. Killed when dropped.
struct Part {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Part {
    fn start(script: &str, args: &[&str]) -> Self {
        let mut command = python(script);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let (stdin, lines) = (child.stdin.take(), Arc::<Mutex<Vec<String>>>::default());
        let (out, kept) = (child.stdout.take().expect("stdout is piped"), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { child, stdin, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics with it").clone()
    }

    /// How often it said this.
    fn said(&self, line: &str) -> usize {
        self.lines().iter().filter(|it| *it == line).count()
    }

    fn wait_until_said(&self, line: &str, times: usize) {
        until(
            &format!("{line:?} {times} times"),
            || (self.said(line) >= times).then_some(()),
            || format!("{:?}", self.lines()),
        );
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it listens");
        writeln!(stdin, "{line}").expect("it is there");
        self.wait_until_said(&format!("now {line}"), 1);
    }

    /// Tells it to end.
    fn end(&mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().expect("it ends").success(), "{:?}", self.lines());
    }

    /// Tells it to end, and what it says last.
    fn finish(mut self) -> Value {
        self.end();
        let last = until("its last line", || self.lines().last().cloned(), String::new);
        serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"))
    }

    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Server {
    part: Part,
    port: u16,
}

impl Server {
    fn start(name: &str) -> Self {
        let part = Part::start("tests/python/grpc_server.py", &[name]);
        let port = until(
            "the server says its port",
            || part.lines().first().map(|line| line.parse().expect("a port")),
            String::new,
        );
        Self { part, port }
    }
}

fn config(servers: &[(&str, &[&Server])], protocol: &str, more: &str) -> String {
    let mut text = format!(
        "access_log = \"stdout\"\n[services.web]\nrelease = \"v1\"\n\
         [services.web.health]\ninterval = \"100ms\"\n[services.web.connection]\nprotocol = \"{protocol}\"\n"
    );
    for (version, endpoints) in servers {
        let addresses: Vec<_> = endpoints.iter().map(|it| format!("\"127.0.0.1:{}\"", it.port)).collect();
        text.push_str(&format!(
            "[services.web.versions.{version}]\nendpoints = [{}]\n",
            addresses.join(", ")
        ));
    }
    format!("{text}{more}")
}

fn one_server() -> (Server, Adit) {
    let server = Server::start("v1");
    let adit = Adit::start(&config(&[("v1", &[&server])], "http2", ""));
    adit.wait_until_all_ready();
    (server, adit)
}

fn two_versions(more: &str) -> (Server, Server, Adit) {
    let (v1, v2) = (Server::start("v1"), Server::start("v2"));
    let adit = Adit::start(&config(&[("v1", &[&v1]), ("v2", &[&v2])], "http2", more));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

fn client(adit: &Adit, args: &[&str]) -> Part {
    let address = adit.address().to_string();
    Part::start("tests/python/grpc_client.py", &[&[address.as_str()], args].concat())
}

/// Runs a scenario to its end.
#[track_caller]
fn run(adit: &Adit, args: &[&str]) {
    let address = adit.address().to_string();
    let output = python("tests/python/grpc_client.py")
        .args([&[address.as_str()], args].concat())
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "{}\n{}\n{:#?}",
        String::from_utf8_lossy(&output.stderr),
        adit.stderr(),
        adit.stdout().iter().rev().take(5).collect::<Vec<_>>()
    );
}

#[test]
fn all_four_kinds_of_calls_work_over_tls() {
    if is_missing("python") {
        return;
    }
    let (server, authority, folder) = (Server::start("v1"), Authority::new("ours"), directory());
    let files = authority.server(&["localhost"]).config(folder.path(), "calls");
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, &authority.pem).expect("written");
    let tls = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}] }}\n");
    let adit = Adit::start(&config(&[("v1", &[&server])], "http2", &tls));
    adit.wait_until_all_ready();
    for scenario in ["kinds", "errors"] {
        let mut client = python("tests/python/grpc_client.py");
        client.env("GRPC_AUTHORITIES", &trusted);
        client.args([format!("localhost:{}", adit.address().port()).as_str(), scenario]);
        let output = client.output().expect("Python starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{scenario}: {said}\n{}", adit.stderr());
    }
}

/// Lines of the access log whose `grpc_status` is this one.
fn logged(adit: &Adit, code: &str) -> Vec<Value> {
    let lines = adit.stdout().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.filter(|line| line["grpc_status"] == code).collect()
}

fn wait_until_logged(adit: &Adit, code: &str, times: usize) -> Vec<Value> {
    until(
        &format!("{times} lines with {code}"),
        || Some(logged(adit, code)).filter(|lines| lines.len() >= times),
        || format!("{:#?}", adit.stdout()),
    )
}

fn metric(adit: &Adit, series: &str) -> u64 {
    let text = adit.api("GET", "/metrics", "").text();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn calls_of_all_four_kinds_pass_with_metadata_both_ways() {
    if is_missing("python") {
        return;
    }
    let (_server, adit) = one_server();
    run(&adit, &["kinds"]);
    let lines = wait_until_logged(&adit, "OK", 9);
    assert!(lines.iter().all(|line| line["status"] == 200 && line["error"].is_null()), "{lines:#?}");
    assert_eq!(
        metric(&adit, "adit_grpc_requests_total{service=\"web\",version=\"v1\",grpc_status=\"OK\"}"),
        9
    );
}

#[test]
fn every_error_code_reaches_the_client_with_its_words() {
    if is_missing("python") {
        return;
    }
    let (_server, adit) = one_server();
    run(&adit, &["errors"]);
    for code in ["CANCELLED", "UNKNOWN", "DATA_LOSS", "UNAUTHENTICATED"] {
        assert_eq!(wait_until_logged(&adit, code, 3).len(), 3, "{code}");
    }
    for (code, error) in [("INTERNAL", Value::from("grpc_status")), ("NOT_FOUND", Value::Null)] {
        assert!(logged(&adit, code).iter().all(|line| line["error"] == error), "{code}");
    }
}

#[test]
fn a_hundred_streams_are_open_at_once_on_one_connection() {
    if is_missing("python") {
        return;
    }
    let (_server, adit) = one_server();
    run(&adit, &["many", "100"]);
}

#[test]
fn a_deadline_ends_the_call_at_the_endpoint_too() {
    if is_missing("python") {
        return;
    }
    let (server, adit) = one_server();
    run(&adit, &["deadline"]);
    server.part.wait_until_said("cancelled", 2);
    assert_eq!(server.part.said("hanging with deadline"), 2, "{:?}", server.part.lines());
    wait_until_logged(&adit, "DEADLINE_EXCEEDED", 2);
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_endpoint_too() {
    if is_missing("python") {
        return;
    }
    let (server, adit) = one_server();
    let mut call = client(&adit, &["cancel"]);
    server.part.wait_until_said("hanging without deadline", 1);
    call.end();
    server.part.wait_until_said("cancelled", 1);
    let lines = wait_until_logged(&adit, "CANCELLED", 1);
    assert_eq!((&lines[0]["status"], &lines[0]["error"]), (&499.into(), &Value::Null));
}

#[test]
fn an_endpoint_that_is_killed_ends_its_streams_with_unavailable() {
    if is_missing("python") {
        return;
    }
    let (mut server, adit) = one_server();
    let streams = client(&adit, &["open_streams", "20"]);
    streams.wait_until_said("open", 1);
    server.part.kill();
    assert_eq!(streams.finish(), serde_json::json!({ "UNAVAILABLE": 20 }));
    let lines = wait_until_logged(&adit, "UNAVAILABLE", 20);
    assert!(lines.iter().all(|line| line["error"] == "http_response_incomplete"), "{lines:#?}");
    run(&adit, &["one", "UNAVAILABLE", "endpoint"]);
}

#[test]
fn a_service_that_is_reached_in_http1_refuses_calls_at_once() {
    if is_missing("python") {
        return;
    }
    let server = Server::start("v1");
    let adit = Adit::start(&config(&[("v1", &[&server])], "http1", ""));
    adit.wait_until_all_ready();
    run(&adit, &["one", "UNIMPLEMENTED", "connection.protocol"]);
}

#[test]
fn a_canary_that_fails_calls_is_gone_back_from() {
    if is_missing("python") {
        return;
    }
    for code in ["UNAVAILABLE", "INTERNAL"] {
        let (_v1, mut v2, adit) = two_versions(&staying_at(20.0));
        v2.part.tell(code);
        let load = client(&adit, &["load", "30"]);
        adit.release("v2");
        let web = adit.wait_for_outcome("aborted");
        let codes = load.finish();
        assert_eq!(version(&web, "v2").weight.parts(), 0, "{web:?}");
        let verdict = web.rollout.and_then(|rollout| rollout.verdict).expect("a verdict");
        assert!(verdict.canary_failures > 0, "{verdict:?}");
        assert!(codes[code].as_u64().is_some_and(|count| count <= 40), "{codes}");
    }
}

#[test]
fn clients_that_ask_badly_or_wait_for_a_moment_only_make_no_version_look_bad() {
    if is_missing("python") {
        return;
    }
    for (timeout, metadata, code) in
        [("30", "x-code=INVALID_ARGUMENT", "INVALID_ARGUMENT"), ("0.005", "x-hang=1", "DEADLINE_EXCEEDED")]
    {
        let (_v1, _v2, adit) = two_versions(&staying_at(50.0));
        adit.release("v2");
        adit.wait_for_weight(50.0);
        let load = client(&adit, &["load", timeout, metadata]);
        wait_until_logged(&adit, code, 500);
        let codes = load.finish();
        let web = adit.web();
        assert_eq!(web.phase, "stepping", "{codes} {web:?}");
        let asked = version(&web, "v2").requests;
        assert!(asked > 50, "{asked} calls of the canary");
        let failures =
            web.rollout.and_then(|rollout| rollout.verdict).map_or(0, |verdict| verdict.canary_failures);
        assert_eq!(failures, 0, "{codes}");
    }
}

#[test]
fn a_canary_that_hangs_is_gone_back_from_though_its_clients_give_it_little_time() {
    if is_missing("python") {
        return;
    }
    let (_v1, mut v2, adit) = two_versions(&staying_at(20.0));
    let load = client(&adit, &["load", "0.4"]);
    wait_until_logged(&adit, "OK", 500);
    v2.part.tell("HANG");
    adit.release("v2");
    let web = adit.wait_for_outcome("aborted");
    let codes = load.finish();
    assert_eq!(version(&web, "v2").weight.parts(), 0, "{codes} {web:?}");
}
