//! On real SQLite files.

use std::time::Duration;

use rusqlite::{Connection, params};
use tempfile::{TempDir, tempdir};

use super::reader::{AFTER, AFTER_OF_SERVICE, LATEST, OF_ROLLOUT, ONE, PAGE, Select};
use super::{CommandOutcome, Entry, Fact, Journal};
use crate::config::spec::Keep;
use crate::control::{By, Store};
use crate::domain::rollout::{Action, Event, Machine, Operator, Outcome, Plan, Verdict, Wanted};
use crate::domain::stats::{ErrorReason, FailedRequest};
use crate::domain::{ServiceName, Timestamp};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);
const DAY: Duration = Duration::from_secs(86_400);

fn web() -> ServiceName {
    "web".into()
}

fn store() -> (TempDir, Store) {
    let dir = tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn entries(actions: Vec<Action>, by: Option<&By>) -> Vec<Entry> {
    actions
        .into_iter()
        .filter_map(|action| match action {
            Action::Record(transition) => Some(Entry::transition(&web(), transition, by)),
            Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => None,
        })
        .collect()
}

fn release(machine: &mut Machine, at: Timestamp, version: &str) -> Vec<Entry> {
    let release = version.into();
    let wanted = Wanted { release: &release, plan: &Plan::default(), salt: (0, 0) };
    entries(machine.on(at, Event::Wanted(wanted)), None)
}

fn ada() -> By {
    By { who: "ada".into(), why: Some("it smells".into()) }
}

fn failed(number: u64) -> FailedRequest {
    FailedRequest {
        at: NOW,
        method: "GET".into(),
        path: format!("/{number}"),
        status: Some(500),
        error: Some(ErrorReason::HttpServerError),
        duration: Duration::from_micros(1_234),
        request_id: format!("r{number}"),
        trace_id: None,
        endpoint: Some(([127, 0, 0, 1], 9).into()),
    }
}

fn noted(fact: Fact) -> Entry {
    Entry { at: NOW, service: Some(web()), rollout: Some(1), fact, by: None }
}

/// A rollout of v2 that Ada aborted, with all that can be noted of one.
fn aborted(store: &mut Store) -> Machine {
    let mut machine = Machine::first("v1".into());
    let begun = release(&mut machine, NOW, "v2");
    store.save(NOW, &web(), &machine, &begun).unwrap();
    let verdict = Verdict {
        outcome: Outcome::Inconclusive,
        rule: "errors: canary at most 1.1 × stable".into(),
        value: 3.0,
        bound: 100.0,
        canary_requests: 5,
        canary_failures: 1,
        stable_requests: 500,
        stable_failures: 2,
        detail: Box::default(),
    };
    let (verb, outcome) = ("abort".to_owned(), CommandOutcome::Done);
    let command = Fact::Command { verb, outcome, detail: None };
    store.note(&[noted(Fact::Verdict(verdict)), Entry { by: Some(ada()), ..noted(command) }]).unwrap();
    let ended = entries(machine.operator(NOW, Operator::Abort).unwrap(), Some(&ada()));
    let samples = (0..30).map(|number| Entry::sample(&web(), 1, failed(number)));
    store.save(NOW, &web(), &machine, &samples.chain(ended).collect::<Vec<_>>()).unwrap();
    machine
}

#[test]
fn a_story_tells_every_change_with_who_and_why_and_at_most_twenty_samples() {
    let (_dir, mut store) = store();
    aborted(&mut store);
    let story = store.journal().unwrap().story(&web(), None).unwrap().unwrap();
    let told: Vec<_> = story
        .timeline
        .iter()
        .map(|told| (told.kind.as_str(), told.text.as_str(), told.who.as_deref()))
        .collect();
    let expected = [
        ("transition", "release changed", None),
        ("verdict", "Inconclusive: errors: canary at most 1.1 × stable", None),
        ("command", "abort: done", Some("ada")),
        ("transition", "operator: abort", Some("ada")),
    ];
    assert_eq!(told, expected);
    assert_eq!(story.timeline[3].why.as_deref(), Some("it smells"));
    assert_eq!(story.timeline[1].verdict.as_ref().map(|verdict| verdict.canary_failures), Some(1));
    assert!(story.timeline.iter().all(|told| told.raw.is_none()), "{story:?}");
    let ids: Vec<_> = story.samples.iter().map(|sample| sample.request_id.clone()).collect();
    assert_eq!(ids, (0..20).map(|number| format!("r{number}")).collect::<Vec<_>>());
    assert_eq!(story.rollout.outcome.as_deref(), Some("aborted"));
    assert_eq!(
        (story.rollout.steps, story.rollout.who.as_deref()),
        (Some(Plan::default().steps.len() as u64), Some("ada"))
    );
}

#[test]
fn what_another_adit_wrote_and_nobody_understands_is_told_as_it_is() {
    let (dir, mut store) = store();
    aborted(&mut store);
    let raw = Connection::open(dir.path().join("adit.db")).unwrap();
    raw.execute(
        "UPDATE events SET record = json_set(record, '$.reason', 'of_tomorrow') WHERE kind = 'transition'",
        [],
    )
    .unwrap();
    raw.execute("UPDATE events SET record = 'no JSON' WHERE kind = 'verdict'", []).unwrap();
    raw.execute("UPDATE events SET record = '{\"at\":7}' WHERE id = (SELECT min(id) FROM events WHERE kind = 'sample')", []).unwrap();
    raw.execute(
        "INSERT INTO events (at, service, rollout, kind, record) VALUES (1, 'web', 1, 'tea', '{}')",
        [],
    )
    .unwrap();
    let journal = store.journal().unwrap();
    let story = journal.story(&web(), Some(1)).unwrap().unwrap();
    let unread = story.timeline.iter().filter(|told| told.raw.is_some()).count();
    assert_eq!((unread, story.samples.len()), (5, 19), "{story:?}");
    assert_eq!(story.rollout.reason, "\"of_tomorrow\"");
    assert_eq!(story.timeline[0].change.as_ref().map(|change| change.to.as_str()), Some("waiting"));
    assert_eq!(journal.rollouts(&web(), None, 5).unwrap().rollouts.len(), 1);
}

#[test]
fn readers_are_told_of_an_event_once_it_is_on_the_disk() {
    let (_dir, mut store) = store();
    let journal = store.journal().unwrap();
    let mut newest = journal.newest();
    assert_eq!(*newest.borrow_and_update(), 0);
    aborted(&mut store);
    assert!(newest.has_changed().unwrap());
    let last = *newest.borrow_and_update();
    let events = journal.after(0, None, 1_000).unwrap();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert_eq!(journal.after(last - 1, Some(&web()), 9).unwrap().len(), 1);
    assert_eq!(journal.after(0, Some(&"other".into()), 9).unwrap(), []);
}

/// As the first version of the schema made it.
const OLD: &str = "
    CREATE TABLE machines (service TEXT PRIMARY KEY, machine TEXT NOT NULL, saved_at INTEGER NOT NULL) STRICT;
    CREATE TABLE rollouts (
        service TEXT NOT NULL, number INTEGER NOT NULL, stable TEXT NOT NULL, canary TEXT NOT NULL,
        started INTEGER NOT NULL, ended INTEGER, outcome TEXT, PRIMARY KEY (service, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE transitions (
        id INTEGER PRIMARY KEY, service TEXT NOT NULL, rollout INTEGER NOT NULL, record TEXT NOT NULL, who TEXT, why TEXT
    ) STRICT;
    CREATE INDEX transitions_of_rollout ON transitions (service, rollout, id);
    CREATE TABLE identities (
        service TEXT NOT NULL, version TEXT NOT NULL, image TEXT NOT NULL, first_seen INTEGER NOT NULL,
        PRIMARY KEY (service, version)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE starts (count INTEGER NOT NULL) STRICT;
    INSERT INTO starts VALUES (0);
    INSERT INTO rollouts VALUES ('web', 1, 'v1', 'v2', 1700000000000000, 1700000001000000, 'aborted');
    INSERT INTO transitions VALUES (4, 'web', 1, '{\"rollout\":1,\"stable\":\"v1\",\"canary\":\"v2\",\"at\":1700000001000000,
        \"from\":\"stepping\",\"to\":\"aborted\",\"step\":1,\"weight\":0.0,\"reason\":{\"operator\":\"abort\"},\"verdict\":null}',
        'ada', 'it smells');
    INSERT INTO transitions VALUES (5, 'web', 1, 'not JSON at all', NULL, NULL);
    PRAGMA user_version = 1;
";

#[test]
fn an_older_file_keeps_all_that_it_tells() {
    let dir = tempdir().unwrap();
    Connection::open(dir.path().join("adit.db")).unwrap().execute_batch(OLD).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let journal = store.journal().unwrap();
    let story = journal.story(&web(), None).unwrap().unwrap();
    let told = &story.timeline[0];
    assert_eq!((told.id, told.text.as_str(), told.who.as_deref()), (4, "operator: abort", Some("ada")));
    assert_eq!((told.at.as_str(), told.why.as_deref()), ("2023-11-14T22:13:21.000Z", Some("it smells")));
    assert_eq!(story.timeline[1].raw, Some("not JSON at all".into()));
    assert_eq!((story.rollout.outcome.as_deref(), story.rollout.steps), (Some("aborted"), None));
    store.note(&[noted(Fact::Config { generation: None, detail: None })]).unwrap();
    assert_eq!(*journal.newest().borrow(), 6);
}

/// As many rollouts, one a day, each aborted as it began.
fn history(store: &mut Store, rollouts: u32) -> Machine {
    let mut machine = Machine::first("v0".into());
    for number in 1..=rollouts {
        let at = NOW + DAY * number;
        let mut all = release(&mut machine, at, &format!("v{number}"));
        all.extend(entries(machine.operator(at, Operator::Abort).unwrap(), None));
        let fact = Fact::Config { generation: Some(1), detail: None };
        all.push(Entry { at, service: None, rollout: None, fact, by: None });
        store.save(at, &web(), &machine, &all).unwrap();
    }
    machine
}

fn numbers(journal: &Journal) -> Vec<u64> {
    journal.rollouts(&web(), None, 1_000).unwrap().rollouts.iter().map(|rollout| rollout.number).collect()
}

#[test]
fn old_rollouts_are_let_go_with_their_events_but_never_the_last_nor_the_machine() {
    let days = |days: u32| Keep { age: Some(DAY * days), rollouts: None };
    let cases = [
        (Keep::default(), 10, vec![10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (days(4), 10, vec![10, 9, 8, 7, 6]),
        (days(1), 1_000, vec![10]),
        (Keep { age: None, rollouts: Some(3) }, 10, vec![10, 9, 8]),
        (Keep { age: Some(DAY * 6), rollouts: Some(3) }, 10, vec![10, 9, 8]),
    ];
    for (keep, day, expected) in cases {
        let (_dir, mut store) = store();
        let machine = history(&mut store, 10);
        let more = store.prune(NOW + DAY * day, keep).unwrap();
        let journal = store.journal().unwrap();
        assert_eq!((numbers(&journal), more), (expected.clone(), false), "{keep:?}");
        let events = journal.after(0, None, 1_000).unwrap();
        let rollouts: Vec<_> = events.iter().filter_map(|event| event.rollout).collect();
        assert_eq!(rollouts.len(), expected.len() * 2, "{keep:?}: {rollouts:?}");
        assert!(store.load().unwrap().contains_key("web"), "{machine:?}");
        assert_eq!(*journal.newest().borrow(), 30, "numbers are never used twice");
    }
}

#[test]
fn much_is_let_go_in_pieces() {
    let (_dir, mut store) = store();
    history(&mut store, 120);
    let keep = Keep { age: None, rollouts: Some(1) };
    let pieces = (0..100).take_while(|_| store.prune(NOW + DAY, keep).unwrap()).count();
    assert_eq!(pieces, 11, "119 rollouts, ten at a time");
    assert_eq!(numbers(&store.journal().unwrap()), [120]);
}

#[test]
fn every_question_to_a_long_history_is_answered_by_an_index() {
    let (dir, mut store) = store();
    aborted(&mut store);
    let mut raw = Connection::open(dir.path().join("adit.db")).unwrap();
    let transaction = raw.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare("INSERT INTO events (at, service, rollout, kind, record) VALUES (?1, 'web', ?2, 'transition', '{}')")
            .unwrap();
        let mut book = transaction
            .prepare("INSERT INTO rollouts (service, number, stable, canary, started) VALUES ('web', ?1, 'a', 'b', ?1)")
            .unwrap();
        for number in 2..25_002 {
            book.execute([number]).unwrap();
            for at in 0..4 {
                insert.execute(params![at, number]).unwrap();
            }
        }
    }
    transaction.commit().unwrap();
    let journal = store.journal().unwrap();
    for (select, rest) in [
        (Select::Summary, PAGE),
        (Select::Summary, LATEST),
        (Select::Summary, ONE),
        (Select::Event, OF_ROLLOUT),
        (Select::Event, AFTER),
        (Select::Event, AFTER_OF_SERVICE),
    ] {
        let plan = journal.plan(select, rest);
        let scans = |line: &&String| line.starts_with("SCAN") && !line.contains("USING INDEX");
        let sorts = |line: &&String| line.contains("TEMP B-TREE");
        assert_eq!(plan.iter().find(|line| scans(line) || sorts(line)), None, "{rest}: {plan:#?}");
    }
    let page = journal.rollouts(&web(), Some(12_000), 20).unwrap();
    assert_eq!((page.rollouts.len(), page.next), (20, Some(11_980)));
    assert_eq!(journal.after(50_000, Some(&web()), 100).unwrap().len(), 100);
}
