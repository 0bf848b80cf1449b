//! WebSocket through the real program, with a client and a server of another maker.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::harness::{Adit, is_missing, python, staying_at};

/// A Python script that is spoken to line by line. Killed when dropped.
struct Script {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Script {
    fn start(script: &str, argument: &str) -> Self {
        let mut command = python(script);
        command.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let input = child.stdin.take().expect("it is a pipe");
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Self { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it writes text");
        line.trim().to_owned()
    }

    fn say(&mut self, words: &str) {
        writeln!(self.input, "{words}").expect("it reads");
    }

    fn ask(&mut self, words: &str) -> String {
        self.say(words);
        self.line()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A WebSocket server that calls itself `version`, and its address.
fn server(version: &str) -> (Script, String) {
    let mut server = Script::start("tests/python/ws_server.py", version);
    let port = server.line();
    (server, format!("127.0.0.1:{port}"))
}

fn clients(adit: &Adit) -> Script {
    Script::start("tests/python/ws_clients.py", &adit.address().to_string())
}

/// A service with these servers as its versions, v1 released.
fn web(versions: &[(&str, &str)]) -> String {
    let mut text = "[services.web]\nrelease = \"v1\"\n\
                    [services.web.health]\npath = \"/healthz\"\ninterval = \"100ms\"\n"
        .to_owned();
    for (version, address) in versions {
        text.push_str(&format!("[services.web.versions.{version}]\nendpoints = [\"{address}\"]\n"));
    }
    text
}

/// A server, the program in front of it, and clients of it.
fn one_version(top: &str) -> Option<(Script, Adit, Script)> {
    if is_missing("python") {
        return None;
    }
    let (server, address) = server("v1");
    let adit = Adit::start(&format!("{top}{}", web(&[("v1", &address)])));
    adit.wait_until_all_ready();
    let clients = clients(&adit);
    Some((server, adit, clients))
}

fn open_tunnels(adit: &Adit, version: &str) -> String {
    let metrics = adit.api("GET", "/metrics", "").text().to_owned();
    let series = format!("adit_tunnels_open{{service=\"web\",version=\"{version}\"}} ");
    let found = metrics.lines().find_map(|line| line.strip_prefix(&series));
    found.unwrap_or_else(|| panic!("no {series} in {metrics}")).to_owned()
}

fn wait_for_open_tunnels(adit: &Adit, version: &str, count: &str) {
    let what = format!("{version} has {count} tunnels");
    crate::harness::until(&what, || (open_tunnels(adit, version) == count).then_some(()), || adit.stderr());
}

#[test]
fn text_binary_pings_and_large_messages_come_as_they_were_sent() {
    let Some((_server, adit, mut clients)) = one_version("access_log = \"stdout\"\n") else { return };
    assert_eq!(clients.ask("open 1"), "v1=1");
    assert_eq!(clients.ask("talk"), "ok");
    assert_eq!(clients.ask("large 10485760"), "ok");
    wait_for_open_tunnels(&adit, "v1", "1");
    let line = crate::harness::until(
        "the log has the tunnel that ended",
        || adit.stdout().into_iter().find(|line| line.contains("\"status\":101")),
        || adit.stdout().join("\n"),
    );
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    let bytes = |field: &str| line[field].as_u64().expect("a number");
    assert!(bytes("bytes_in") > 10_585_000 && bytes("bytes_out") > 10_585_000, "{line}");
    assert_eq!((line["version"].as_str(), line["method"].as_str()), (Some("v1"), Some("GET")));
}

#[test]
fn close_codes_pass_through() {
    let Some((mut server, _adit, mut clients)) = one_version("") else { return };
    assert_eq!(clients.ask("open 2"), "v1=2");
    assert_eq!(clients.ask("end 4001"), "4001");
    assert_eq!(server.line(), "closed 4001");
    assert_eq!(clients.ask("ask 4002"), "4002 as told");
}

#[test]
fn two_hundred_at_once_outlive_a_reload_and_are_told_1001_by_sigterm() {
    let Some((mut server, mut adit, mut clients)) = one_version("drain = \"20s\"\n") else { return };
    assert_eq!(clients.ask("open 200"), "v1=200");
    assert_eq!(clients.ask("talk"), "ok");
    wait_for_open_tunnels(&adit, "v1", "200");
    adit.edit(|text| text.replace("\"/healthz\"", "\"/healthz\"\nrise = 1"));
    adit.cli(&["reload", "--wait"]).expect_code(0);
    assert_eq!(clients.ask("talk"), "ok");
    wait_for_open_tunnels(&adit, "v1", "200");
    adit.signal("TERM");
    let closed = clients.ask("closed 200");
    let (codes, spread) = closed.split_once(' ').expect("codes and a time");
    assert_eq!(codes, "1001=200", "{closed}");
    let spread: f64 = spread.parse().expect("seconds");
    assert!((0.3..9.0).contains(&spread), "spread over {spread} s");
    assert_eq!(adit.wait().code(), Some(0), "{}", adit.stderr());
    let told: Vec<String> = (0..200).map(|_| server.line()).collect();
    assert!(told.iter().all(|line| line == "closed 1001"), "the server: {told:?}");
}

#[test]
fn an_abort_sends_the_clients_of_the_canary_back_to_stable() {
    if is_missing("python") {
        return;
    }
    let ((_v1, first), (mut v2, second)) = (server("v1"), server("v2"));
    let adit = Adit::start(&format!("{}{}", web(&[("v1", &first), ("v2", &second)]), staying_at(50.0)));
    adit.wait_until_all_ready();
    let (mut early, mut clients) = (clients(&adit), clients(&adit));
    assert_eq!(early.ask("open 10"), "v1=10");
    adit.release("v2");
    adit.wait_for_weight(50.0);
    let opened = clients.ask("open 100");
    let (on_stable, on_canary) = opened.split_once(' ').expect("both versions");
    let on_canary = on_canary.strip_prefix("v2=").expect("the canary's");
    assert!(on_stable.starts_with("v1="), "{opened}");
    assert_eq!((early.ask("talk"), clients.ask("talk")), ("ok".to_owned(), "ok".to_owned()));
    adit.cli(&["abort", "web"]).expect_code(0);
    let closed = clients.ask(&format!("closed {on_canary}"));
    assert!(closed.starts_with(&format!("1001={on_canary} ")), "{closed} of {opened}");
    assert_eq!(v2.line(), "closed 1001");
    assert_eq!(clients.ask(&format!("open {on_canary}")), "v1=100");
    assert_eq!((early.ask("talk"), clients.ask("talk")), ("ok".to_owned(), "ok".to_owned()));
    wait_for_open_tunnels(&adit, "v2", "0");
}

#[test]
fn draining_an_endpoint_moves_its_clients_to_another_and_then_it_may_be_stopped() {
    if is_missing("python") {
        return;
    }
    let ((_one, first), (_other, second)) = (server("one"), server("other"));
    let adit = Adit::start(&web(&[("v1", &format!("{first}\", \"{second}"))]));
    adit.wait_until_all_ready();
    let mut clients = clients(&adit);
    // Open tunnels are load: they are divided evenly.
    let opened = clients.ask("open 20");
    let count = |name: &str| -> u32 {
        let counts = opened.split(' ').find_map(|part| part.strip_prefix(&format!("{name}=")));
        counts.and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    assert!(count("one") >= 5 && count("other") >= 5, "{opened}");
    clients.say(&format!("closed {}", count("one")));
    adit.cli(&["drain", &first, "--wait"]).expect_code(0);
    let closed = clients.line();
    assert!(closed.starts_with(&format!("1001={} ", count("one"))), "{closed} of {opened}");
    assert_eq!(clients.ask(&format!("open {}", count("one"))), "other=20");
    assert_eq!(clients.ask("talk"), "ok");
}

#[test]
fn an_endpoint_that_leaves_the_config_lets_its_clients_go() {
    let Some((_server, adit, mut clients)) = one_version("") else { return };
    let (_other, second) = server("other");
    assert_eq!(clients.ask("open 10"), "v1=10");
    adit.edit(|text| {
        let line = format!("endpoints = [\"{second}\"]");
        let lines = text.lines().map(|old| if old.starts_with("endpoints = ") { &line } else { old });
        lines.collect::<Vec<_>>().join("\n")
    });
    let closed = clients.ask("closed 10");
    assert!(closed.starts_with("1001=10 "), "{closed}");
    assert_eq!(clients.ask("open 10"), "other=10");
}
