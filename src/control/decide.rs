//! Save, then act. Only what lowers the canary acts first and is saved right after: weight 0 is always safe, and a slow
//! disk must not cost users. Nothing is shown as decided before it is saved.

use tracing::{error, info};

use super::control::{Control, Scope};
use super::handle::{Command, CommandError, Verb};
use super::journal::{Entry, Fact};
use super::report::ServiceStatus;
use super::service::Release;
use super::store::By;
use super::{compile, describe};
use crate::domain::rollout::{Action, Machine, Operator, Refused, Transition};
use crate::domain::{ServiceName, Timestamp};

impl Control {
    /// Carries out an operator's command and says how the service stands then.
    pub(crate) fn command(&mut self, command: &Command) -> Result<ServiceStatus, CommandError> {
        let by = By { who: command.who.clone(), why: command.why.clone() };
        let now = self.around.clock.now();
        self.on_record(&command.service, command.verb.to_string(), &by, |control| {
            control.known(&command.service)?;
            control.operate(&command.service, &command.verb, &by, now)
        })?;
        self.turn(Scope::Changed);
        describe::service_status(self, &command.service)
            .ok_or_else(|| CommandError::UnknownService(command.service.to_string()))
    }

    /// Tells the service's machine what an operator (or the config in its place) wants.
    pub(crate) fn operate(
        &mut self,
        name: &ServiceName,
        verb: &Verb,
        by: &By,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let Some(service) = self.services.get(name) else { return Ok(()) };
        let spec = service.spec.clone();
        let warm = match verb {
            Verb::Undo(to) => service.warm_for_undo(to.as_ref())?,
            Verb::Promote
            | Verb::PromoteFull
            | Verb::Abort
            | Verb::Pause
            | Verb::Resume
            | Verb::SetWeight(_)
            | Verb::Retry(_) => false,
        };
        self.decide(name, Some(by), |machine| {
            let salt = compile::salt(name, machine.next_number());
            let operator = match verb {
                Verb::Promote => Operator::Promote,
                Verb::PromoteFull => Operator::PromoteFull,
                Verb::Abort => Operator::Abort,
                Verb::Pause => Operator::Pause,
                Verb::Resume => Operator::Resume,
                Verb::SetWeight(weight) => Operator::SetWeight(*weight),
                Verb::Retry(version) => {
                    Operator::Retry { version: version.as_ref(), plan: &spec.rollout, salt }
                }
                Verb::Undo(to) => Operator::Undo { to: to.as_ref(), warm, plan: &spec.rollout, salt },
            };
            machine.operator(now, operator)
        })
    }

    /// Lets `change` move the service's machine, and sees to what follows.
    pub(crate) fn decide(
        &mut self,
        name: &ServiceName,
        by: Option<&By>,
        change: impl FnOnce(&mut Machine) -> Result<Vec<Action>, Refused>,
    ) -> Result<(), CommandError> {
        let now = self.around.clock.now();
        let Some(release) = self.release_of(name) else { return Ok(()) };
        let before = release.machine.clone();
        let actions =
            change(&mut release.machine).map_err(|refused| CommandError::Conflict(refused.to_string()))?;
        if actions.is_empty() {
            return Ok(());
        }
        let lowers = release.machine.retreats_from(&before);
        let entries = self.entries(name, &actions, by);
        if lowers {
            self.act(name, &actions, now);
            self.publish();
        }
        let saved = self.save(name, &entries, now);
        match saved {
            Ok(()) => {
                if !lowers {
                    self.act(name, &actions, now);
                }
                self.announce(name, &actions);
                Ok(())
            }
            Err(error) if lowers => {
                self.announce(name, &actions);
                self.keep_unsaved(name, entries);
                Err(CommandError::NotSaved(format!(
                    "done and in force, but not saved yet: {error}. It is saved as soon as it can be; until then a crash \
                     would take it back"
                )))
            }
            Err(error) => {
                if let Some(release) = self.release_of(name) {
                    release.machine = before;
                }
                // The requests failed, whatever was decided.
                let samples = entries.into_iter().filter(|entry| matches!(entry.fact, Fact::Sample(_)));
                samples.for_each(|sample| self.outbox.put(sample));
                Err(CommandError::NotSaved(format!("not done, because it can't be saved: {error}")))
            }
        }
    }

    /// Tries again to save what had to be acted on at once, or is not in the store for another reason.
    pub(crate) fn save_what_is_unsaved(&mut self, name: &ServiceName, now: Timestamp) {
        if self.release_of(name).is_none_or(|release| release.saved) {
            return;
        }
        // It says so itself when it can't, and the next turn tries again.
        let _saved = self.save(name, &[], now);
    }

    fn release_of(&mut self, name: &ServiceName) -> Option<&mut Release> {
        self.services.get_mut(name)?.release.as_mut()
    }

    fn act(&mut self, name: &ServiceName, actions: &[Action], now: Timestamp) {
        let workers = self.around.workers;
        let Some(service) = self.services.get_mut(name) else { return };
        let (spec, policy) = (service.spec.clone(), service.policy.clone());
        if let Some(release) = &mut service.release {
            release.act(actions, (&spec, &policy), workers, now);
        }
        service.dirty = true;
        service.take_up_policy();
    }

    fn save(&mut self, name: &ServiceName, entries: &[Entry], now: Timestamp) -> Result<(), String> {
        let Some(release) = self.services.get_mut(name).and_then(|service| service.release.as_mut()) else {
            return Ok(());
        };
        // What could not be written before comes first, so that the record keeps its order.
        let mut all = [release.unsaved.as_slice(), &self.outbox.entries(), entries].concat();
        all.sort_by_key(|entry| entry.at);
        match self.store.save(now, name, &release.machine, &all) {
            Ok(()) => {
                release.saved = true;
                release.unsaved.clear();
                self.outside.saved();
                self.problems.store = None;
                self.notes_written();
                Ok(())
            }
            Err(error) => {
                let text = error.to_string();
                if self.problems.store.as_ref() != Some(&text) {
                    error!(service = %name, error = text, "a decision could not be saved");
                }
                self.problems.store = Some(text.clone());
                Err(text)
            }
        }
    }

    /// A weight that was lowered stays lowered, and is saved later.
    fn keep_unsaved(&mut self, name: &ServiceName, entries: Vec<Entry>) {
        let Some(release) = self.release_of(name) else { return };
        release.saved = false;
        release.unsaved.extend(entries);
    }

    fn announce(&mut self, name: &ServiceName, actions: &[Action]) {
        for transition in transitions(actions) {
            self.around.metrics.transition(name, transition.to.as_str());
            info!(
                service = %name,
                rollout = transition.rollout,
                from = transition.from.as_str(),
                to = transition.to.as_str(),
                weight = %transition.weight,
                reason = %transition.reason,
                "rollout"
            );
        }
    }

    pub(crate) fn known(&self, name: &ServiceName) -> Result<(), CommandError> {
        match self.services.get(name) {
            None => {
                let known: Vec<_> = self.services.keys().map(ServiceName::as_str).collect();
                Err(CommandError::UnknownService(known.join(", ")))
            }
            Some(service) if service.release.is_none() => Err(CommandError::Conflict(format!(
                "service `{name}` has fixed weights and no rollouts; change `weights` in the config, or use `release`"
            ))),
            Some(_) => Ok(()),
        }
    }
}

fn transitions(actions: &[Action]) -> Vec<Transition> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Record(transition) => Some(transition.clone()),
            Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => None,
        })
        .collect()
}
