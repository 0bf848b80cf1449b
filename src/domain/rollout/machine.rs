//! The rollout machine of one service: told what happens, it says what to do. No I/O, no clock.
//!
//! The weight that the canary gets rises only (a) to the first step, which the operator ordered by changing
//! `release`, (b) by a `Successful` verdict, (c) by an operator's command, (d) at `max_time` when the plan orders
//! `advance-if-no-harm`, (e) by a blue-green plan whose preview is over. A canary that lost its endpoints and is ready again gets back what was decided before, never
//! more. Stable's health is noted but holds nothing back and rushes nothing: a dead stable must neither block the
//! version that mends it nor send users to one that nobody has judged. `promote --full` is the operator's way out.

mod gates;
mod readiness;
mod undo;
mod verdicts;

use serde::{Deserialize, Serialize};

use super::{
    Action, Came, Cause, End, Ended, Event, Phase, PhaseName, Presence, Reason, Refused, Rollout, Wanted,
};
use crate::domain::{Timestamp, VersionName, Weight};

/// Which version of a service is stable, and the rollout under way.
///
/// Whoever drives it keeps a copy, tells the machine, saves it with the recorded transitions, and only then acts; if
/// saving fails, the copy still holds. Only a retreat ([`Machine::retreats_from`]) is acted on first, and saved then: that
/// is always safe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    stable: VersionName,
    wanted: VersionName,
    /// The wanted version was aborted: not tried again until told so, or until another one was wanted in between.
    aborted: bool,
    rollout: Option<Rollout>,
    last: Option<Ended>,
    next_number: u64,
    /// Versions that were stable before, the latest last; not those that were undone.
    #[serde(default)]
    former: Vec<VersionName>,
    /// The latest moment that it was told of.
    #[serde(skip)]
    now: Timestamp,
}

impl Machine {
    /// For a service that nothing is known of yet: `release` is stable at once.
    pub fn first(release: VersionName) -> Self {
        Self {
            wanted: release.clone(),
            stable: release,
            aborted: false,
            rollout: None,
            last: None,
            next_number: 1,
            former: Vec::new(),
            now: Timestamp::default(),
        }
    }

    /// Takes in what happened and says what to do. No actions: nothing changed that would have to be saved.
    pub fn on(&mut self, now: Timestamp, event: Event<'_>) -> Vec<Action> {
        self.now = now;
        match event {
            Event::Restarted => self.restarted(now),
            Event::Wanted(wanted) => self.wanted(now, wanted, None),
            Event::Came(wanted, came) => self.wanted(now, wanted, Some(came)),
            Event::Readiness { canary, stable } => self.readiness(now, canary, stable),
            Event::Evidence(judgement) => self.evidence(now, judgement),
            Event::Time => self.time(now),
            Event::StableGone => self.stable_gone(now),
            Event::Gate(answer) => self.gate(now, answer),
        }
    }

    /// For a service whose users were divided by fixed weights since: `stable` is what most of them have now. Not for
    /// one with a rollout under way, which stays as it is.
    pub fn settle(&mut self, stable: VersionName) {
        if self.rollout.is_none() {
            self.succeed(stable);
            self.aborted &= self.wanted != self.stable;
        }
    }

    /// The next moment at which [`Event::Time`] or a fresh judgement may change something.
    pub fn deadline(&self) -> Option<Timestamp> {
        let rollout = self.rollout.as_ref()?;
        match (&rollout.phase, rollout.canary_presence) {
            (Phase::Paused { .. }, _) | (_, Presence::Unknown) => None,
            (_, Presence::Missing { since }) => Some(since + rollout.plan.ready_timeout),
            (Phase::Waiting { .. }, Presence::Ready) => None,
            (Phase::Baking { .. }, Presence::Ready) if rollout.waits_at_the_end() => None,
            (Phase::Baking { since }, Presence::Ready) => Some(*since + rollout.plan.bake),
            // These two are the judge's: once they have come, it looks at every evidence anyway.
            (Phase::Stepping { since, .. }, Presence::Ready) => {
                [rollout.dwell(), rollout.plan.advance.max_time]
                    .map(|age| *since + age)
                    .into_iter()
                    .filter(|at| *at > self.now)
                    .min()
            }
        }
    }

    /// What the canary gets now: 0 without a rollout, and while the canary has no ready endpoint.
    pub fn weight(&self) -> Weight {
        self.rollout.as_ref().map_or(Weight::ZERO, Rollout::weight_now)
    }

    /// What a version gets now; nothing when it is neither stable nor canary.
    pub fn share_of(&self, version: &VersionName) -> Weight {
        match &self.rollout {
            Some(rollout) if rollout.canary == *version => rollout.weight_now(),
            Some(_) | None if self.stable == *version => self.weight().rest(),
            Some(_) | None => Weight::ZERO,
        }
    }

    /// Whether what happened since `before` only takes from its canary, or gives it up: safe to act on before it is
    /// saved. So is going back to a version that users had before. Not so a promotion, though [`Self::weight`] is 0
    /// after it: the canary has everything then, as stable.
    pub fn retreats_from(&self, before: &Self) -> bool {
        let Some(then) = &before.rollout else { return self.went_back_from(before) };
        let given_up = self.rollout.as_ref().is_none_or(|rollout| rollout.number != then.number)
            && self.stable != then.canary;
        given_up || self.share_of(&then.canary) < before.share_of(&then.canary)
    }

    /// The version users have.
    pub fn stable(&self) -> &VersionName {
        &self.stable
    }

    /// The version that `release` names.
    pub fn wanted_release(&self) -> &VersionName {
        &self.wanted
    }

    /// The rollout under way.
    pub fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    /// The rollout that ended last.
    pub fn last(&self) -> Option<&Ended> {
        self.last.as_ref()
    }

    /// The wanted version, if it was aborted and is not tried again by itself.
    pub fn aborted(&self) -> Option<&VersionName> {
        self.aborted.then_some(&self.wanted)
    }

    /// The number that the next rollout gets.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// The phase in one word: `idle` without a rollout.
    pub fn phase(&self) -> PhaseName {
        self.rollout.as_ref().map_or(PhaseName::Idle, |rollout| rollout.phase.name())
    }

    /// The current step from 1; 0 before the first and without a rollout.
    pub fn step(&self) -> usize {
        self.rollout.as_ref().map_or(0, Rollout::step)
    }

    fn restarted(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        rollout.stable_presence = Presence::Unknown;
        rollout.ask_again();
        rollout.see_canary(now, Presence::Missing { since: now }, Reason::Restarted)
    }

    fn wanted(&mut self, now: Timestamp, wanted: Wanted<'_>, came: Option<Came<'_>>) -> Vec<Action> {
        if *wanted.release == self.wanted {
            return Vec::new();
        }
        self.wanted = wanted.release.clone();
        self.aborted = false;
        if self.wanted == self.stable {
            let withdrawn =
                if came.is_some() { Reason::ContainersWithdrawn } else { Reason::ReleaseWithdrawn };
            let actions = self.end(now, End::Aborted, withdrawn.into());
            return if actions.is_empty() { vec![Action::Save] } else { actions };
        }
        // An undo is already on the way to it.
        if self.rollout.as_ref().is_some_and(|rollout| rollout.canary == self.wanted) {
            return vec![Action::Save];
        }
        let by = self.wanted.clone();
        let mut actions = self.end(now, End::Superseded, Reason::Superseded { by }.into());
        let why = came.map_or(Reason::ReleaseChanged, |came| Reason::ContainerCame {
            container: came.container.to_owned(),
            image: came.image.to_owned(),
        });
        actions.extend(self.start(now, wanted, why));
        actions
    }

    /// Starts a rollout of the wanted version. Nothing is sent to it before it is ready.
    pub(super) fn start(&mut self, now: Timestamp, wanted: Wanted<'_>, reason: Reason) -> Vec<Action> {
        self.aborted &= *wanted.release != self.wanted;
        let rollout = Rollout {
            number: self.next_number,
            stable: self.stable.clone(),
            canary: wanted.release.clone(),
            plan: wanted.plan.clone(),
            salt: wanted.salt,
            started: now,
            phase: Phase::Waiting { since: now },
            weight: Weight::ZERO,
            reason,
            verdict: None,
            gate: None,
            undoes: false,
            noted: Vec::new(),
            canary_presence: Presence::Missing { since: now },
            // Taken for granted, so that its absence is worth a note.
            stable_presence: Presence::Ready,
        };
        self.next_number += 1;
        let beginning = rollout.beginning();
        self.rollout = Some(rollout);
        vec![beginning]
    }

    fn time(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(rollout) = &self.rollout else { return Vec::new() };
        match (&rollout.phase, rollout.canary_presence) {
            (Phase::Paused { .. }, _) | (_, Presence::Unknown) => Vec::new(),
            (_, Presence::Missing { since }) if now >= since + rollout.plan.ready_timeout => {
                self.end(now, End::Aborted, Reason::NotReadyInTime.into())
            }
            (Phase::Baking { since }, Presence::Ready) if now >= *since + rollout.plan.bake => {
                self.bake_over(now)
            }
            (_, Presence::Missing { .. } | Presence::Ready) => Vec::new(),
        }
    }

    /// Nobody is left to go back to: as soon as the canary is ready it takes over.
    fn stable_gone(&mut self, now: Timestamp) -> Vec<Action> {
        match &self.rollout {
            Some(rollout) if rollout.canary_ready() => {
                self.end(now, End::Promoted, Reason::StableGone.into())
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Enters the step with this index, or what comes after the last: the bake, or the end.
    pub(super) fn enter(&mut self, now: Timestamp, step: usize, cause: Cause) -> Vec<Action> {
        let Some(rollout) = &mut self.rollout else { return Vec::new() };
        match rollout.plan.steps.get(step) {
            Some(&entered) if !rollout.ends_with(step) => {
                rollout.go(now, Phase::Stepping { step, since: now }, entered.weight, cause)
            }
            Some(_) | None if rollout.plan.bake.is_zero() => self.end(now, End::Promoted, cause),
            Some(_) | None => rollout.go(now, Phase::Baking { since: now }, Weight::FULL, cause),
        }
    }

    /// Ends the rollout, if one is under way.
    pub(super) fn end(&mut self, now: Timestamp, end: End, cause: Cause) -> Vec<Action> {
        let Some(rollout) = self.rollout.take() else { return Vec::new() };
        match end {
            End::Promoted if rollout.undoes => self.go_back(rollout.canary.clone()),
            End::Promoted => self.succeed(rollout.canary.clone()),
            End::Aborted => self.aborted |= self.wanted == rollout.canary,
            End::Superseded => {}
        }
        self.aborted &= self.wanted != self.stable;
        let (ended, actions) = rollout.end(now, end, cause);
        self.last = Some(ended);
        actions
    }

    /// The rollout under way, for a command that needs one.
    pub(super) fn under_way(&mut self) -> Result<&mut Rollout, Refused> {
        let stable = &self.stable;
        let aborted = self.aborted.then_some(&self.wanted);
        let refused = || Refused::NoRollout { stable: stable.clone(), aborted: aborted.cloned() };
        self.rollout.as_mut().ok_or_else(refused)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod table;
