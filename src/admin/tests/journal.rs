//! What happened, over the API: pages, stories, the event stream.

use super::{Control, Served};
use crate::control::By;
use crate::control::journal::{Entry, Fact};
use crate::domain::rollout::{Action, Event, Machine, Operator, Plan, Wanted};
use crate::domain::{ServiceName, Timestamp};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);

impl Served {
    /// As many aborted rollouts of a service, by Ada.
    fn record(&mut self, service: &str, rollouts: usize) {
        let service = ServiceName::from(service);
        let ada = By { who: "ada".into(), why: Some("it smells".into()) };
        let mut machine = Machine::first("v0".into());
        for number in 1..=rollouts {
            let release = format!("v{number}").as_str().into();
            let wanted = Wanted { release: &release, plan: &Plan::default(), salt: (0, 0) };
            let mut actions = machine.on(NOW, Event::Wanted(wanted));
            actions.extend(machine.operator(NOW, Operator::Abort).expect("under way"));
            let entries: Vec<_> = actions
                .into_iter()
                .filter_map(|action| match action {
                    Action::Record(transition) => Some(Entry::transition(&service, transition, Some(&ada))),
                    Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => None,
                })
                .collect();
            self.store.save(NOW, &service, &machine, &entries).expect("saved");
        }
    }

    fn note(&mut self, generation: u64) {
        let fact = Fact::Config { generation: Some(generation), detail: None };
        let entry = Entry { at: NOW, service: None, rollout: None, fact, by: None };
        self.store.note(&[entry]).expect("written");
    }
}

#[tokio::test]
async fn rollouts_come_in_pages_newest_first() {
    let mut served = Served::tcp(Control::Willing);
    served.record("web", 7);
    let mut path = "/v1/services/web/rollouts?limit=3".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = served.get(&path).await.json();
        let numbers = page["rollouts"].as_array().expect("a list").iter().map(|it| it["number"].as_u64());
        pages.push(numbers.flatten().collect::<Vec<_>>());
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/services/web/rollouts?limit=3&before={next}");
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
}

#[tokio::test]
async fn a_service_that_is_recorded_but_not_configured_is_told_too() {
    let mut served = Served::tcp(Control::Willing);
    served.record("old", 1);
    let page = served.get("/v1/services/old/rollouts").await.json();
    let rollout = &page["rollouts"][0];
    assert_eq!((rollout["outcome"].as_str(), rollout["who"].as_str()), (Some("aborted"), Some("ada")));
    let all = served.get("/v1/rollouts").await.json();
    assert_eq!(all["rollouts"][0]["service"], "old", "{all}");
}

#[tokio::test]
async fn what_is_not_recorded_says_what_there_is() {
    let mut served = Served::tcp(Control::Willing);
    served.record("old", 1);
    for (path, status, code, words) in [
        ("/v1/services/wep/rollouts", 404, "unknown_service", "known: old, web"),
        ("/v1/services/wep/rollouts/1", 404, "unknown_service", "known: old, web"),
        ("/v1/services/old/rollouts/7", 404, "unknown_rollout", "`adit history old`"),
        ("/v1/services/web/rollouts/last", 404, "unknown_rollout", "has had no rollout yet"),
        ("/v1/services/old/rollouts/x", 400, "bad_request", "say its number"),
        ("/v1/services/old/rollouts?limit=0", 400, "bad_request", "from 1 to 1000"),
        ("/v1/services/old/rollouts?limit=x", 400, "bad_request", "limit"),
        ("/v1/services/old/rollouts?page=2", 400, "bad_request", "page"),
        ("/v1/rollouts?before=2", 400, "bad_request", "one service"),
        ("/v1/events?service=wep", 404, "unknown_service", "known: old, web"),
        ("/v1/events?after=99", 400, "bad_request", "the newest is 2"),
    ] {
        let answer = served.get(path).await;
        assert_eq!(answer.problem(), (status, code.into()), "{path}");
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
    }
    assert_eq!(served.get("/v1/services/web/rollouts").await.json()["rollouts"], serde_json::json!([]));
}

#[tokio::test]
async fn an_event_stream_goes_on_behind_the_last_event_that_was_seen_and_ends_with_the_api() {
    let mut served = Served::tcp(Control::Willing);
    for generation in 1..=5 {
        served.note(generation);
    }
    let request = "GET /v1/events?after=1 HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 3\r\n\r\n";
    let mut stream = Follower::begin(&served, request).await;
    assert_eq!([stream.next().await, stream.next().await], [Some(4), Some(5)]);
    served.note(6);
    assert_eq!(stream.next().await, Some(6));
    drop(served.stop.take());
    assert_eq!(stream.next().await, None);
    served.server.await.expect("the API ends");
}

#[tokio::test]
async fn a_reader_that_says_nothing_is_told_what_comes_from_now_on() {
    let mut served = Served::tcp(Control::Willing);
    served.note(1);
    let mut stream = Follower::begin(&served, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    served.note(2);
    assert_eq!(stream.next().await, Some(2));
}

#[tokio::test]
async fn more_readers_than_there_are_places_are_sent_away_until_one_leaves() {
    let served = Served::tcp(Control::Willing);
    let request = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(Follower::begin(&served, request).await);
    }
    assert_eq!(served.get("/v1/events").await.problem(), (503, "busy".into()));
}

/// Reads an event stream.
struct Follower {
    stream: tokio::net::TcpStream,
    unread: String,
}

impl Follower {
    /// Returns once the head of the answer is there: from then on nothing is missed.
    async fn begin(served: &Served, request: &str) -> Self {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(served.port()).await.expect("served");
        stream.write_all(request.as_bytes()).await.expect("the request is read");
        let mut follower = Self { stream, unread: String::new() };
        while !follower.unread.contains("\r\n\r\n") {
            assert!(follower.more().await, "no head: {}", follower.unread);
        }
        let (head, rest) = follower.unread.split_once("\r\n\r\n").expect("it has one");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        follower.unread = rest.to_owned();
        follower
    }

    /// The number of the next event; `None` at the end.
    async fn next(&mut self) -> Option<u64> {
        loop {
            if let Some((_, id)) = self.unread.split_once("id: ")
                && let Some((id, rest)) = id.split_once('\n')
                && rest.contains("\n\n")
            {
                let number = id.parse().expect("a number");
                self.unread = rest[rest.find("\n\n").expect("it is there")..].to_owned();
                return Some(number);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        use tokio::io::AsyncReadExt;
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).await.expect("the stream can be read");
        self.unread.push_str(std::str::from_utf8(&bytes[..read]).expect("UTF-8"));
        read > 0
    }
}
