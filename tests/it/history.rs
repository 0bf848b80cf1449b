//! What happened, and why: told after it ended, and after a restart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Adit, Answer, Client, Endpoint, Load, staying_at, until, web};

/// Two versions with one endpoint each, v1 released, all ready.
fn two_versions(more: &str) -> (Endpoint, Endpoint, Adit) {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let adit = Adit::start(&format!("{more}{}{}", web(&[("v1", &[&v1]), ("v2", &[&v2])]), staying_at(50.0)));
    adit.wait_until_all_ready();
    (v1, v2, adit)
}

fn get(adit: &Adit, path: &str) -> Value {
    let answer = adit.api("GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn a_bad_canarys_story_has_the_rule_the_numbers_and_requests_that_are_in_the_access_log() {
    let (_v1, v2, mut adit) = two_versions("access_log = \"stdout\"\n");
    v2.script(|script| script.answer = Answer::Status(500));
    let load = Load::on(adit.address()).per_second(200).start();
    adit.release("v2");
    adit.wait_for_outcome("aborted");
    load.stop();
    let story = get(&adit, "/v1/services/web/rollouts/1");
    let last = story["timeline"].as_array().and_then(|all| all.last()).expect("a timeline");
    let verdict = &last["verdict"];
    assert_eq!(
        (&last["change"]["to"], &verdict["outcome"]),
        (&"aborted".into(), &"Failed".into()),
        "{story:#}"
    );
    assert!(verdict["value"].as_f64() >= verdict["bound"].as_f64(), "{verdict}");
    assert!(verdict["rule"].as_str().is_some_and(|rule| rule.contains("canary at most")), "{verdict}");
    let failed = verdict["canary_failures"].as_u64().expect("a count");
    let samples = story["samples"].as_array().expect("samples");
    assert!((failed.min(20)..=20).contains(&(samples.len() as u64)), "{failed} failed: {samples:#?}");
    let logged = until(
        "the failed requests are in the access log",
        || {
            let lines = adit.stdout();
            let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let logged: BTreeSet<String> =
                lines.filter_map(|line| line["request_id"].as_str().map(str::to_owned)).collect();
            let found =
                samples.iter().all(|it| logged.contains(it["request_id"].as_str().unwrap_or_default()));
            found.then_some(logged)
        },
        || format!("{samples:#?}"),
    );
    assert!(logged.len() > samples.len());
    for sample in samples {
        assert_eq!(
            (&sample["status"], &sample["path"], &sample["method"]),
            (&500.into(), &"/".into(), &"GET".into())
        );
        assert_eq!(sample["endpoint"], v2.address().to_string(), "{sample}");
    }

    let told = adit.cli(&["explain", "web"]).expect_code(0).stdout;
    for words in [
        "web, rollout 1, v1 to v2: aborted after",
        "canary is worse than stable",
        "verdict  Failed",
        "canary at most",
        &format!("canary {failed} of "),
        samples[0]["request_id"].as_str().expect("an id"),
    ] {
        assert!(told.contains(words), "`{words}` is missing in:\n{told}");
    }
    adit.kill_and_restart();
    assert_eq!(adit.cli(&["explain", "web", "1"]).expect_code(0).stdout, told, "a restart forgets nothing");
}

#[test]
fn an_operators_abort_shows_who_and_why_and_a_refused_command_is_in_the_audit() {
    let (_v1, _v2, adit) = two_versions("");
    let mut events = Events::follow(&adit, None);
    adit.cli(&["abort", "web", "--why", "too early"]).expect_code(6);
    adit.release("v2");
    adit.wait_for_weight(50.0);
    adit.cli(&["pause", "web"]).expect_code(0);
    adit.cli(&["pause", "web"]).expect_code(6);
    adit.cli(&["abort", "web", "--why", "prices are wrong"]).expect_code(0);

    let told = adit.cli(&["explain", "web"]).expect_code(0).stdout;
    for words in ["operator: abort", "prices are wrong", "pause: refused: the rollout is already paused", "@"]
    {
        assert!(told.contains(words), "`{words}` is missing in:\n{told}");
    }
    let history = adit.cli(&["history"]).expect_code(0).stdout;
    for words in ["web", "v1", "v2", "aborted", "prices are wrong"] {
        assert!(history.contains(words), "`{words}` is missing in:\n{history}");
    }
    let refused = events.until(|event| event["kind"] == "command");
    assert_eq!(refused["record"]["outcome"], "refused", "{refused}");
    assert_eq!(
        (&refused["record"]["verb"], &refused["why"]),
        (&"abort".into(), &"too early".into()),
        "{refused}"
    );
    assert!(refused["who"].as_str().is_some_and(|who| who.contains('@')), "{refused}");
}

#[test]
fn every_kind_of_command_is_in_the_audit_with_who_gave_it() {
    let (_v1, v2, adit) = two_versions("");
    let endpoint = v2.address().to_string();
    let mut events = Events::follow(&adit, None);
    for (command, verb, code) in [
        (vec!["hold", "web"], "hold", 0),
        (vec!["release", "web"], "release", 0),
        (vec!["release", "web"], "release", 6),
        (vec!["drain", &endpoint, "--force"], &format!("drain --force {endpoint}"), 0),
        (vec!["drain", &endpoint, "--cancel"], &format!("drain --cancel {endpoint}"), 0),
        (vec!["deploy", "web", "--version", "v9"], "deploy v9", 2),
        (vec!["undo", "web"], "undo", 6),
    ] {
        adit.cli(&[command, vec!["--why", "a test"]].concat()).expect_code(code);
        let told = events.until(|event| event["kind"] == "command");
        let outcome = if code == 0 { "done" } else { "refused" };
        assert_eq!((&told["record"]["verb"], &told["why"]), (&verb.into(), &"a test".into()), "{told}");
        assert_eq!(told["record"]["outcome"], outcome, "{told}");
        assert!(told["who"].as_str().is_some_and(|who| who.contains('@')), "{told}");
    }
    adit.cli(&["reload"]).expect_code(0);
    let told = events.until(|event| event["kind"] == "config");
    assert!(told["who"].as_str().is_some_and(|who| who.contains('@')), "{told}");
}

#[test]
fn whoever_follows_the_events_gets_each_exactly_once_over_a_restart() {
    let (_v1, _v2, mut adit) = two_versions("");
    let mut seen = Vec::new();
    let mut events = Events::follow(&adit, Some(0));
    adit.release("v2");
    adit.wait_for_weight(50.0);
    loop {
        let event = events.next().expect("the stream goes on");
        seen.push(event["id"].as_u64().expect("a number"));
        if event["record"]["to"] == "stepping" {
            break;
        }
    }
    adit.kill_and_restart();
    adit.wait_for_weight(50.0);
    adit.cli(&["abort", "web"]).expect_code(0);
    let mut events = Events::follow(&adit, seen.last().copied());
    loop {
        let event = events.next().expect("the stream goes on");
        seen.push(event["id"].as_u64().expect("a number"));
        if event["record"]["to"] == "aborted" {
            break;
        }
    }
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
}

#[test]
fn what_was_never_released_is_not_found_and_says_what_there_is() {
    let (_v1, _v2, adit) = two_versions("");
    adit.cli(&["explain", "wep"]).expect_code(1).expect_words(&["no service `wep`", "known: web"]);
    adit.cli(&["explain", "web"]).expect_code(1).expect_words(&["no rollout yet", "`release`"]);
    adit.cli(&["explain", "web", "7"]).expect_code(1).expect_words(&["rollout 7", "adit history web"]);
    let none = adit.cli(&["history", "web"]).expect_code(0).stdout;
    assert!(none.contains("no rollouts yet"), "{none}");
}

#[test]
fn the_history_has_pages() {
    let (_v1, _v2, adit) = two_versions("");
    adit.release("v2");
    adit.wait_for_weight(50.0);
    for _ in 0..3 {
        adit.cli(&["abort", "web"]).expect_code(0);
        adit.cli(&["retry", "web"]).expect_code(0);
    }
    let first = get(&adit, "/v1/services/web/rollouts?limit=3");
    assert_eq!(first["next"], 2, "{first}");
    let second = get(&adit, "/v1/services/web/rollouts?limit=3&before=2");
    assert_eq!((&second["rollouts"][0]["number"], &second["next"]), (&1.into(), &Value::Null), "{second}");
}

/// Follows the event stream.
struct Events {
    client: Client,
    unread: String,
}

impl Events {
    fn follow(adit: &Adit, after: Option<u64>) -> Self {
        let mut client = Client::connect_unix(&adit.socket()).expect("the admin socket accepts");
        let id = after.map(|id| id.to_string()).unwrap_or_default();
        let fields = [("host", "localhost"), ("last-event-id", id.as_str())];
        client.send_request("GET", "/v1/events", &fields, b"").expect("it reads");
        let head = client.response_head().expect("it answers");
        assert_eq!(head.word(1), "200", "{head:?}");
        Self { client, unread: String::new() }
    }

    /// The next event's data; `None` at the stream's end.
    fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
                self.unread = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).expect("JSON")),
                    None => continue,
                }
            }
            let piece = self.client.piece().expect("the stream is whole")?;
            self.unread.push_str(std::str::from_utf8(&piece).expect("UTF-8"));
        }
    }

    fn until(&mut self, fact: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().expect("the stream goes on");
            if fact(&event) {
                return event;
            }
        }
    }
}
