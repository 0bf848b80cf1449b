//! The metrics, as Prometheus reads them. The data plane's counters are the truth and are read when someone asks; label
//! values come from the config and from fixed sets, never from a request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;

use super::AccessLog;
use super::docker::{DockerSeries, docker};
use super::families::{Counted, Family, number, rollouts, traffic, versions};
use super::results::Results;
use super::tls::{TlsReading, tls};
use crate::domain::stats::{PerWorker, VersionCells};
use crate::domain::{ServiceName, VersionName, Weight};

/// All metrics of the program.
#[derive(Debug)]
pub struct Metrics {
    series: ArcSwap<Series>,
    events: Mutex<Events>,
    watched: Mutex<Watched>,
}

/// What lives now: only this is shown.
#[derive(Debug)]
pub struct Series {
    /// All services, each once.
    pub services: Vec<ServiceSeries>,
    /// Counts the requests that no version got; shown with empty `service` and `version`.
    pub unrouted: Arc<PerWorker<VersionCells>>,
    /// The container engine; `None`: none is configured, and nothing is shown of it.
    pub docker: Option<DockerSeries>,
}

/// One service.
#[derive(Debug)]
pub struct ServiceSeries {
    /// Its name.
    pub name: ServiceName,
    /// Its versions, each once.
    pub versions: Vec<VersionSeries>,
    /// How far its rollout is; `None` with fixed weights, which have none.
    pub rollout: Option<RolloutSeries>,
}

/// How far a service's rollout is.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutSeries {
    /// The canary's share as decided.
    pub weight: Weight,
    /// The canary's share as counted, 0 to 1; `None` before the first request, and then not shown.
    pub observed: Option<f64>,
    /// `idle` | `waiting` | `stepping` | `paused` | `baking`.
    pub phase: String,
}

/// One version.
#[derive(Debug)]
pub struct VersionSeries {
    /// Its name.
    pub name: VersionName,
    /// Its image as configured, with `@sha256:…` if it is pinned.
    pub image: Option<String>,
    /// What registries know it by, if that is known.
    pub digest: Option<String>,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// When it was built (RFC 3339).
    pub created: Option<String>,
    /// Its counters.
    pub cells: Arc<PerWorker<VersionCells>>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointSeries>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSeries {
    /// Its address.
    pub name: String,
    /// Whether it may be given requests.
    pub up: bool,
}

/// What control tells as it happens. What no longer lives is forgotten with the next [`Metrics::publish`].
#[derive(Debug, Default)]
struct Events {
    versions: BTreeMap<(ServiceName, VersionName), VersionEvents>,
    transitions: BTreeMap<ServiceName, BTreeMap<String, u64>>,
    restarts: BTreeMap<ServiceName, u64>,
    reloads: Results,
    last_reload_failed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct VersionEvents {
    ejections: u64,
    checks: Results,
}

/// Numbers that others keep.
#[derive(Default)]
struct Watched {
    log: Option<AccessLog>,
    connections: Option<Reading>,
    panics: Option<Reading>,
    tls: Option<Box<dyn Fn() -> TlsReading + Send>>,
    turned_away: Option<Readings>,
    docker_events: Option<Reading>,
}

type Reading = Box<dyn Fn() -> u64 + Send>;
type Readings = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send>;

/// How a rollout can end: these have a series before the first does.
const OUTCOMES: [&str; 3] = ["promoted", "aborted", "superseded"];

impl Metrics {
    /// Without any service yet.
    pub fn new() -> Arc<Self> {
        let nothing = Series { services: Vec::new(), unrouted: Arc::new(PerWorker::new(0)), docker: None };
        Arc::new(Self {
            series: ArcSwap::from_pointee(nothing),
            events: Mutex::default(),
            watched: Mutex::default(),
        })
    }

    /// Everything as text, in Prometheus' exposition format 0.0.4 (`text/plain; version=0.0.4; charset=utf-8`).
    pub fn render(&self) -> String {
        let series = self.series.load();
        let mut all = Vec::new();
        traffic(&mut all, &series.counted());
        versions(&mut all, &series.services);
        rollouts(&mut all, &series.services);
        told(&mut all, &series, &locked(&self.events));
        if let Some(engine) = series.docker {
            docker(&mut all, engine, &series.services, &locked(&self.events).restarts);
        }
        program(&mut all, &locked(&self.watched));
        TextEncoder::new()
            .encode_to_string(&all)
            .expect("every family has a name and a sample (Family::finish), and a String takes all text")
    }

    /// Replaces what lives. What is not in it is no longer shown.
    pub fn publish(&self, series: Series) {
        let mut events = locked(&self.events);
        let versions: BTreeSet<_> = series.versions().collect();
        let services: BTreeSet<_> = series.services.iter().map(|service| &service.name).collect();
        events.versions.retain(|(service, version), _| versions.contains(&(service, version)));
        events.transitions.retain(|service, _| services.contains(service));
        events.restarts.retain(|service, _| services.contains(service));
        self.series.store(Arc::new(series));
    }

    /// Counts an active check of one of a version's endpoints; `ok`: it passed.
    pub fn health_check(&self, service: &ServiceName, version: &VersionName, ok: bool) {
        locked(&self.events).of(service, version).checks.count(ok);
    }

    /// Counts the ejection of one of a version's endpoints.
    pub fn ejected(&self, service: &ServiceName, version: &VersionName) {
        locked(&self.events).of(service, version).ejections += 1;
    }

    /// Counts the end of a rollout: `promoted` | `aborted` | `superseded`.
    pub fn transition(&self, service: &ServiceName, outcome: &str) {
        let mut events = locked(&self.events);
        *events.transitions.entry(service.clone()).or_default().entry(outcome.to_owned()).or_default() += 1;
    }

    /// Counts the restart of one of a service's containers that stayed unhealthy.
    pub fn container_restarted(&self, service: &ServiceName) {
        *locked(&self.events).restarts.entry(service.clone()).or_default() += 1;
    }

    /// Counts a reload of the config; `ok`: it took effect.
    pub fn reload(&self, ok: bool) {
        let mut events = locked(&self.events);
        events.reloads.count(ok);
        events.last_reload_failed = !ok;
    }

    /// Shows the lines that this log drops.
    pub fn watch_log(&self, log: AccessLog) {
        locked(&self.watched).log = Some(log);
    }

    /// Shows the open client connections, as `now` counts them. `now` must be quick, and not ask for metrics itself.
    pub fn watch_connections(&self, now: impl Fn() -> u64 + Send + 'static) {
        locked(&self.watched).connections = Some(Box::new(now));
    }

    /// Shows how TLS is doing, as `now` knows it. `now` must be quick, and not ask for metrics itself.
    pub fn watch_tls(&self, now: impl Fn() -> TlsReading + Send + 'static) {
        locked(&self.watched).tls = Some(Box::new(now));
    }

    /// Shows the connections that were not taken in, by reason, as `totals` counts them; the same rules hold.
    pub fn watch_turned_away(&self, totals: impl Fn() -> Vec<(&'static str, u64)> + Send + 'static) {
        locked(&self.watched).turned_away = Some(Box::new(totals));
    }

    /// Shows what the container engine told so far, as `total` counts it; the same rules hold.
    pub fn watch_docker_events(&self, total: impl Fn() -> u64 + Send + 'static) {
        locked(&self.watched).docker_events = Some(Box::new(total));
    }

    /// Shows the panics so far, as `total` counts them. `total` must be quick, and not ask for metrics itself.
    pub fn watch_panics(&self, total: impl Fn() -> u64 + Send + 'static) {
        locked(&self.watched).panics = Some(Box::new(total));
    }
}

impl Series {
    fn counted(&self) -> Vec<Counted<'_>> {
        let versions = self.services.iter().flat_map(|service| {
            service.versions.iter().map(|version| Counted {
                service: service.name.as_str(),
                version: version.name.as_str(),
                cells: &version.cells,
                usual: 200,
            })
        });
        versions.chain([Counted { service: "", version: "", cells: &self.unrouted, usual: 404 }]).collect()
    }

    fn versions(&self) -> impl Iterator<Item = (&ServiceName, &VersionName)> {
        self.services.iter().flat_map(|service| service.versions.iter().map(|v| (&service.name, &v.name)))
    }
}

impl Events {
    fn of(&mut self, service: &ServiceName, version: &VersionName) -> &mut VersionEvents {
        self.versions.entry((service.clone(), version.clone())).or_default()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("log", &self.log).finish_non_exhaustive()
    }
}

/// What control told, for what lives.
fn told(all: &mut Vec<MetricFamily>, series: &Series, events: &Events) {
    let help = "Endpoints taken out because their own answers were bad.";
    let mut ejections = Family::counter("adit_ejections_total", help, ["service", "version"]);
    let labels = ["service", "version", "result"];
    let mut checks = Family::counter("adit_health_checks_total", "Active health checks.", labels);
    for (service, version) in series.versions() {
        let told = events.versions.get(&(service.clone(), version.clone())).copied().unwrap_or_default();
        ejections.sample([service.as_str(), version.as_str()], number(told.ejections));
        for (result, count) in told.checks.each() {
            checks.sample([service.as_str(), version.as_str(), result], count);
        }
    }
    ejections.finish(all);
    checks.finish(all);
    transitions(series, events).finish(all);
    let mut reloads = Family::counter("adit_config_reloads_total", "Reloads of the config.", ["result"]);
    for (result, count) in events.reloads.each() {
        reloads.sample([result], count);
    }
    reloads.finish(all);
    let help = "Whether the config that is wanted is the one that serves.";
    let mut last = Family::gauge("adit_config_last_reload_successful", help, []);
    last.sample([], f64::from(u8::from(!events.last_reload_failed)));
    last.finish(all);
}

fn transitions(series: &Series, events: &Events) -> Family<2> {
    let labels = ["service", "outcome"];
    let mut family = Family::counter("adit_rollout_transitions_total", "Rollouts that ended.", labels);
    for service in &series.services {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        if service.rollout.is_some() {
            counts.extend(OUTCOMES.map(|outcome| (outcome, 0)));
        }
        let told = events.transitions.get(&service.name).into_iter().flatten();
        counts.extend(told.map(|(outcome, count)| (outcome.as_str(), *count)));
        for (outcome, count) in counts {
            family.sample([service.name.as_str(), outcome], number(count));
        }
    }
    family
}

/// How the program itself is.
fn program(all: &mut Vec<MetricFamily>, watched: &Watched) {
    if let Some(open) = &watched.connections {
        let mut family = Family::gauge("adit_connections_open", "Client connections open now.", []);
        family.sample([], number(open()));
        family.finish(all);
    }
    if let Some(totals) = &watched.turned_away {
        let help = "Client connections that were not taken in.";
        let mut family = Family::counter("adit_connections_refused_total", help, ["reason"]);
        for (reason, count) in totals() {
            family.sample([reason], number(count));
        }
        family.finish(all);
    }
    if let Some(total) = &watched.docker_events {
        let help = "Events about containers that the container engine told.";
        let mut family = Family::counter("adit_docker_events_total", help, []);
        family.sample([], number(total()));
        family.finish(all);
    }
    if let Some(total) = &watched.panics {
        let help = "Panics; each ended one connection.";
        let mut family = Family::counter("adit_panics_total", help, []);
        family.sample([], number(total()));
        family.finish(all);
    }
    if let Some(now) = &watched.tls {
        tls(all, &now());
    }
    let help = "Access log lines lost because the output was too slow or refused them.";
    let mut family = Family::counter("adit_access_log_dropped_total", help, []);
    family.sample([], number(watched.log.as_ref().map_or(0, AccessLog::dropped)));
    family.finish(all);
    let mut family =
        Family::gauge("adit_build_info", "Always 1; the label says which build runs.", ["version"]);
    family.sample([env!("CARGO_PKG_VERSION")], 1.0);
    family.finish(all);
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread;

    use super::*;
    use crate::domain::stats::{ErrorReason, MethodLabel};

    /// A sample's name and its labels in order, with its value.
    type Samples = HashMap<String, f64>;

    /// Reads an exposition as strictly as `promtool check metrics`, and fails on what that would complain about.
    fn parse(text: &str) -> Samples {
        let (mut samples, mut kinds) = (Samples::new(), HashMap::new());
        let (mut helped, mut family) = (String::new(), String::new());
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect(line);
                assert!(!help.is_empty(), "{line}");
                helped = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect(line);
                assert_eq!(name, helped, "HELP comes right before TYPE");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(name.starts_with("adit_"), "{line}");
                family = name.to_owned();
            } else {
                let (key, value) = sample(line);
                let name = key.split('{').next().unwrap();
                let suffixes: &[&str] =
                    if kinds[&family] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.iter().any(|s| name == format!("{family}{s}")), "{line} under {family}");
                assert!(value >= 0.0, "{line}");
                assert!(samples.insert(key, value).is_none(), "{line} comes twice");
            }
        }
        samples
    }

    /// A sample line as its key (`name{label="value",…}` with values unescaped) and its value.
    fn sample(line: &str) -> (String, f64) {
        let (mut key, mut chars, mut quoted) = (String::new(), line.chars(), false);
        while let Some(c) = chars.next() {
            match c {
                ' ' if !quoted => break,
                '\\' if quoted => key.push(match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('"' | '\\')) => c,
                    other => panic!("bad escape {other:?} in {line}"),
                }),
                '"' => {
                    quoted = !quoted;
                    key.push(c);
                }
                c => {
                    let plain = quoted || c.is_ascii_alphanumeric() || "_{},=".contains(c);
                    assert!(plain, "{c:?} in {line}");
                    key.push(c);
                }
            }
        }
        let value = chars.as_str();
        (key, value.parse().unwrap_or_else(|_| panic!("`{value}` is no number: {line}")))
    }

    fn cells() -> Arc<PerWorker<VersionCells>> {
        Arc::new(PerWorker::new(2))
    }

    fn version(name: &str, cells: &Arc<PerWorker<VersionCells>>) -> VersionSeries {
        let endpoint = |name: &str, up| EndpointSeries { name: name.into(), up };
        VersionSeries {
            name: name.into(),
            image: Some("registry.example/web@sha256:ab12".into()),
            digest: Some("sha256:ab12".into()),
            revision: Some("4f2a91c".into()),
            created: Some("2026-11-01T12:00:00Z".into()),
            cells: cells.clone(),
            endpoints: vec![endpoint("127.0.0.1:9001", true), endpoint("127.0.0.1:9002", false)],
        }
    }

    fn service(name: &str, versions: Vec<VersionSeries>) -> ServiceSeries {
        let weight = Weight::from_percent(5.0).unwrap();
        let rollout = RolloutSeries { weight, observed: Some(0.049), phase: "stepping".into() };
        ServiceSeries { name: name.into(), versions, rollout: Some(rollout) }
    }

    fn series(services: Vec<ServiceSeries>) -> Series {
        Series { services, unrouted: cells(), docker: None }
    }

    /// Metrics of a service `web` with a version `v1`, and that version's counters.
    fn web() -> (Arc<Metrics>, Arc<PerWorker<VersionCells>>) {
        let (metrics, cells) = (Metrics::new(), cells());
        metrics.publish(series(vec![service("web", vec![version("v1", &cells)])]));
        (metrics, cells)
    }

    fn web_and_v1() -> (ServiceName, VersionName) {
        ("web".into(), "v1".into())
    }

    fn assert_samples(metrics: &Metrics, expected: &[(&str, f64)]) {
        let text = metrics.render();
        let samples = parse(&text);
        for (key, value) in expected {
            assert_eq!(samples.get(*key), Some(value), "{key} in:\n{text}");
        }
    }

    #[test]
    fn a_program_without_services_has_its_own_metrics() {
        assert_samples(
            &Metrics::new(),
            &[
                (r#"adit_config_reloads_total{result="success"}"#, 0.0),
                ("adit_config_last_reload_successful", 1.0),
                ("adit_access_log_dropped_total", 0.0),
                (concat!(r#"adit_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), 1.0),
            ],
        );
    }

    #[test]
    fn all_series_of_a_live_version_exist_from_zero() {
        let (metrics, _cells) = web();
        let samples = parse(&metrics.render());
        let mut expected: Vec<String> = ErrorReason::ALL
            .map(|reason| format!(r#"adit_endpoint_errors_total{{OF,reason="{}"}}"#, reason.as_str()))
            .into();
        expected.extend(
            [
                r#"adit_requests_total{OF,code="200",method="GET"}"#,
                r#"adit_request_duration_seconds_bucket{OF,code_class="2xx",le="+Inf"}"#,
                r#"adit_request_duration_seconds_bucket{OF,code_class="2xx",le="0.098058"}"#,
                r#"adit_request_duration_seconds_sum{OF,code_class="2xx"}"#,
                r#"adit_request_duration_seconds_count{OF,code_class="2xx"}"#,
                "adit_requests_in_flight{OF}",
                "adit_tunnels_open{OF}",
                "adit_request_bytes_total{OF}",
                "adit_response_bytes_total{OF}",
                "adit_retries_total{OF}",
                "adit_ejections_total{OF}",
                r#"adit_health_checks_total{OF,result="success"}"#,
                r#"adit_health_checks_total{OF,result="failure"}"#,
            ]
            .map(str::to_owned),
        );
        for key in expected {
            let key = key.replace("OF", r#"service="web",version="v1""#);
            assert_eq!(samples.get(&key), Some(&0.0), "{key} in {samples:#?}");
        }
        for outcome in OUTCOMES {
            let key = format!(r#"adit_rollout_transitions_total{{service="web",outcome="{outcome}"}}"#);
            assert_eq!(samples.get(&key), Some(&0.0), "{key}");
        }
    }

    #[test]
    fn what_the_workers_counted_is_summed() {
        let (metrics, cells) = web();
        for worker in cells.iter() {
            worker.ended(MethodLabel::Get, 200, 10_000);
            worker.ended(MethodLabel::Post, 503, 20_000);
            worker.error(ErrorReason::ConnectionRefused);
            worker.in_flight.add(3);
            worker.request_bytes.add(10);
            worker.response_bytes.add(20);
            worker.retries.add(1);
        }
        let of = r#"service="web",version="v1""#;
        let expected = [
            (format!(r#"adit_requests_total{{{of},code="200",method="GET"}}"#), 2.0),
            (format!(r#"adit_requests_total{{{of},code="503",method="POST"}}"#), 2.0),
            (format!(r#"adit_request_duration_seconds_count{{{of},code_class="5xx"}}"#), 2.0),
            (format!(r#"adit_request_duration_seconds_sum{{{of},code_class="5xx"}}"#), 0.04),
            (format!(r#"adit_request_duration_seconds_bucket{{{of},code_class="5xx",le="+Inf"}}"#), 2.0),
            (format!(r#"adit_endpoint_errors_total{{{of},reason="connection_refused"}}"#), 2.0),
            (format!("adit_requests_in_flight{{{of}}}"), 6.0),
            (format!("adit_request_bytes_total{{{of}}}"), 20.0),
            (format!("adit_response_bytes_total{{{of}}}"), 40.0),
            (format!("adit_retries_total{{{of}}}"), 2.0),
        ];
        assert_samples(&metrics, &expected.each_ref().map(|(key, value)| (key.as_str(), *value)));
    }

    #[test]
    fn who_a_version_is_and_how_its_endpoints_are_is_shown() {
        let (metrics, _cells) = web();
        let of = r#"service="web",version="v1""#;
        let info = format!(
            "adit_version_info{{{of},image=\"registry.example/web@sha256:ab12\",digest=\"sha256:ab12\",\
             revision=\"4f2a91c\",created=\"2026-11-01T12:00:00Z\"}}"
        );
        let up = format!(r#"adit_endpoint_up{{{of},endpoint="127.0.0.1:9001"}}"#);
        let down = format!(r#"adit_endpoint_up{{{of},endpoint="127.0.0.1:9002"}}"#);
        assert_samples(&metrics, &[(&info, 1.0), (&up, 1.0), (&down, 0.0)]);
    }

    #[test]
    fn an_address_that_two_names_lead_to_is_one_series_and_up_if_either_is() {
        let metrics = Metrics::new();
        let mut twice = version("v1", &cells());
        twice.endpoints =
            [false, true, false].map(|up| EndpointSeries { name: "10.0.0.1:80".into(), up }).into();
        metrics.publish(series(vec![service("web", vec![twice])]));
        let key = r#"adit_endpoint_up{service="web",version="v1",endpoint="10.0.0.1:80"}"#;
        assert_samples(&metrics, &[(key, 1.0)]);
    }

    #[test]
    fn a_rollout_shows_its_weight_its_share_and_its_phase() {
        let (metrics, _cells) = web();
        assert_samples(
            &metrics,
            &[
                (r#"adit_rollout_weight_ratio{service="web"}"#, 0.05),
                (r#"adit_rollout_observed_ratio{service="web"}"#, 0.049),
                (r#"adit_rollout_phase{service="web",phase="stepping"}"#, 1.0),
                (r#"adit_rollout_phase{service="web",phase="idle"}"#, 0.0),
                (r#"adit_rollout_phase{service="web",phase="baking"}"#, 0.0),
            ],
        );
    }

    #[test]
    fn what_control_tells_is_counted() {
        let (metrics, _cells) = web();
        let (web, v1) = web_and_v1();
        metrics.health_check(&web, &v1, true);
        metrics.health_check(&web, &v1, true);
        metrics.health_check(&web, &v1, false);
        metrics.ejected(&web, &v1);
        metrics.transition(&web, "aborted");
        metrics.reload(true);
        metrics.reload(false);
        assert_samples(
            &metrics,
            &[
                (r#"adit_health_checks_total{service="web",version="v1",result="success"}"#, 2.0),
                (r#"adit_health_checks_total{service="web",version="v1",result="failure"}"#, 1.0),
                (r#"adit_ejections_total{service="web",version="v1"}"#, 1.0),
                (r#"adit_rollout_transitions_total{service="web",outcome="aborted"}"#, 1.0),
                (r#"adit_rollout_transitions_total{service="web",outcome="promoted"}"#, 0.0),
                (r#"adit_config_reloads_total{result="success"}"#, 1.0),
                (r#"adit_config_reloads_total{result="failure"}"#, 1.0),
                ("adit_config_last_reload_successful", 0.0),
            ],
        );
        metrics.reload(true);
        assert_samples(&metrics, &[("adit_config_last_reload_successful", 1.0)]);
    }

    #[test]
    fn the_container_engine_is_shown_where_one_is_configured_and_nowhere_else() {
        let (metrics, cells) = web();
        let (web, _v1) = web_and_v1();
        metrics.container_restarted(&web);
        let none = metrics.render();
        assert!(!none.contains("adit_docker") && !none.contains("adit_container"), "{none}");
        let docker = Some(DockerSeries { up: false, served: 3, withheld: 1, left_out: 0 });
        let services = ["api", "web"].map(|name| service(name, vec![version("v1", &cells)])).into();
        metrics.publish(Series { docker, ..series(services) });
        assert_samples(
            &metrics,
            &[
                ("adit_docker_up", 0.0),
                (r#"adit_docker_containers{state="served"}"#, 3.0),
                (r#"adit_docker_containers{state="withheld"}"#, 1.0),
                (r#"adit_docker_containers{state="left_out"}"#, 0.0),
                (r#"adit_container_restarts_total{service="web"}"#, 1.0),
                (r#"adit_container_restarts_total{service="api"}"#, 0.0),
            ],
        );
    }

    #[test]
    fn what_others_keep_is_read_when_asked() {
        let (metrics, _cells) = web();
        metrics.watch_log(AccessLog::off());
        metrics.watch_connections(|| 7);
        metrics.watch_turned_away(|| vec![("client_limit", 3)]);
        metrics.watch_panics(|| 2);
        metrics.watch_docker_events(|| 5);
        assert_samples(
            &metrics,
            &[
                ("adit_connections_open", 7.0),
                (r#"adit_connections_refused_total{reason="client_limit"}"#, 3.0),
                ("adit_panics_total", 2.0),
                ("adit_docker_events_total", 5.0),
                ("adit_access_log_dropped_total", 0.0),
            ],
        );
    }

    #[test]
    fn requests_without_a_route_have_neither_service_nor_version() {
        let metrics = Metrics::new();
        let unrouted = cells();
        unrouted[0].ended(MethodLabel::Get, 404, 100);
        metrics.publish(Series { services: vec![], unrouted, docker: None });
        let key = r#"adit_requests_total{service="",version="",code="404",method="GET"}"#;
        assert_samples(&metrics, &[(key, 1.0)]);
    }

    #[test]
    fn a_retired_version_vanishes_and_starts_anew_if_it_comes_back() {
        let (metrics, cells) = web();
        let (web, v1) = web_and_v1();
        metrics.ejected(&web, &v1);
        metrics.transition(&web, "promoted");
        metrics.publish(series(vec![service("web", vec![version("v2", &cells)])]));
        let text = metrics.render();
        assert!(!text.contains("v1") && text.contains("v2"), "{text}");
        let promoted = r#"adit_rollout_transitions_total{service="web",outcome="promoted"}"#;
        assert_samples(&metrics, &[(promoted, 1.0)]);
        metrics.publish(series(vec![service("web", vec![version("v1", &cells)])]));
        assert_samples(&metrics, &[(r#"adit_ejections_total{service="web",version="v1"}"#, 0.0)]);
    }

    #[test]
    fn hostile_names_stay_within_their_label() {
        let metrics = Metrics::new();
        let hostile = "a\\\"} 1\nadit_fake_total{x=\"é";
        metrics.publish(series(vec![service(hostile, vec![version(hostile, &cells())])]));
        let key = format!(r#"adit_retries_total{{service="{hostile}",version="{hostile}"}}"#);
        assert_samples(&metrics, &[(&key, 0.0)]);
    }

    #[test]
    fn nothing_ever_falls_while_workers_count() {
        const REQUESTS: u64 = 100_000;
        let (metrics, cells) = web();
        thread::scope(|scope| {
            let count = |worker: &VersionCells| {
                for request in 0..REQUESTS {
                    worker.ended(MethodLabel::Get, 200, request * 997 % 20_000_000);
                    worker.ended(MethodLabel::Head, 502, request % 300);
                    worker.response_bytes.add(1);
                }
            };
            let workers: Vec<_> = cells.iter().map(|worker| scope.spawn(move || count(worker))).collect();
            let mut before = Samples::new();
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                let text = metrics.render();
                let now = parse(&text);
                for (key, value) in &before {
                    let falls = now.get(key).is_none_or(|now| now < value);
                    assert!(!falls, "{key} was {value}, then:\n{text}");
                }
                assert_histograms_agree(&text, &now);
                before = now;
            }
        });
        let all = 2.0 * number(REQUESTS);
        assert_samples(
            &metrics,
            &[
                (r#"adit_requests_total{service="web",version="v1",code="200",method="GET"}"#, all),
                (r#"adit_requests_total{service="web",version="v1",code="502",method="HEAD"}"#, all),
                (r#"adit_response_bytes_total{service="web",version="v1"}"#, all),
            ],
        );
    }

    /// Buckets never fall with rising bounds, and `+Inf` is the count.
    fn assert_histograms_agree(text: &str, samples: &Samples) {
        let (mut upto, mut of) = (0.0, String::new());
        for line in text.lines().filter(|line| line.contains("_bucket{")) {
            let (key, value) = sample(line);
            let (series, bound) = key.split_once(",le=").expect("a bucket has a bound");
            if series != of {
                (upto, of) = (0.0, series.to_owned());
            }
            assert!(value >= upto, "{line} is below {upto}");
            upto = value;
            if bound.starts_with("\"+Inf") {
                let count = format!("{}}}", series.replace("_bucket{", "_count{"));
                assert_eq!(samples.get(&count), Some(&value), "{count}");
            }
        }
    }
}
