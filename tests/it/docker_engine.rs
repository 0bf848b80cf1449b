//! The watch over a Docker Engine, against an engine that does what a test wants, by a clock that a test holds.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::config::spec::DockerSpec;
use adit::domain::Timestamp;
use adit::domain::container::{Engine, Health, Run, Sighting, Site};
use adit::provider::docker::{Docker, Restart};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::fake::{FakeEngine, Fault};
use crate::harness::{LIMIT, now};

const RELIST: Duration = Duration::from_secs(30);
/// What an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The watch, running.
struct Watch {
    seen: watch::Receiver<Option<Sighting>>,
    restarts: mpsc::Sender<Restart>,
    time: Arc<Manual>,
    _running: JoinSet<()>,
}

impl Watch {
    fn over(engine: &FakeEngine) -> Self {
        Self::at(engine.address())
    }

    fn at(address: String) -> Self {
        let (clock, time) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        let spec = DockerSpec { endpoint: Some(address), network: None, relist: RELIST };
        let docker = Docker::new(&spec, clock).expect("an address");
        let (teller, seen) = watch::channel(None);
        let (restarts, orders) = mpsc::channel(1);
        let mut running = JoinSet::new();
        running.spawn(docker.run(teller, orders));
        Self { seen, restarts, time, _running: running }
    }

    /// Waits for a sighting of which this is true.
    async fn until(&mut self, what: &str, fact: impl Fn(&Sighting) -> bool) -> Sighting {
        let found = self.seen.wait_for(|seen| seen.as_ref().is_some_and(&fact));
        if let Ok(found) = tokio::time::timeout(LIMIT, found).await {
            return found.expect("the watch runs").clone().expect("it is there");
        }
        panic!("never seen: {what}; last: {:#?}", self.last())
    }

    async fn until_connected(&mut self) -> Sighting {
        self.until("a connected engine", is_connected).await
    }

    async fn until_lost(&mut self) -> Sighting {
        self.until("a lost engine", |seen| !is_connected(seen)).await
    }

    async fn until_run(&mut self, id: &str, run: Run) {
        self.until(&format!("{id} {run}"), |seen| run_of(seen, id) == Some(run)).await;
    }

    /// Moves the clock on, step by step, until this is true.
    async fn let_time_pass(&mut self, step: Duration, fact: impl Fn(&Sighting) -> bool) -> Sighting {
        let deadline = now() + LIMIT;
        while !fact(&self.last()) {
            assert!(now() < deadline, "time passed in vain; last: {:#?}", self.last());
            self.time.advance(step);
            tokio::task::yield_now().await;
        }
        self.last()
    }

    fn last(&self) -> Sighting {
        self.seen.borrow().clone().expect("something was seen")
    }
}

fn is_connected(seen: &Sighting) -> bool {
    matches!(seen.engine, Engine::Connected { .. })
}

fn run_of(seen: &Sighting, id: &str) -> Option<Run> {
    seen.containers.get(id).map(|container| container.run)
}

fn ids(seen: &Sighting) -> Vec<&str> {
    seen.containers.keys().map(String::as_str).collect()
}

fn why_lost(seen: &Sighting) -> &str {
    match &seen.engine {
        Engine::Lost { why, .. } => why,
        Engine::Connected { .. } => "it is connected",
    }
}

/// Lets everyone who can go on now do so.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_first_sighting_is_complete_and_has_who_asks_to_be_served() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    engine.put("b", "exited");
    engine.put_changed("c", "plain", |one| one["Config"]["Labels"] = serde_json::json!({"adit.port": "80"}));
    engine.put_changed("d", "plain", |one| one["Config"]["Labels"]["adit.enable"] = "false".into());
    let seen = Watch::over(&engine).until("anything", |_| true).await;
    assert_eq!(seen.engine, Engine::Connected { version: "20.10.24+dfsg1".to_owned() });
    assert_eq!(seen.site, Site::Host);
    assert_eq!(ids(&seen), ["a", "b"]);
    assert_eq!(seen.containers["a"].image.labels["org.opencontainers.image.version"], "1.4.0");
}

#[tokio::test]
async fn the_engine_is_listened_to_before_it_is_asked_for_a_list_and_only_ever_asked() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    Watch::over(&engine).until_connected().await;
    let asked = engine.asked();
    let order = |what: &str| asked.iter().position(|line| line.contains(what));
    assert!(order("/events") < order("/containers/json?"), "{asked:#?}");
    assert!(asked.iter().all(|line| line.starts_with("GET /")), "{asked:#?}");
    assert!(asked[1..].iter().all(|line| line.starts_with("GET /v1.41/")), "the agreed version: {asked:#?}");
}

#[tokio::test]
async fn five_hundred_containers_are_seen_in_one_piece() {
    let engine = FakeEngine::start();
    for n in 0..500 {
        engine.put(&format!("{n:064}"), "networks");
    }
    let began = now();
    let seen = Watch::over(&engine).until("anything", |_| true).await;
    println!("500 containers seen after {:?}", now() - began);
    assert_eq!(seen.containers.len(), 500);
    assert_eq!(
        engine.count("/images/").min(9),
        engine.count("/images/"),
        "an image is asked for once, not 500 times"
    );
}

#[tokio::test]
async fn a_stop_is_seen_from_its_event_without_a_look() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    let looks = engine.count("/containers/a/json");
    let began = now();
    engine.tell("a", "kill", &[("signal", "15")]);
    watch.until_run("a", Run::Stopping).await;
    println!("a stop seen after {:?}", now() - began);
    assert_eq!(engine.count("/containers/a/json"), looks);
}

#[tokio::test]
async fn a_signal_that_does_not_end_a_container_changes_nothing() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    for signal in ["1", "10", "12", "28"] {
        engine.tell("a", "kill", &[("signal", signal)]);
    }
    engine.put("b", "plain");
    engine.tell("b", "start", &[]);
    let seen = watch.until("b", |seen| seen.containers.contains_key("b")).await;
    assert_eq!(run_of(&seen, "a"), Some(Run::Running));
}

#[tokio::test]
async fn bad_news_waits_for_no_answer() {
    let engine = FakeEngine::start();
    for id in ["a", "b", "c", "d"] {
        engine.put(id, "healthy");
    }
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.fail("/json", Fault::Hang);
    engine.tell("a", "die", &[("exitCode", "137")]);
    engine.tell("b", "pause", &[]);
    engine.tell("c", "health_status: unhealthy", &[]);
    engine.tell("d", "destroy", &[]);
    watch.until_run("a", Run::Exited { code: 137, out_of_memory: false }).await;
    watch.until_run("b", Run::Paused).await;
    let seen = watch.until("d gone", |seen| !seen.containers.contains_key("d")).await;
    assert_eq!(seen.containers["c"].health, Some(Health::Unhealthy));
    assert!(is_connected(&seen));
}

#[tokio::test]
async fn good_news_comes_from_a_look() {
    let engine = FakeEngine::start();
    engine.put("a", "starting");
    let mut watch = Watch::over(&engine);
    let seen = watch.until_connected().await;
    assert_eq!(seen.containers["a"].health, Some(Health::Starting));
    engine.put("a", "healthy");
    engine.tell("a", "health_status: healthy", &[]);
    watch.until("a healthy", |seen| seen.containers["a"].health == Some(Health::Healthy)).await;
}

#[tokio::test]
async fn a_change_of_networks_is_a_reason_to_look() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.put("a", "networks");
    engine.tell_text(
        "{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"n\",\"Attributes\":{\"container\":\"a\"}}}\n",
    );
    watch.until("both networks", |seen| seen.containers["a"].ports.networks.len() == 2).await;
}

#[tokio::test]
async fn a_sidecar_is_reached_where_the_container_is_whose_network_it_shares() {
    let engine = FakeEngine::start();
    let main =
        fake::recorded("sidecar")["HostConfig"]["NetworkMode"].as_str().expect("a mode")[10..].to_owned();
    engine.put(&main, "plain");
    engine.put("side", "sidecar");
    let seen = Watch::over(&engine).until_connected().await;
    assert_eq!(seen.containers["side"].ports.networks, seen.containers[&main].ports.networks);
}

#[tokio::test]
async fn a_container_that_is_gone_when_it_is_looked_at_is_gone() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.remove("a");
    engine.tell("a", "stop", &[]);
    watch.until("nothing", |seen| seen.containers.is_empty()).await;
}

#[tokio::test]
async fn one_container_that_cant_be_read_hides_no_other_and_stays_as_it_was() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    engine.put("b", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.fail("/containers/a/json", Fault::Garbage);
    engine.tell("a", "update", &[]);
    engine.put("b", "paused");
    engine.tell("b", "update", &[]);
    watch.until_run("b", Run::Paused).await;
    let seen = watch.last();
    assert_eq!(run_of(&seen, "a"), Some(Run::Running));
    assert!(is_connected(&seen), "{}", why_lost(&seen));
}

#[tokio::test]
async fn a_proxy_that_keeps_images_and_the_version_to_itself_hides_no_container() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    engine.fail("/images/", Fault::Refuse(403));
    engine.fail("/version", Fault::Refuse(403));
    let seen = Watch::over(&engine).until_connected().await;
    assert_eq!(ids(&seen), ["a"]);
    assert_eq!(
        seen.containers["a"].labels["org.opencontainers.image.version"], "1.4.0",
        "the image's, inherited"
    );
}

#[tokio::test]
async fn an_engine_that_fails_changes_nothing_but_what_is_said_of_it_until_it_is_back() {
    let faults = [Fault::Cut, Fault::Garbage, Fault::Close, Fault::Refuse(500)];
    for fault in faults {
        let mut engine = FakeEngine::start();
        engine.put("a", "plain");
        let mut watch = Watch::over(&engine);
        watch.until_connected().await;
        engine.fail("/containers/json", fault);
        watch.time.advance(RELIST);
        let seen = watch.until_lost().await;
        assert_eq!(ids(&seen), ["a"], "{fault:?}");
        assert_eq!(run_of(&seen, "a"), Some(Run::Running), "{fault:?}");

        engine.heal();
        engine.put("b", "plain");
        watch.time.advance(Duration::from_millis(300));
        let seen = watch.until_connected().await;
        assert_eq!(ids(&seen), ["a", "b"], "{fault:?}");
        engine.die().await;
    }
}

#[tokio::test]
async fn an_engine_that_hangs_is_lost_once_its_time_is_up_and_its_events_are_heard_until_then() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.fail("/containers/json", Fault::Hang);
    watch.time.advance(RELIST);
    engine.until_asked("/containers/json", 2).await;
    engine.tell("a", "kill", &[("signal", "9")]);
    watch.until_run("a", Run::Stopping).await;
    watch.time.advance(PATIENCE - Duration::from_millis(1));
    settle().await;
    assert!(is_connected(&watch.last()));
    watch.time.advance(Duration::from_millis(1));
    let seen = watch.until_lost().await;
    assert_eq!((ids(&seen), why_lost(&seen)), (vec!["a"], "no answer within 10s"));
}

#[tokio::test]
async fn an_engine_that_hangs_at_the_start_is_lost_once_its_time_is_up() {
    for place in ["/version", "/events", "/containers/json"] {
        let engine = FakeEngine::start();
        engine.fail(place, Fault::Hang);
        let mut watch = Watch::over(&engine);
        engine.until_asked(place, 1).await;
        settle().await;
        watch.time.advance(PATIENCE);
        watch.until_lost().await;
    }
}

#[tokio::test]
async fn nothing_is_told_of_the_first_containers_before_the_last_is_known() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    engine.put("b", "plain");
    engine.fail("/containers/b/json", Fault::Hang);
    let mut watch = Watch::over(&engine);
    engine.until_asked("/containers/a/json", 1).await;
    engine.until_asked("/containers/b/json", 1).await;
    engine.tell("a", "kill", &[("signal", "15")]);
    settle().await;
    assert!(watch.seen.borrow().is_none(), "{:#?}", watch.last());
    watch.time.advance(PATIENCE);
    let seen = watch.until_connected().await;
    assert_eq!(ids(&seen), ["a"], "the one that hangs is left to the next list");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_said_to_be_lost_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut watch = Watch::at(format!("unix://{}/none.sock", folder.path().display()));
    let seen = watch.until("anything", |_| true).await;
    let why = why_lost(&seen);
    assert!(why.contains("none.sock") && why.contains("is the engine running"), "{why}");
}

#[tokio::test]
async fn the_waits_between_attempts_at_a_socket_of_this_machine_double_up_to_a_second() {
    let engine = FakeEngine::start();
    engine.fail("/version", Fault::Close);
    let mut watch = Watch::over(&engine);
    watch.until_lost().await;
    for (failed, wait) in (1..).zip([250, 500, 1000, 1000, 1000]) {
        let wait = Duration::from_millis(wait);
        watch.time.advance(wait.mul_f64(0.79));
        settle().await;
        assert_eq!(engine.count("/version"), failed, "before {wait:?} are over, a fifth less");
        watch.seen.mark_unchanged();
        watch.time.advance(wait.mul_f64(0.42));
        engine.until_asked("/version", failed + 1).await;
        watch.seen.changed().await.expect("the watch runs");
    }
}

#[tokio::test]
async fn a_stream_of_events_that_ends_is_opened_anew_and_nobody_is_alarmed() {
    let mut engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    let mut heard = watch.seen.clone();
    heard.mark_unchanged();
    engine.end_events();
    settle().await;
    engine.put("b", "plain");
    // Some proxies end a stream on which nothing was said for ten minutes.
    watch.let_time_pass(Duration::from_millis(300), |_| engine.count("/events") == 2).await;
    heard.changed().await.expect("the watch runs");
    let seen = heard.borrow().clone().expect("a sighting");
    assert!(is_connected(&seen), "{}", why_lost(&seen));
    assert_eq!(ids(&seen), ["a", "b"], "and what happened meanwhile is known");
    engine.die().await;
}

#[tokio::test]
async fn an_event_that_cant_be_read_is_a_reason_to_begin_anew() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.put("a", "paused");
    engine.tell_text("{\"Type\":\"container\",\"Action\":7}\n");
    watch.let_time_pass(Duration::from_millis(300), |_| engine.count("/events") == 2).await;
    watch.until_run("a", Run::Paused).await;
}

#[tokio::test]
async fn what_no_event_told_is_found_by_the_next_list_and_the_events_are_opened_anew() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    engine.put("b", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.put("a", "exited");
    engine.remove("b");
    watch.time.advance(RELIST);
    let seen = watch.until("only a", |seen| seen.containers.len() == 1).await;
    assert_eq!(run_of(&seen, "a"), Some(Run::Exited { code: 3, out_of_memory: false }));
    assert_eq!(engine.count("/events"), 1);
    watch.time.advance(Duration::from_secs(2));
    settle().await;
    watch.time.advance(Duration::from_millis(300));
    engine.until_asked("/events", 2).await;
    assert!(is_connected(&watch.last()));
}

#[tokio::test]
async fn an_engine_that_dies_and_comes_back_with_other_containers_is_followed() {
    let mut engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.die().await;
    settle().await;
    watch.time.advance(Duration::from_millis(300));
    let seen = watch.until_lost().await;
    assert_eq!(run_of(&seen, "a"), Some(Run::Running), "it may well run on");
    engine.remove("a");
    engine.put("b", "plain");
    engine.listen();
    let seen = watch
        .let_time_pass(Duration::from_secs(1), |seen| {
            assert!(!seen.containers.is_empty(), "at no moment there is none");
            is_connected(seen)
        })
        .await;
    assert_eq!(ids(&seen), ["b"]);
}

#[tokio::test]
async fn a_container_that_outlives_its_stop_gets_its_word_back_from_a_list() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let mut watch = Watch::over(&engine);
    watch.until_connected().await;
    engine.tell("a", "kill", &[("signal", "15")]);
    watch.until_run("a", Run::Stopping).await;
    watch.time.advance(RELIST);
    engine.until_asked("/containers/a/json", 2).await;
    settle().await;
    assert_eq!(run_of(&watch.last(), "a"), Some(Run::Stopping));
    watch.time.advance(RELIST);
    watch.until_run("a", Run::Running).await;
}

async fn restart(watch: &Watch, container: &str) -> Result<(), String> {
    let (reply, outcome) = oneshot::channel();
    let order = Restart { container: container.to_owned(), reply };
    watch.restarts.send(order).await.expect("the watch runs");
    outcome.await.expect("an answer")
}

#[tokio::test]
async fn a_restart_is_the_one_order_that_is_given() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    let watch = Watch::over(&engine);
    assert_eq!(restart(&watch, "a").await, Ok(()));
    assert_eq!(engine.count("POST /v1.41/containers/a/restart"), 1);
    assert_eq!(engine.count("POST"), 1);
}

#[tokio::test]
async fn a_restart_that_was_not_done_says_why() {
    let engine = FakeEngine::start();
    engine.put("a", "plain");
    engine.fail("/restart", Fault::Refuse(403));
    let watch = Watch::over(&engine);
    let why = restart(&watch, "a").await.expect_err("it is refused");
    assert!(why.contains("allows no restart") && why.contains("not allowed here"), "{why}");
    let why = restart(&watch, "b").await.expect_err("there is none");
    assert!(why.contains("does not know"), "{why}");
}
