use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::domain::container::{Image, Ports};
use crate::provider::docker::event::Signal;

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

/// A container of this id, running since `first`, at 10.0.0.1.
fn seen(id: &str) -> Seen {
    let networks = BTreeMap::from([("net".to_owned(), "10.0.0.1".parse().expect("an address"))]);
    Seen {
        container: Container {
            id: id.to_owned(),
            name: format!("web-{id}"),
            created: START,
            image: Image::default(),
            labels: BTreeMap::new(),
            run: Run::Running,
            health: None,
            ports: Ports { networks, ..Ports::default() },
        },
        started: "first".to_owned(),
        stop: Stop { signal: Signal::TERM, timeout: Duration::from_secs(10) },
    }
}

fn ended(id: &str) -> Seen {
    let mut seen = seen(id);
    seen.container.run = Run::Exited { code: 0, out_of_memory: false };
    seen.container.ports = Ports::default();
    seen
}

fn knowing(seen: Seen) -> Known {
    let mut known = Known::default();
    known.look(seen, Cause::List, START);
    known
}

fn event(id: &str, what: What) -> Event {
    Event { container: id.to_owned(), asks: true, what }
}

fn signal(name: &str) -> What {
    What::Signalled(Signal::read(name).expect(name))
}

fn run(known: &Known, id: &str) -> Option<Run> {
    known.containers().get(id).map(|container| container.run)
}

#[track_caller]
fn hear(known: &mut Known, what: What, changed: bool, look: bool) {
    assert_eq!(known.hear(&event("a", what), START), Learned { changed, look });
}

#[test]
fn bad_news_acts_before_anyone_has_looked() {
    let cases = [
        (signal("TERM"), Run::Stopping, false),
        (signal("KILL"), Run::Stopping, false),
        (What::Paused, Run::Paused, true),
        (What::Died { code: 137 }, Run::Exited { code: 137, out_of_memory: false }, true),
    ];
    for (what, after, look) in cases {
        let mut known = knowing(seen("a"));
        hear(&mut known, what, true, look);
        assert_eq!(run(&known, "a"), Some(after));
    }
    let mut known = knowing(seen("a"));
    hear(&mut known, What::Destroyed, true, false);
    assert_eq!(run(&known, "a"), None);
}

#[test]
fn a_failing_health_check_acts_before_anyone_has_looked() {
    let mut known = knowing(seen("a"));
    hear(&mut known, What::Unhealthy, true, true);
    assert_eq!(known.containers()["a"].health, Some(Health::Unhealthy));
}

#[test]
fn good_news_is_only_a_reason_to_look() {
    let mut known = knowing(ended("a"));
    for what in [What::Started, What::Changed] {
        hear(&mut known, what, false, true);
    }
    assert!(matches!(run(&known, "a"), Some(Run::Exited { .. })));
}

#[test]
fn a_signal_that_is_no_end_changes_nothing() {
    for name in ["HUP", "USR1", "USR2", "WINCH"] {
        let mut known = knowing(seen("a"));
        hear(&mut known, signal(name), false, false);
        assert_eq!(run(&known, "a"), Some(Run::Running), "{name}");
    }
}

#[test]
fn a_container_that_died_for_want_of_memory_is_said_to_have() {
    let mut known = knowing(seen("a"));
    hear(&mut known, What::OutOfMemory, false, false);
    hear(&mut known, What::Died { code: 137 }, true, true);
    assert_eq!(run(&known, "a"), Some(Run::Exited { code: 137, out_of_memory: true }));
}

#[test]
fn an_unknown_container_is_looked_at_if_it_asks_to_be_served() {
    let mut known = Known::default();
    hear(&mut known, What::Started, false, true);
    let stranger = Event { asks: false, ..event("a", What::Started) };
    assert_eq!(known.hear(&stranger, START), Learned::default());
}

#[test]
fn what_is_being_stopped_stays_so_though_it_still_runs() {
    let mut known = knowing(seen("a"));
    hear(&mut known, signal("TERM"), true, false);
    for cause in [Cause::Event, Cause::List] {
        let looked = known.look(seen("a"), cause, START + Duration::from_secs(39));
        assert_eq!((looked, run(&known, "a")), (Looked::default(), Some(Run::Stopping)));
    }
}

#[test]
fn what_outlived_its_stop_by_far_is_running_again_once_a_list_shows_it() {
    let mut known = knowing(seen("a"));
    hear(&mut known, signal("TERM"), true, false);
    let late = START + Duration::from_secs(40);
    known.look(seen("a"), Cause::Event, late);
    assert_eq!(run(&known, "a"), Some(Run::Stopping), "an event's look decides nothing here");
    let looked = known.look(seen("a"), Cause::List, late);
    assert_eq!(looked, Looked { changed: true, unannounced: false });
    assert_eq!(run(&known, "a"), Some(Run::Running));
}

#[test]
fn a_second_start_is_another_process_that_nobody_told_to_stop() {
    let mut known = knowing(seen("a"));
    hear(&mut known, signal("TERM"), true, false);
    let again = Seen { started: "second".to_owned(), ..seen("a") };
    known.look(again, Cause::List, START);
    assert_eq!(run(&known, "a"), Some(Run::Running), "its end and its start were both missed");

    hear(&mut known, signal("TERM"), true, false);
    hear(&mut known, What::Died { code: 0 }, true, true);
    hear(&mut known, What::Started, false, true);
    known.look(Seen { started: "third".to_owned(), ..seen("a") }, Cause::Event, START);
    assert_eq!(run(&known, "a"), Some(Run::Running));
}

#[test]
fn an_ended_container_keeps_its_address_until_the_next_list() {
    let mut known = knowing(seen("a"));
    hear(&mut known, What::Died { code: 0 }, true, true);
    known.look(ended("a"), Cause::Event, START);
    assert_eq!(known.containers()["a"].ports.networks.len(), 1);
    known.look(ended("a"), Cause::List, START);
    assert_eq!(known.containers()["a"].ports.networks.len(), 0);
}

#[test]
fn an_ended_containers_address_is_its_own_only_until_another_has_it() {
    let mut known = knowing(seen("a"));
    hear(&mut known, What::Died { code: 0 }, true, true);
    known.look(ended("a"), Cause::Event, START);
    known.look(seen("b"), Cause::Event, START);
    assert_eq!(known.containers()["a"].ports.networks.len(), 0);
    assert_eq!(known.containers()["b"].ports.networks.len(), 1);
}

#[test]
fn what_a_list_does_not_have_is_gone_unless_it_came_since() {
    let mut known = knowing(seen("a"));
    let asked = known.moment();
    known.look(seen("b"), Cause::Event, START);
    assert_eq!(known.keep_only(&BTreeSet::new(), asked), BTreeSet::from(["a".to_owned()]));
    assert_eq!(known.containers().into_keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_list_shows_what_no_event_told() {
    let mut known = knowing(seen("a"));
    assert!(!known.look(seen("a"), Cause::List, START).unannounced);
    assert!(known.look(ended("a"), Cause::List, START).unannounced);
    assert!(known.look(seen("b"), Cause::List, START).unannounced, "it was never heard of");
}
