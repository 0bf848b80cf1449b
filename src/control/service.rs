//! One service as control knows it: what is wanted, what its endpoints do, where its rollout stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::endpoints::{EndpointState, Scene, Slots, VersionState};
use super::evidence::{Evidence, Subject};
use super::journal::Entry;
use super::outside::CheckBook;
use super::pace::StableTimes;
use super::record::Noted;
use crate::config::spec::{ServiceSpec, Traffic};
use crate::domain::rollout::{Action, Event, Judgement, Machine, Verdict};
use crate::domain::routing::{EndpointId, Hold, Limiter, Policy, Salt, Service};
use crate::domain::{Timestamp, VersionName, Weight};
use crate::health::{Change, ProbePlan, Report};

/// A service's live state.
pub(crate) struct ServiceState {
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) versions: BTreeMap<VersionName, VersionState>,
    /// `None` with fixed weights.
    pub(crate) release: Option<Release>,
    /// While its requests wait.
    pub(crate) hold: Option<Arc<Hold>>,
    /// What has been used of its rate limit; stays as long as the rule does.
    pub(crate) limiter: Option<Arc<Limiter>>,
    /// What the data plane was given last.
    pub(crate) compiled: Option<Arc<Service>>,
    /// Whether that is out of date.
    pub(crate) dirty: bool,
}

/// Where a service's releases stand.
pub(crate) struct Release {
    pub(crate) machine: Machine,
    /// Of the rollout under way.
    pub(crate) evidence: Option<Evidence>,
    /// How fast stable answers.
    pub(crate) times: StableTimes,
    /// The verdict so far, or the last one, with the number of its rollout.
    judgement: Option<(u64, Judgement)>,
    /// Since when nothing is left of stable, during a rollout.
    pub(crate) stable_gone: Option<Timestamp>,
    /// How the checks of the rollout under way stand.
    pub(crate) checks: CheckBook,
    /// Whether the store has the machine as it is.
    pub(crate) saved: bool,
    /// Decided and acted on (they lowered the weight), but not saved yet.
    pub(crate) unsaved: Vec<Entry>,
    /// The verdict that was written down last.
    pub(crate) noted: Option<Noted>,
}

/// Whom a probe was about.
pub(crate) struct Probed {
    pub(crate) version: VersionName,
    pub(crate) endpoint: SocketAddr,
    /// Whether the endpoint is not as it was: mostly it is.
    pub(crate) changed: bool,
}

impl ServiceState {
    /// A service that nothing is known of yet.
    pub(crate) fn new(spec: Arc<ServiceSpec>) -> Self {
        let policy = Arc::new(spec.policy.clone());
        Self {
            spec,
            policy,
            versions: BTreeMap::new(),
            release: None,
            hold: None,
            limiter: None,
            compiled: None,
            dirty: true,
        }
    }

    /// Takes over a new spec. Versions and endpoints that stay keep all that is known of them.
    pub(crate) fn respecify(&mut self, spec: Arc<ServiceSpec>, slots: &mut Slots, workers: usize) {
        let gone: Vec<_> =
            self.versions.keys().filter(|name| !spec.versions.contains_key(*name)).cloned().collect();
        for version in gone.iter().filter_map(|name| self.versions.remove(name)) {
            version.dissolve(slots);
        }
        for (name, version) in &spec.versions {
            let state = self.versions.entry(name.clone()).or_insert_with(|| VersionState::new(workers));
            state.spec = version.clone();
        }
        self.spec = spec;
        self.dirty = true;
        self.take_up_policy();
    }

    /// Brings the policy in line with the spec, but for what a rollout under way rests on: how clients are told apart stays
    /// as it was when its evidence began, or that would be about other draws than the ones that are made.
    pub(crate) fn take_up_policy(&mut self) {
        let mut policy = self.spec.policy.clone();
        if self.release.as_ref().is_some_and(|release| release.evidence.is_some()) {
            policy.affinity = self.policy.affinity.clone();
        }
        if self.limiter.as_ref().map(|limiter| limiter.rule()) != policy.rate_limit.as_ref() {
            let salt = Salt(fastrand::u64(..), fastrand::u64(..));
            self.limiter = policy.rate_limit.clone().map(|rule| Arc::new(Limiter::new(rule, salt)));
            self.dirty = true;
        }
        if *self.policy != policy {
            self.policy = Arc::new(policy);
            self.dirty = true;
        }
    }

    /// Brings all endpoints in line with the addresses that names have now.
    pub(crate) fn reconcile(&mut self, scene: &Scene<'_>, slots: &mut Slots) {
        for version in self.versions.values_mut() {
            self.dirty |= version.reconcile(scene, slots);
        }
    }

    /// Whether an endpoint that is no longer wanted is no longer needed either.
    pub(crate) fn can_let_go(&self) -> bool {
        self.versions.values().any(VersionState::can_let_go)
    }

    /// Ends the service: all its slots are free again.
    pub(crate) fn dissolve(self, slots: &mut Slots) {
        for version in self.versions.into_values() {
            version.dissolve(slots);
        }
    }

    /// Whether this version has a usable endpoint.
    pub(crate) fn ready(&self, version: &VersionName) -> bool {
        self.versions.get(version).is_some_and(VersionState::ready)
    }

    /// Which of the rollout's two versions is ready, as the machine wants to know it.
    pub(crate) fn readiness(&self) -> Event<'static> {
        let machine = self.release.as_ref().map(|release| &release.machine);
        let canary = machine.and_then(Machine::rollout).and_then(|rollout| {
            let canary = self.versions.get(&rollout.canary)?;
            Some(if rollout.waits_for_all() { canary.all_ready() } else { canary.ready() })
        });
        let stable = machine.is_some_and(|machine| self.ready(machine.stable()));
        Event::Readiness { canary: canary.unwrap_or(false), stable }
    }

    /// Whether users get answers: their versions have usable endpoints.
    pub(crate) fn serves(&self) -> bool {
        match (&self.spec.traffic, &self.release) {
            (Traffic::Weights(weights), _) => {
                weights.iter().any(|(name, weight)| *weight > Weight::ZERO && self.ready(name))
            }
            (Traffic::Release(_), Some(release)) => self.ready(release.machine.stable()),
            (Traffic::Release(_), None) => false,
        }
    }

    /// Whether something happened to it, or a rollout is under way.
    pub(crate) fn moves(&self) -> bool {
        self.dirty || self.release.as_ref().is_some_and(|release| release.machine.rollout().is_some())
    }

    /// Whether every endpoint that users depend on has been checked once.
    pub(crate) fn checked(&self) -> bool {
        self.versions.values().all(|version| {
            let resolved = !version.endpoints.is_empty() || version.spec.endpoints.is_empty();
            let checked =
                |endpoint: &EndpointState| endpoint.check.last.is_some() || endpoint.withheld().is_some();
            resolved && version.endpoints.iter().all(checked)
        })
    }

    /// Notes what a probe found; `None` when the endpoint is not this service's.
    pub(crate) fn probed(&mut self, report: &Report, is_engine_heard: bool) -> Option<Probed> {
        for (name, version) in &mut self.versions {
            if let Some(endpoint) = version.endpoints.iter_mut().find(|endpoint| endpoint.id == report.id) {
                let mut changed = endpoint.check.condition != report.state.condition;
                endpoint.check = report.state.clone();
                changed |= !is_engine_heard && endpoint.doubt();
                endpoint.proven |= endpoint.usable();
                self.dirty |= changed;
                return Some(Probed { version: name.clone(), endpoint: endpoint.address, changed });
            }
        }
        None
    }

    /// The probes that the endpoints need.
    pub(crate) fn probes(&self, watchful: Option<Duration>) -> impl Iterator<Item = (EndpointId, ProbePlan)> {
        self.versions.values().flat_map(move |version| version.probes(&self.spec, watchful))
    }

    /// Ejects and lets back in whom the rules name.
    pub(crate) fn judge_outliers(&mut self, now: Timestamp) -> Vec<(VersionName, SocketAddr, Change)> {
        let mut all = Vec::new();
        for (name, version) in &mut self.versions {
            let changes = version.judge_outliers(now, &self.spec.eject);
            self.dirty |= !changes.is_empty();
            all.extend(changes.into_iter().map(|(address, change)| (name.clone(), address, change)));
        }
        all
    }

    /// Looks at how fast stable answers, and sets what is slow from now on when it is time to.
    pub(crate) fn watch_times(&mut self, now: Timestamp) {
        let Some(release) = self.release.as_mut().filter(|release| release.times.due(now)) else { return };
        let stable = release.machine.stable();
        if let Some(version) = self.versions.get(stable) {
            release.times.look(stable, &version.cells, now);
        }
        let renewed = release.evidence.as_mut().is_some_and(|it| it.renew_pace(&release.times, now));
        self.dirty |= renewed;
    }

    /// The next moment at which something may change by itself.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let release = self.release.as_ref().and_then(|release| release.machine.deadline());
        self.versions.values().filter_map(VersionState::deadline).chain(release).min()
    }
}

impl Release {
    /// Where a machine stands that was recorded, or has just begun.
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            evidence: None,
            times: StableTimes::default(),
            judgement: None,
            stable_gone: None,
            checks: CheckBook::default(),
            saved: false,
            unsaved: Vec::new(),
            noted: None,
        }
    }

    /// Does what the machine said, as far as it concerns the evidence: under the policy by which requests are divided now.
    pub(crate) fn act(
        &mut self,
        actions: &[Action],
        (spec, policy): (&ServiceSpec, &Policy),
        workers: usize,
        now: Timestamp,
    ) {
        for action in actions {
            match (action, self.machine.rollout()) {
                (Action::OpenEpoch { weight, step }, Some(rollout)) => {
                    let weight = self.in_force(*weight);
                    let evidence = self.evidence.get_or_insert_with(|| {
                        let (plan, affinity) = (&rollout.plan, &policy.affinity);
                        Evidence::new(&Subject { plan, affinity, routes: &spec.routes }, workers, now)
                    });
                    evidence.open(weight, *step, &self.times, now);
                }
                (Action::CloseEpoch, _) => self.evidence = None,
                (Action::OpenEpoch { .. } | Action::Record(_) | Action::Save, _) => {}
            }
        }
    }

    /// Reads the evidence and says what to make of it; `None` when no rollout is being judged.
    pub(crate) fn judge(&mut self, now: Timestamp) -> Option<Judgement> {
        let rollout = self.machine.rollout()?;
        let Some(evidence) = self.evidence.as_mut() else { return self.judge_by_checks(now) };
        evidence.gather(now);
        let assessment = evidence.assess(now);
        let decision = rollout.decide(now, &assessment);
        let judgement = Judgement { decision, verdict: assessment.verdict(&rollout.plan.analysis) };
        let judgement = self.without_stable(self.with_checks(judgement, now), now);
        self.remember(judgement)
    }

    /// Keeps what was judged of the rollout under way, for whoever asks.
    pub(crate) fn remember(&mut self, judgement: Judgement) -> Option<Judgement> {
        let number = self.machine.rollout()?.number;
        self.judgement = Some((number, judgement.clone()));
        Some(judgement)
    }

    /// What was judged last of this rollout.
    pub(crate) fn verdict_on(&self, rollout: u64) -> Option<&Verdict> {
        let (number, judgement) = self.judgement.as_ref()?;
        (*number == rollout).then_some(&judgement.verdict)
    }
}
