//! One test's Adit, beside the engine, and its service. Names and hosts begin with the test's own: all tests share an engine.

use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit::control::report::{EndpointStatus, ServiceStatus, Status, VersionStatus};
use serde_json::Value;

use crate::container::Container;
use crate::engine::Engine;
use crate::harness::{Adit, now};
use crate::image::Image;
use crate::load::Load;

/// For what takes containers to start and rollouts to go through, on a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(90);

/// A rollout by labels whose steps take a few hundred requests. Times are not judged: a busy machine would judge them.
const QUICK: [&str; 6] = [
    "adit.rollout.steps=5,50,100",
    "adit.rollout.advance.min_requests=20",
    "adit.rollout.advance.min_time=100ms",
    "adit.rollout.analysis.promote_margin.absolute=5%",
    "adit.rollout.analysis.latency.quantiles=",
    "adit.rollout.rescue.budget=100%",
];

/// A test's service, whose containers are on this engine.
pub(crate) struct World<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) adit: Adit,
    /// Of the service, and what all names begin with.
    pub(crate) name: String,
}

impl<'e> World<'e> {
    pub(crate) fn start(engine: &'e Engine, name: &str) -> Self {
        Self { engine, adit: Adit::start(&config(engine)), name: name.to_owned() }
    }

    /// With its access log in this file.
    pub(crate) fn start_logging_to(engine: &'e Engine, name: &str, log: &Path) -> Self {
        let config = format!("access_log = \"stdout\"\n{}", config(engine));
        Self {
            engine,
            adit: Adit::start_writing_to(File::create(log).unwrap(), &config),
            name: name.to_owned(),
        }
    }

    pub(crate) fn host(&self) -> String {
        format!("{}.example", self.name)
    }

    /// The name of a container or network of this test.
    pub(crate) fn own(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// Builds an image whose tag is its version; gives its reference.
    pub(crate) fn image(&self, version: &str) -> String {
        let reference = format!("{}:{version}", self.name);
        Image::new(&reference, version).build(self.engine);
        reference
    }

    /// What makes a container one of this test's service.
    pub(crate) fn labels(&self) -> Vec<String> {
        let own = [
            format!("adit.service={}", self.name),
            format!("adit.hosts={}", self.host()),
            "adit.health.path=/healthz".to_owned(),
            "adit.health.interval=200ms".to_owned(),
        ];
        own.into_iter().chain(QUICK.map(str::to_owned)).collect()
    }

    /// Starts a container of the service.
    pub(crate) fn run(&self, what: &str, image: &str, env: &[&str]) -> Container<'e> {
        self.run_with(what, image, &[], env, &[])
    }

    /// The same, with more labels and more words for `docker run`.
    pub(crate) fn run_with(
        &self,
        what: &str,
        image: &str,
        labels: &[&str],
        env: &[&str],
        more: &[&str],
    ) -> Container<'e> {
        let own = self.labels();
        let labels: Vec<&str> = own.iter().map(String::as_str).chain(labels.iter().copied()).collect();
        self.engine.run_with(&self.own(what), image, &labels, env, more)
    }

    /// Starts so many containers of this image: `v1-1`, `v1-2`...
    pub(crate) fn run_all(
        &self,
        count: usize,
        version: &str,
        image: &str,
        env: &[&str],
    ) -> Vec<Container<'e>> {
        (1..=count).map(|number| self.run(&format!("{version}-{number}"), image, env)).collect()
    }

    /// So many ready containers of a new `v1`, which users have.
    pub(crate) fn run_stable(&self, count: usize) -> Vec<Container<'e>> {
        let image = self.image("v1");
        let all = self.run_all(count, "v1", &image, &[]);
        self.wait(&format!("{count} of v1 are ready"), |web| ready(web, "v1") == count);
        all
    }

    pub(crate) fn load(&self) -> Load {
        Load::on(self.adit.address(), &self.host())
    }

    /// How the service stands, if Adit knows it.
    pub(crate) fn service(&self) -> Option<ServiceStatus> {
        self.adit.status().service(&self.name).cloned()
    }

    /// Waits until the service satisfies `fact`.
    pub(crate) fn wait(&self, what: &str, fact: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        patiently(what, || self.service().filter(&fact), || self.explain())
    }

    /// Waits until the whole status satisfies `fact`.
    pub(crate) fn wait_for(&self, what: &str, fact: impl Fn(&Status) -> bool) -> Status {
        patiently(what, || Some(self.adit.status()).filter(&fact), || self.explain())
    }

    /// Waits until the last rollout ended so.
    pub(crate) fn wait_for_outcome(&self, outcome: &str) -> ServiceStatus {
        self.wait(outcome, |web| {
            web.rollout.as_ref().is_some_and(|last| last.outcome.as_deref() == Some(outcome))
        })
    }

    /// What is recorded of the last rollout.
    pub(crate) fn story(&self) -> Value {
        let path = format!("/v1/services/{}/rollouts/last", self.name);
        serde_json::from_slice(&self.adit.api("GET", &path, "").body).expect("JSON")
    }

    /// The metrics as they are now.
    pub(crate) fn metrics(&self) -> String {
        self.adit.api("GET", "/metrics", "").text()
    }

    /// How things stand, for a test that failed.
    pub(crate) fn explain(&self) -> String {
        let status = self.adit.status();
        let service = serde_json::to_string_pretty(&status.service(&self.name)).expect("a status is JSON");
        let stderr = self.adit.stderr();
        let last: Vec<_> = stderr.lines().rev().take(60).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        format!("problems: {:#?}\n{service}\nstderr:\n{}", status.problems, last.join("\n"))
    }
}

/// A config without a service: containers bring them.
pub(crate) fn config(engine: &Engine) -> String {
    format!("workers = 2\n[docker]\nendpoint = \"{}\"\n", engine.url())
}

/// A file for an access log, in the target folder.
pub(crate) fn log_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A version of a service, if it has it.
pub(crate) fn find<'s>(service: &'s ServiceStatus, version: &str) -> Option<&'s VersionStatus> {
    service.versions.iter().find(|it| it.name.as_str() == version)
}

/// How many of its endpoints are ready.
pub(crate) fn ready(service: &ServiceStatus, version: &str) -> usize {
    let endpoints = find(service, version).map_or(&[][..], |version| &version.endpoints);
    endpoints.iter().filter(|endpoint| EndpointStatus::is_ready(endpoint)).count()
}

/// Looks until `fact` gives something, for longer than tests without containers would.
///
/// # Panics
/// When it gives nothing; `explain` says how things stood.
pub(crate) fn patiently<T, D: Display>(
    what: &str,
    mut fact: impl FnMut() -> Option<T>,
    explain: impl FnOnce() -> D,
) -> T {
    let deadline = now() + LONG;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(now() < deadline, "waited {LONG:?} in vain for: {what}\n{}", explain());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
