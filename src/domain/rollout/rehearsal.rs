//! A rollout before it happens: the very machine, judge and decision that run in production, under simulated traffic over
//! a virtual clock. Everything follows from the seed.
//!
//! Requests come as a Poisson process, each drawn for itself: then the failures of each version and their successes are
//! independent Poisson processes, so that the time to the next canary failure and the counts until then can be drawn as
//! such, without a loop over requests. The judge is asked as control asks it: after a canary failure at once, else every
//! second. In a stage that lasts it is asked less often, but never less than 200 times in the time that the stage has
//! lasted: times and failures come out at most half a percent too high for that.

mod dice;
mod rescue;
mod stage;

use std::time::Duration;

use super::{
    Action, Advance, Decision, Event, Judge, Judgement, Machine, OnMaxTime, Operator, PhaseName, Plan,
    Promotion, Reason, Refused, SplitMode, StepProgress, Wanted, decide,
};
use crate::domain::stats::{ArmCounts, EpochCounts};
use crate::domain::{Timestamp, VersionName, Weight};
use dice::Dice;
use rescue::Budget;
pub use rescue::Rescue;
use stage::held_by;
pub use stage::{Condition, Stage};

/// One release of `v2` over `v1`, both ready from the first moment on.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    machine: Machine,
    judge: Judge,
    plan: Plan,
    split: SplitMode,
    dice: Dice,
    began: Timestamp,
    now: Timestamp,
    epoch: u32,
    seen: EpochCounts,
    budget: Budget,
    unrescued: u64,
    stages: Vec<Stage>,
}

/// What users do, and how often each version fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Requests per second to both versions together; above 0.
    pub per_second: f64,
    /// The share of its requests that stable fails: 0 to 1.
    pub stable: f64,
    /// The share of its requests that the canary fails: 0 to 1.
    pub canary: f64,
    /// How many of its failures are answered by stable in its place.
    pub rescue: Rescue,
}

/// Where a rehearsal stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The canary became stable.
    Promoted,
    /// Everything stayed with stable.
    Aborted(Reason),
    /// It waits for an operator.
    Paused(Reason),
    /// The time was over before anything else.
    UnderWay,
}

/// Control turns at least so often, and asks the judge then.
const TICK: Duration = Duration::from_secs(1);
/// Canary failures wake control at most so often.
const WAKE_PAUSE: Duration = Duration::from_millis(5);
/// A stage's time is divided into at least so many looks.
const LOOKS: u32 = 200;

impl Rehearsal {
    /// A rollout by this plan that has just begun: the canary is ready, and has what the plan gives it first.
    ///
    /// What is not a matter of traffic is taken as favourable: hooks let everything pass at once, checks are good, the
    /// canary is as fast as stable: latency keeps its part of the stake, but says nothing and holds nothing back.
    /// `dry_run` is ignored.
    pub fn new(plan: &Plan, split: SplitMode, seed: u64) -> Self {
        let plan = decided_by_errors_alone(plan);
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let mut machine = Machine::first(VersionName::from("v1"));
        let release = VersionName::from("v2");
        let started = machine.on(now, Event::Wanted(Wanted { release: &release, plan: &plan, salt: (0, 0) }));
        let mut rehearsal = Self {
            judge: Judge::new(&plan.analysis, split, now),
            machine,
            plan,
            split,
            dice: Dice::new(seed),
            began: now,
            now,
            epoch: 0,
            seen: EpochCounts::default(),
            budget: Budget::new(now),
            unrescued: 0,
            stages: Vec::new(),
        };
        rehearsal.act(&started);
        rehearsal.look();
        rehearsal
    }

    /// Lets traffic flow until the rollout ends or pauses, or `span` is over.
    pub fn run(&mut self, traffic: Traffic, span: Duration) -> Fate {
        let until = self.now + span;
        while self.now < until && self.fate() == Fate::UnderWay {
            self.flow(traffic, until);
            self.look();
        }
        self.fate()
    }

    /// An operator leaves the step (or the pause) unjudged, as with `adit promote`.
    ///
    /// # Errors
    /// When the rollout is over.
    pub fn promote(&mut self) -> Result<(), Refused> {
        let actions = self.machine.operator(self.now, Operator::Promote)?;
        self.act(&actions);
        Ok(())
    }

    /// How it stands now.
    pub fn fate(&self) -> Fate {
        match (self.machine.rollout(), self.machine.last()) {
            (Some(rollout), _) if rollout.phase.name() == PhaseName::Paused => {
                Fate::Paused(rollout.reason.clone())
            }
            (None, Some(last)) if last.end == super::End::Promoted => Fate::Promoted,
            (None, Some(last)) => Fate::Aborted(last.reason.clone()),
            (Some(_) | None, _) => Fate::UnderWay,
        }
    }

    /// The time since the rollout began.
    pub fn time(&self) -> Duration {
        self.now - self.began
    }

    /// What both versions did so far.
    pub fn seen(&self) -> EpochCounts {
        self.seen
    }

    /// Failed canary requests that users would have seen with the rescue that the traffic came with, if all of them could
    /// be repeated.
    pub fn unrescued(&self) -> u64 {
        self.unrescued
    }

    /// What it went through, in order; the last one may not be over.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Requests until the next look.
    fn flow(&mut self, traffic: Traffic, until: Timestamp) {
        let (soonest, latest) = self.next_look(until);
        let weight = self.machine.weight().fraction();
        let failing = traffic.per_second * weight * traffic.canary;
        let left = (latest - self.now).as_secs_f64();
        let wait = self.dice.wait(failing);
        let (at, mut failed) = if wait < left {
            ((self.now + Duration::from_secs_f64(wait)).max(soonest).min(latest), 1)
        } else {
            (latest, 0)
        };
        let passed = (at - self.now).as_secs_f64();
        failed += if failed > 0 { self.dice.count(failing * (passed - wait)) } else { 0 };
        let (of_canary, of_stable) =
            (traffic.per_second * weight * passed, traffic.per_second * (1.0 - weight) * passed);
        let canary = arm(self.dice.count(of_canary * (1.0 - traffic.canary)), failed);
        let stable_failed = self.dice.count(of_stable * traffic.stable);
        let stable = arm(self.dice.count(of_stable * (1.0 - traffic.stable)), stable_failed);
        self.now = at;
        self.count(EpochCounts { canary, stable }, traffic.rescue);
    }

    fn count(&mut self, counts: EpochCounts, rescue: Rescue) {
        self.seen = self.seen.plus(counts);
        self.unrescued += counts.canary.failed - self.budget.rescue(counts, rescue, self.now);
        if let Some(stage) = self.stages.last_mut() {
            stage.counts = stage.counts.plus(counts);
            stage.time = self.now - stage.began;
        }
        self.judge.feed(self.epoch, counts, self.now);
    }

    /// When the judge is asked next: after a canary failure, but not before the first moment; else at the second.
    fn next_look(&self, until: Timestamp) -> (Timestamp, Timestamp) {
        let patience = self.stages.last().map_or(Duration::ZERO, |stage| stage.time / LOOKS);
        let due = [until, self.judge.next_tick(), self.machine.deadline().unwrap_or(until)];
        let latest = due.into_iter().fold(self.now + TICK.max(patience), Timestamp::min);
        // Something is always due later than now: time must pass.
        (self.now + WAKE_PAUSE.max(patience), latest.max(self.now + Duration::from_millis(1)))
    }

    /// Tells the machine all that may move it, as control does in a turn.
    fn look(&mut self) {
        self.judge.tick(self.now);
        let judgement = self.judgement();
        let ready = self.machine.on(self.now, Event::Readiness { canary: true, stable: true });
        self.act(&ready);
        if let Some(judgement) = judgement {
            let judged = self.machine.on(self.now, Event::Evidence(judgement));
            self.act(&judged);
        }
        let timed = self.machine.on(self.now, Event::Time);
        self.act(&timed);
    }

    fn judgement(&mut self) -> Option<Judgement> {
        let rollout = self.machine.rollout().filter(|_| self.epoch > 0)?;
        let assessment = self.judge.assess(self.now);
        let progress = StepProgress { age: rollout.age(self.now), pause: rollout.step_pause() };
        let decision = rollout.decide(self.now, &assessment);
        // The same decision, were there no times and no least number of requests.
        let at_once = StepProgress { age: Duration::ZERO, pause: Duration::ZERO };
        let proven = decide(&assessment, at_once, &PROOF_ALONE) == Decision::Advance;
        let requests = assessment.step.canary.completed >= rollout.plan.advance.min_requests;
        let verdict = assessment.verdict(&self.plan.analysis);
        // The judge has nothing against leaving a preview; its time has.
        let young = progress.age < progress.pause.max(rollout.plan.advance.min_time);
        let stays = |stage: &Stage| decision == Decision::Hold || (stage.weight == Weight::ZERO && young);
        if let Some(stage) = self.stages.last_mut().filter(|stage| stays(stage)) {
            // Without traffic there is nothing to wait for but time.
            let judged = if stage.weight == Weight::ZERO { (true, true) } else { (requests, proven) };
            stage.held_by = held_by(stage.phase, progress, &rollout.plan.advance, judged);
        }
        Some(Judgement { decision, verdict })
    }

    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::OpenEpoch { weight, step } => {
                    self.epoch += 1;
                    self.judge.open_epoch(self.epoch, *weight, *step, self.now);
                }
                Action::CloseEpoch => {
                    self.judge = Judge::new(&self.plan.analysis, self.split, self.now);
                    self.epoch = 0;
                }
                Action::Record(_) | Action::Save => {}
            }
        }
        self.enter_stage();
    }

    /// Notes where the rollout is now, if that is another place than before.
    fn enter_stage(&mut self) {
        let (phase, step, weight) = (self.machine.phase(), self.machine.step(), self.machine.weight());
        let here = |stage: &Stage| (stage.phase, stage.step, stage.weight) == (phase, step, weight);
        if matches!(phase, PhaseName::Idle | PhaseName::Paused) || self.stages.last().is_some_and(here) {
            return;
        }
        self.stages.retain(|stage| stage.time > Duration::ZERO);
        let (time, counts) = (Duration::ZERO, EpochCounts::default());
        self.stages.push(Stage {
            phase,
            step,
            weight,
            time,
            counts,
            held_by: Condition::Other,
            began: self.now,
        });
    }
}

/// Nothing but the proof is asked for.
const PROOF_ALONE: Advance = Advance {
    min_requests: 0,
    min_time: Duration::ZERO,
    max_time: Duration::MAX,
    on_max_time: OnMaxTime::Pause,
};

/// Errors are what the traffic is made of; hooks and checks are no part of it, and what waits for an operator would never
/// end.
fn decided_by_errors_alone(plan: &Plan) -> Plan {
    let promotion = Promotion::Auto;
    let mut plan = Plan { hooks: Vec::new(), checks: Vec::new(), promotion, ..plan.clone() };
    plan.analysis.dry_run = false;
    plan
}

fn arm(good: u64, failed: u64) -> ArmCounts {
    ArmCounts { routed: good + failed, completed: good + failed, failed }
}

#[cfg(test)]
mod promises;
#[cfg(test)]
mod storms;
