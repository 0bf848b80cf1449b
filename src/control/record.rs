//! What control writes down beside its decisions: commands, changes of the verdict, ejections, configs. And what it lets go
//! of again, when the config says so.

use std::time::Duration;

use tracing::{info, warn};

use super::control::Control;
use super::handle::{CommandError, ReloadError, Reloaded};
use super::journal::{CommandOutcome, Entry, Fact};
use super::service::Release;
use super::store::By;
use crate::config::spec::Keep;
use crate::domain::rollout::{Action, Outcome, Verdict};
use crate::domain::{ServiceName, Timestamp, VersionName};
use crate::health::Change;

/// Between two notes about the verdict of one rollout: a judge that wavers must not fill the disk.
const VERDICT_PAUSE: Duration = Duration::from_secs(10);
/// Between two looks at what is too old to be kept.
const PRUNE_PAUSE: Duration = Duration::from_secs(86_400);

/// When the journal was shortened last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pruned {
    again: Timestamp,
    keep: Keep,
}

/// The verdict as it was written down last.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    at: Timestamp,
    rollout: u64,
    said: Option<(Outcome, String)>,
}

impl Control {
    /// Carries out what an operator says about a service (`verb`: as it is typed), and writes down who said it, why, and
    /// what came of it.
    pub(crate) fn on_record<T>(
        &mut self,
        name: &ServiceName,
        verb: String,
        by: &By,
        carry_out: impl FnOnce(&mut Self) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        info!(service = %name, verb, who = by.who, why = by.why, "command");
        self.note_command(name, verb, by);
        let came = carry_out(self);
        self.note_outcome(name, came.as_ref().err());
        came
    }

    /// Remembers that a command was given; it is written with what follows from it.
    fn note_command(&mut self, name: &ServiceName, verb: String, by: &By) {
        let service = self.services.get(name);
        let machine = service.and_then(|service| service.release.as_ref()).map(|release| &release.machine);
        let entry = Entry {
            at: self.around.clock.now(),
            service: service.map(|_| name.clone()),
            rollout: machine.and_then(|machine| machine.rollout()).map(|rollout| rollout.number),
            fact: Fact::Command { verb, outcome: CommandOutcome::Done, detail: None },
            by: Some(by.clone()),
        };
        self.outbox.put(entry);
    }

    /// Adds what came of the last command, and writes it down unless that happened with a decision.
    fn note_outcome(&mut self, name: &ServiceName, error: Option<&CommandError>) {
        let (said, why) = match error {
            None => (CommandOutcome::Done, None),
            Some(CommandError::NotSaved(why)) => (CommandOutcome::NotSaved, Some(why.clone())),
            Some(CommandError::UnknownService(_)) => {
                (CommandOutcome::Refused, Some(format!("there is no service `{name}`")))
            }
            Some(
                CommandError::Conflict(why)
                | CommandError::AmbiguousEndpoint(why)
                | CommandError::UnknownEndpoint(why)
                | CommandError::UnknownVersion(why),
            ) => (CommandOutcome::Refused, Some(why.clone())),
            Some(CommandError::Stopped) => (CommandOutcome::Refused, None),
        };
        // What was written is gone from the outbox: then it was done.
        if let Some(Fact::Command { outcome, detail, .. }) = self.outbox.last_command() {
            (*outcome, *detail) = (said, why);
        }
        self.write_notes();
    }

    /// Remembers that the judge changed its mind.
    pub(crate) fn note_verdict(&mut self, name: &ServiceName, verdict: &Verdict, now: Timestamp) {
        let Some(release) = self.services.get_mut(name).and_then(|service| service.release.as_mut()) else {
            return;
        };
        let Some(rollout) = release.machine.rollout().map(|rollout| rollout.number) else { return };
        if release.is_news(rollout, verdict, now) {
            self.outbox.put(Entry {
                at: now,
                service: Some(name.clone()),
                rollout: Some(rollout),
                fact: Fact::Verdict(verdict.clone()),
                by: None,
            });
        }
    }

    /// Remembers that an endpoint was ejected or came back, if its version is part of a rollout.
    pub(crate) fn note_ejection(
        &mut self,
        name: &ServiceName,
        version: &VersionName,
        endpoint: &str,
        change: &Change,
    ) {
        let release = self.services.get(name).and_then(|service| service.release.as_ref());
        let Some(rollout) = release.and_then(|release| release.machine.rollout()) else { return };
        if *version == rollout.canary || *version == rollout.stable {
            self.outbox.put(Entry {
                at: self.around.clock.now(),
                service: Some(name.clone()),
                rollout: Some(rollout.number),
                fact: Fact::Ejection {
                    version: version.clone(),
                    endpoint: endpoint.to_owned(),
                    change: change.to_string(),
                },
                by: None,
            });
        }
    }

    /// Writes down what became of a config.
    pub(crate) fn note_config(&mut self, came: &Result<Reloaded, ReloadError>, by: Option<By>) {
        let (generation, detail) = match came {
            Ok(reloaded) => (Some(reloaded.generation), None),
            Err(ReloadError::Invalid(why) | ReloadError::Refused(why)) => (None, Some(why.clone())),
            Err(ReloadError::Stopped) => return,
        };
        let fact = Fact::Config { generation, detail };
        let at = self.around.clock.now();
        self.outbox.put(Entry { at, service: None, rollout: None, fact, by });
        self.write_notes();
    }

    /// What is to be written of a decision: samples of what it rests on, then its transitions.
    pub(crate) fn entries(&mut self, name: &ServiceName, actions: &[Action], by: Option<&By>) -> Vec<Entry> {
        let release = self.services.get_mut(name).and_then(|service| service.release.as_mut());
        let Some(release) = release else { return Vec::new() };
        let mut entries = Vec::new();
        for action in actions {
            match action {
                Action::Record(transition) => {
                    let ends = transition.to.end().is_some();
                    let samples = release.evidence.as_mut().map(|it| it.samples(ends)).unwrap_or_default();
                    let rollout = transition.rollout;
                    entries.extend(samples.into_iter().map(|it| Entry::sample(name, rollout, it)));
                    entries.push(Entry::transition(name, transition.clone(), by));
                }
                Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => {}
            }
        }
        if !entries.is_empty() {
            release.noted = None;
        }
        entries
    }

    /// Writes down what waits, if anything does. What can't be written stays, and is tried again.
    pub(crate) fn write_notes(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        match self.store.note(&self.outbox.entries()) {
            Ok(()) => {
                self.notes_written();
                if self.services.values().all(|service| service.release.as_ref().is_none_or(|it| it.saved)) {
                    self.problems.store = None;
                }
            }
            Err(error) => self.store_fails("the journal could not be written", &error.to_string()),
        }
    }

    /// All that waited is on the disk.
    pub(crate) fn notes_written(&mut self) {
        let lost = self.outbox.written();
        if lost > 0 {
            warn!(lost, "notes of the journal are lost: the disk took nothing for too long");
        }
    }

    /// Lets go of what is too old, once a day, in pieces.
    pub(crate) fn prune(&mut self, now: Timestamp) {
        let keep = self.spec.keep;
        if now < self.pruned.again && keep == self.pruned.keep {
            return;
        }
        self.pruned = Pruned { again: now + PRUNE_PAUSE, keep };
        match self.store.prune(now, keep) {
            // The next piece comes with the next turn.
            Ok(true) => self.pruned.again = now,
            Ok(false) => {}
            Err(error) => self.store_fails("the journal could not be shortened", &error.to_string()),
        }
    }

    fn store_fails(&mut self, what: &str, error: &str) {
        if self.problems.store.as_deref() != Some(error) {
            warn!(error, "{what}");
        }
        self.problems.store = Some(error.to_owned());
    }
}

impl Release {
    /// Whether this verdict is another than the one that was written down last, and that long enough ago.
    fn is_news(&mut self, rollout: u64, verdict: &Verdict, now: Timestamp) -> bool {
        let first = || Noted { at: now, rollout, said: None };
        let noted = self.noted.get_or_insert_with(first);
        if noted.rollout != rollout {
            *noted = first();
        }
        // The metric that leads, without the numbers that come with it.
        let rule = verdict.rule.split(':').next().unwrap_or_default();
        let same =
            noted.said.as_ref().is_some_and(|(outcome, led)| *outcome == verdict.outcome && led == rule);
        if same || now - noted.at < VERDICT_PAUSE {
            return false;
        }
        *noted = Noted { at: now, rollout, said: Some((verdict.outcome, rule.to_owned())) };
        true
    }
}
