//! What many routes and many endpoints cost control: counted, not timed.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tempfile::{TempDir, tempdir};
use tokio::sync::{mpsc, oneshot};

use super::control::{Control, Scope, Surroundings};
use super::store::Store;
use crate::clock::Clock;
use crate::config::parse;
use crate::config::spec::Spec;
use crate::domain::Timestamp;
use crate::domain::routing::{EndpointId, Snapshot};
use crate::health::{CheckState, Condition, ProbeResult, Report};
use crate::telemetry::Metrics;
use crate::tls::Keyrings;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const ENDPOINTS: usize = 100;

/// Control of one service with many routes and endpoints; what checks report to it is sent by the test.
struct World {
    control: Control,
    reports: mpsc::Sender<Report>,
    _dir: TempDir,
}

/// So many hosts and paths, and [`ENDPOINTS`] endpoints.
fn config(routes: usize) -> Spec {
    let hosts: Vec<_> = (0..routes).map(|number| format!("'s{number}.shop.example'")).collect();
    let endpoints: Vec<_> = (0..ENDPOINTS).map(|number| format!("'127.0.0.1:{}'", 9000 + number)).collect();
    let mut text = format!(
        "[[listeners]]\naddress = '127.0.0.1:8080'\n[services.web]\nhosts = [{}]\nversions.v1.endpoints = [{}]\n",
        hosts.join(", "),
        endpoints.join(", ")
    );
    for number in 0..routes {
        write!(text, "[[services.web.routes]]\nhost = 'shop.example'\npath = '/v{number}'\n").expect("text");
    }
    parse(&text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

impl World {
    fn new(spec: &Spec) -> Self {
        let dir = tempdir().expect("a folder");
        let (clock, _hand) = Clock::manual(NOW);
        let around = Surroundings {
            live: Arc::new(ArcSwap::from_pointee(Snapshot::empty(1))),
            wake: Arc::default(),
            published: Arc::default(),
            metrics: Metrics::new(),
            workers: 1,
            listeners: Vec::new(),
            keyrings: Arc::new(Keyrings::load(spec, clock.clone()).expect("no certificates")),
            restarts: None,
            clock,
        };
        let (first_round, _nobody) = oneshot::channel();
        let store = Store::open(dir.path()).expect("a store");
        let mut control =
            Control::new(around, store, spec.clone(), first_round).expect("nothing is recorded");
        control.begin(spec.clone()).expect("the config is fine");
        let (reports, receiver) = mpsc::channel(2 * ENDPOINTS);
        control.reports = receiver;
        let mut world = Self { control, reports, _dir: dir };
        assert_eq!(world.check_all(Condition::Up), Some(Scope::Changed), "all are ready now");
        world.control.turn(Scope::Changed);
        world
    }

    fn ids(&self) -> Vec<EndpointId> {
        let versions = self.control.services.values().flat_map(|service| service.versions.values());
        versions.flat_map(|version| &version.endpoints).map(|endpoint| endpoint.id).collect()
    }

    /// A check of every endpoint ends before control comes to look.
    fn check_all(&mut self, condition: Condition) -> Option<Scope> {
        let mut reports = self.ids().into_iter().map(|id| {
            let mut state = CheckState::new(NOW);
            let took = Duration::from_millis(1);
            state.record(
                NOW,
                ProbeResult::Passed { status: Some(200), took },
                &crate::config::spec::HealthSpec::default(),
            );
            state.condition = condition;
            Report { id, state }
        });
        let first = reports.next().expect("there are endpoints");
        for report in reports {
            self.reports.try_send(report).expect("there is room");
        }
        self.control.probed_all(first)
    }

    fn live(&self) -> Arc<Snapshot> {
        self.control.around.live.load_full()
    }

    fn reload(&mut self, spec: &Spec) {
        self.control.desire(Ok(Box::new(spec.clone())), None).expect("the config is fine");
    }
}

#[tokio::test]
async fn a_reload_that_changes_nothing_publishes_nothing_and_saves_only_that_it_was() {
    let spec = config(50);
    let mut world = World::new(&spec);
    let (before, written) = (world.live(), world.control.store.written());
    world.reload(&config(50));
    assert!(Arc::ptr_eq(&before, &world.live()), "another snapshot");
    assert_eq!(world.control.store.written() - written, 1, "rows written: one is for the journal");
}

#[tokio::test]
async fn more_routes_save_no_more() {
    let mut world = World::new(&config(50));
    let written = world.control.store.written();
    world.reload(&config(500));
    assert_eq!(world.control.store.written() - written, 1, "rows written: one is for the journal");
}

#[tokio::test]
async fn an_endpoint_stays_itself_whatever_routes_come_and_go() {
    let mut world = World::new(&config(50));
    let (ids, before) = (world.ids(), world.live());
    world.reload(&config(51));
    assert_eq!(world.ids(), ids);
    let after = world.live();
    let cells = |snapshot: &Snapshot| {
        let endpoints = snapshot.services[0].versions[0].endpoints.iter();
        endpoints.map(|endpoint| endpoint.cells.clone()).collect::<Vec<_>>()
    };
    let (before, after) = (cells(&before), cells(&after));
    assert_eq!(after.len(), ENDPOINTS);
    assert!(before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(before, after)));
}

#[tokio::test]
async fn checks_that_find_all_as_it_was_are_no_reason_to_look_at_services() {
    let mut world = World::new(&config(1));
    assert_eq!(world.check_all(Condition::Up), None);
}

#[tokio::test]
async fn checks_that_end_together_lead_to_one_look() {
    let mut world = World::new(&config(1));
    let before = world.live().generation;
    assert_eq!(world.check_all(Condition::Down), Some(Scope::Changed));
    world.control.turn(Scope::Changed);
    assert_eq!(world.live().generation, before + 1);
}

#[tokio::test]
async fn what_was_published_before_is_taken_apart_by_control_and_not_by_a_worker() {
    let mut world = World::new(&config(1));
    let held = world.live();
    let replaced = Arc::downgrade(&held);
    world.reload(&config(2));
    drop(held);
    assert!(replaced.upgrade().is_some(), "whoever let go last took it apart");
    world.control.turn(Scope::All);
    assert!(replaced.upgrade().is_none(), "nobody has it, and it is still there");
}
