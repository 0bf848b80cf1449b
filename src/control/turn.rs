//! One turn: each service decides, then all of it is published at once.

use std::sync::Arc;

use tracing::warn;

use super::control::{Control, Scope, TICK};
use super::service::ServiceState;
use super::{compile, describe};
use crate::domain::ServiceName;
use crate::domain::rollout::Event;
use crate::domain::routing::Snapshot;
use crate::health::Change;

impl Control {
    /// Everything that may follow from what came: each service decides, then all of it is published at once.
    pub(crate) fn turn(&mut self, scope: Scope) {
        let concerned = self.services.iter().filter(|(_, service)| scope == Scope::All || service.moves());
        let names: Vec<_> = concerned.map(|(name, _)| name.clone()).collect();
        if scope == Scope::All {
            self.next_tick = self.around.clock.now() + TICK;
        }
        if self.services.values().any(ServiceState::can_let_go) {
            self.reconcile();
        }
        self.pass_answers_on();
        for name in &names {
            self.eject(name);
            self.advance(name);
        }
        if scope == Scope::All {
            self.let_lingering_go();
            self.recover();
        }
        self.follow_rollouts();
        self.publish();
        self.reach_out();
        if scope == Scope::All {
            self.take_apart();
            self.write_notes();
            self.prune(self.around.clock.now());
        }
        self.tell_first_round();
    }

    /// Compiles what changed and hands it to the workers.
    pub(crate) fn publish(&mut self) {
        let changed = self.services.values().any(|service| service.dirty || service.compiled.is_none());
        let current = self.around.live.load();
        let limits = self.spec.limits.clone();
        if changed
            || !Arc::ptr_eq(&current.matcher, &self.matcher)
            || current.limits != limits
            || current.trusted != self.spec.trusted_proxies
        {
            self.generation += 1;
            let services = self.services.values_mut().map(compile::refreshed).collect();
            let replaced = self.around.live.swap(Arc::new(Snapshot {
                generation: self.generation,
                matcher: self.matcher.clone(),
                services,
                trusted: self.spec.trusted_proxies.clone(),
                limits,
                unrouted: self.unrouted.clone(),
            }));
            self.around.published.notify_waiters();
            self.take_apart();
            self.replaced.push(replaced);
        }
        let now = self.around.clock.now();
        if changed || now >= self.next_series {
            self.around.metrics.publish(describe::series(self));
            self.next_series = now + TICK;
        }
    }

    /// Lets go of the snapshots that no worker has any more.
    fn take_apart(&mut self) {
        self.replaced.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// Ejects and lets back in, by the endpoints' own answers.
    fn eject(&mut self, name: &ServiceName) {
        let now = self.around.clock.now();
        let Some(service) = self.services.get_mut(name) else { return };
        for (version, endpoint, change) in service.judge_outliers(now) {
            if let Change::Ejected { .. } = &change {
                self.around.metrics.ejected(name, &version);
            }
            warn!(service = %name, %version, %endpoint, "{change}");
            self.note_ejection(name, &version, &endpoint.to_string(), &change);
        }
    }

    /// Tells the service's machine all that may move it.
    pub(crate) fn advance(&mut self, name: &ServiceName) {
        let now = self.around.clock.now();
        self.save_what_is_unsaved(name, now);
        self.want(name, now);
        let Some(service) = self.services.get_mut(name) else { return };
        service.watch_times(now);
        let Some(release) = &mut service.release else { return };
        let judgement = release.judge(now);
        let readiness = service.readiness();
        // A decision that could not be saved is not made; the next turn comes to it again.
        let _made = self.decide(name, None, |machine| Ok(machine.on(now, readiness)));
        self.watch_stable(name, now);
        if let Some(judgement) = judgement {
            self.note_verdict(name, &judgement.verdict, now);
            let _made = self.decide(name, None, |machine| Ok(machine.on(now, Event::Evidence(judgement))));
        }
        let _made = self.decide(name, None, |machine| Ok(machine.on(now, Event::Time)));
        self.replace_lost_stable(name, now);
    }

    fn tell_first_round(&mut self) {
        if self.first_round.is_some() && self.services.values().all(ServiceState::checked) {
            // The program may have gone on without waiting; then nobody listens.
            let _gone = self.first_round.take().map(|told| told.send(()));
        }
    }
}
