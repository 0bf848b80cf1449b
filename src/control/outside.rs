//! Hooks and checks, as control sees them: what is to be asked, told and measured now, and what came back.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::control::Control;
use super::service::Release;
use crate::clock::Clock;
use crate::domain::rollout::{
    Check, Course, Decision, Event, GateAnswer, Judgement, Measured, Outcome, Phase, Place, Rollout,
    StepProgress, Subject, Verdict, held_back, with_checks,
};
use crate::domain::{ServiceName, Timestamp};
use crate::external::{Checks, Client, GateId, Gates, Message, Notices, Question, Report, Round, RoundId};

/// What came back and control has not looked at yet; its senders wait beyond that.
const REPORTS: usize = 256;

/// Hooks and checks, with what is known of them.
pub(crate) struct Outside {
    gates: Gates,
    notices: Notices,
    checks: Checks,
    reports: mpsc::Receiver<Report>,
    /// What hooks said, until the rollout has gone on from the gate: a step that could not be saved is tried again.
    answers: BTreeMap<GateId, GateAnswer>,
    /// Delivered or given up, but still in the store.
    settled: Vec<i64>,
    /// Whether the store may hold what nobody has looked at.
    post: bool,
    /// What is wrong with the letters in the store.
    trouble: Option<String>,
    /// By service, the last letter that was given up, until one is delivered again.
    given_up: BTreeMap<ServiceName, String>,
    /// Whose letters are on their way.
    recipients: BTreeMap<i64, ServiceName>,
}

/// How the checks of the rollout under way stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckBook {
    rollout: u64,
    measured: Vec<Measured>,
}

impl Outside {
    /// Asks, tells and measures nothing yet.
    pub(crate) fn new(clock: &Clock) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        let client = Client::default();
        Self {
            gates: Gates::new(client.clone(), clock.clone(), reporter.clone()),
            notices: Notices::new(client.clone(), clock.clone(), reporter.clone()),
            checks: Checks::new(client, clock.clone(), reporter),
            reports,
            answers: BTreeMap::new(),
            settled: Vec::new(),
            post: true,
            trouble: None,
            given_up: BTreeMap::new(),
            recipients: BTreeMap::new(),
        }
    }

    /// What comes back next. Cancel-safe.
    pub(crate) async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Something was saved: there may be letters to deliver.
    pub(crate) fn saved(&mut self) {
        self.post = true;
    }

    /// Hooks that could not be told, in words.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.trouble.iter().cloned().chain(self.given_up.values().map(|why| format!("not told: {why}")))
    }

    /// Says it once, however often it is tried again.
    fn in_trouble(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            warn!("{trouble}");
        }
        self.trouble = Some(trouble);
    }
}

impl Control {
    /// Takes in what came back. What is no longer wanted is passed over.
    pub(crate) fn heard(&mut self, report: Report) {
        match report {
            Report::Answered(gate, answer) => {
                info!(%gate, ?answer, "hooks answered");
                self.outside.answers.insert(gate, answer);
            }
            Report::Posted(letter, posted) => self.posted(letter, posted),
            Report::Measured { service, rollout, check, measured } => {
                let release = self.services.get_mut(&service).and_then(|service| service.release.as_mut());
                if let Some(release) = release {
                    release.measured(rollout, check, measured);
                }
            }
        }
    }

    fn posted(&mut self, letter: i64, posted: Result<(), String>) {
        let service = self.outside.recipients.get(&letter).cloned();
        match (service, posted) {
            (Some(service), Ok(())) => {
                self.outside.given_up.remove(&service);
            }
            (service, Err(why)) => {
                warn!("a hook could not be told: {why}");
                self.outside.given_up.extend(service.map(|service| (service, why)));
            }
            (None, Ok(())) => {}
        }
        self.outside.settled.push(letter);
        self.outside.post = true;
    }

    /// Tells machines what their hooks said; to be called before [`Self::reach_out`].
    pub(crate) fn pass_answers_on(&mut self) {
        let gates = self.gates();
        self.outside.answers.retain(|gate, _| gates.contains(gate));
        let now = self.around.clock.now();
        for (gate, answer) in self.outside.answers.clone() {
            // A decision that could not be saved is not made; the next turn comes to it again.
            let _made = self.decide(&gate.service, None, |machine| Ok(machine.on(now, Event::Gate(answer))));
        }
    }

    /// Brings what is asked, told and measured in line with where the rollouts stand.
    pub(crate) fn reach_out(&mut self) {
        let now = self.around.clock.now();
        let (gates, rounds) = (self.gates(), self.rounds());
        let services = &self.services;
        let release = |name: &ServiceName| services.get(name)?.release.as_ref();
        self.outside.answers.retain(|gate, _| gates.contains(gate));
        self.outside.gates.reconcile(gates, |gate| question(gate, release(&gate.service)?, now));
        self.outside.checks.reconcile(rounds, |(name, _)| {
            let rollout = release(name)?.machine.rollout()?;
            Some(Round { subject: subject(name, rollout), checks: rollout.plan.checks.clone() })
        });
        if self.outside.post {
            self.deliver();
        }
    }

    /// The gates that rollouts wait at. Nobody is asked for one that is paused: it would not go on.
    fn gates(&self) -> Vec<GateId> {
        self.rollouts()
            .filter(|(_, rollout)| !matches!(rollout.phase, Phase::Paused { .. }))
            .filter_map(|(name, rollout)| GateId::of(name, rollout))
            .collect()
    }

    /// The rollouts whose checks are measured: those that have begun.
    fn rounds(&self) -> Vec<RoundId> {
        self.rollouts()
            .filter(|(_, rollout)| !rollout.plan.checks.is_empty() && begun(rollout))
            .map(|(name, rollout)| (name.clone(), rollout.number))
            .collect()
    }

    fn rollouts(&self) -> impl Iterator<Item = (&ServiceName, &Rollout)> {
        let release = self.services.iter().filter_map(|(name, state)| Some((name, state.release.as_ref()?)));
        release.filter_map(|(name, release)| Some((name, release.machine.rollout()?)))
    }

    /// Brings the letters under way in line with the store.
    fn deliver(&mut self) {
        if !self.outside.settled.is_empty() {
            match self.store.take_out(&self.outside.settled) {
                Ok(()) => self.outside.settled.clear(),
                // They are not delivered again by this process; the next turn tries to take them out again.
                Err(error) => {
                    let what = "letters to hooks that were delivered can't be taken out of the store";
                    return self.outside.in_trouble(format!("{what}: {error}"));
                }
            }
        }
        match self.store.letters() {
            Ok(letters) => {
                self.outside.post = false;
                self.outside.trouble = None;
                self.outside.recipients =
                    letters.iter().map(|(id, letter)| (*id, letter.service.clone())).collect();
                self.outside.notices.reconcile(letters);
            }
            Err(error) => self.outside.in_trouble(format!("letters to hooks can't be read: {error}")),
        }
    }
}

impl Release {
    /// Notes how a check of the rollout under way stands.
    fn measured(&mut self, rollout: u64, check: usize, measured: Measured) {
        if let Some(under_way) = self.machine.rollout().filter(|under_way| under_way.number == rollout) {
            let plan = &under_way.plan.checks;
            let book = self.checks.of(rollout, plan);
            if let Some(known) = book.get_mut(check) {
                if known.standing != measured.standing {
                    info!(rollout, check = measured.name, standing = ?measured.standing, "check: {}", measured.text);
                }
                *known = measured;
            }
        }
    }

    /// How the checks of the rollout under way stand, in the plan's order; nothing before it has begun.
    pub(crate) fn checks_now(&self) -> Vec<Measured> {
        match self.machine.rollout() {
            Some(rollout) if begun(rollout) => {
                self.checks.clone().of(rollout.number, &rollout.plan.checks).clone()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// What the judge says, with the checks' say in it.
    pub(crate) fn with_checks(&self, judgement: Judgement, now: Timestamp) -> Judgement {
        let Some(rollout) = self.machine.rollout() else { return judgement };
        let progress = StepProgress { age: rollout.age(now), pause: rollout.step_pause() };
        let measured = self.checks_now();
        let checks: Vec<_> = rollout.plan.checks.iter().zip(&measured).collect();
        with_checks(judgement, &checks, held_back(progress, &rollout.plan.advance))
    }

    /// Before the canary has had a request there is nothing to judge but what checks say: a preview may fail by them.
    pub(crate) fn judge_by_checks(&mut self, now: Timestamp) -> Option<Judgement> {
        let rollout = self.machine.rollout()?;
        if rollout.plan.checks.is_empty() || !begun(rollout) {
            return None;
        }
        let verdict = Verdict {
            outcome: Outcome::Error,
            rule: "no data: the canary gets no requests yet".to_owned(),
            value: 1.0,
            bound: rollout.plan.analysis.promote_margin.alpha.recip(),
            canary_requests: 0,
            canary_failures: 0,
            stable_requests: 0,
            stable_failures: 0,
            detail: Box::default(),
        };
        let judgement = self.with_checks(Judgement { decision: Decision::Hold, verdict }, now);
        self.remember(judgement)
    }
}

impl CheckBook {
    /// The page of this rollout: a new one when the last was another's.
    fn of(&mut self, rollout: u64, checks: &[Check]) -> &mut Vec<Measured> {
        if self.rollout != rollout || self.measured.len() != checks.len() {
            self.rollout = rollout;
            self.measured = checks.iter().map(|check| Course::new(check).measured().clone()).collect();
        }
        &mut self.measured
    }
}

fn question(gate: &GateId, release: &Release, now: Timestamp) -> Option<Question> {
    let rollout = release.machine.rollout()?;
    let verdict = release.verdict_on(rollout.number);
    let message = Message::before(gate.at, &gate.service, rollout, verdict, now);
    Some(Question::new(rollout, gate.at, message))
}

fn subject(name: &ServiceName, rollout: &Rollout) -> Subject {
    Subject { service: name.clone(), stable: rollout.stable.clone(), canary: rollout.canary.clone() }
}

/// Whether the canary has been let in, if only for a preview.
fn begun(rollout: &Rollout) -> bool {
    rollout.phase.place() != Place::Start
}
