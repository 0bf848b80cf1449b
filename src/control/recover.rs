//! Containers that stay unhealthy are restarted, where the config says so. What decides is told facts; every restart is on
//! record before it is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};
use tracing::{info, warn};

use super::control::Control;
use super::journal::{Entry, Fact};
use super::service::ServiceState;
use super::store::By;
use crate::config::spec::{HealthSpec, Recover};
use crate::domain::container::{Engine, Health, Run, Withheld};
use crate::domain::rollout::Phase;
use crate::domain::{ServiceName, Timestamp, VersionName};
use crate::health::Condition;
use crate::provider::docker::Restart;

/// A container must have been ill for as long, whatever its checks' pace.
const LEAST: Duration = Duration::from_secs(30);
/// After a restart the next one waits as long; twice as long each time that it did not help.
const PAUSE: Duration = Duration::from_secs(300);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// How a container stands, as far as it is a matter of restarting it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    id: String,
    name: String,
    version: VersionName,
    /// Why it is ill: it runs, and it or we find that it does not answer as it should.
    ill: Option<&'static str>,
    /// It must have been ill for so long.
    patience: Duration,
    usable: bool,
}

/// What the rollout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing<'a> {
    /// None is under way.
    Idle,
    /// This version is judged: that its containers are ill is evidence, and no restart may take it away.
    Judging(&'a VersionName),
    /// Someone looks at it by hand.
    Paused,
}

/// What is known of the containers of a service that are, or were, ill.
#[derive(Debug, Default)]
pub(crate) struct Sickroom {
    cases: BTreeMap<String, Case>,
}

#[derive(Debug, Default)]
struct Case {
    ill_since: Option<Timestamp>,
    /// The last restart, unless it was good for long since.
    restarted: Option<Timestamp>,
    /// Since when it is good, after a restart.
    good_since: Option<Timestamp>,
    /// Restarts since it was good last.
    times: u32,
}

/// Restarts that the engine has not answered yet.
#[derive(Default)]
pub(crate) struct Recoveries {
    rooms: BTreeMap<ServiceName, Sickroom>,
    asked: Vec<Asked>,
}

struct Asked {
    service: ServiceName,
    container: String,
    answer: oneshot::Receiver<Result<(), String>>,
}

impl Sickroom {
    /// Notes how the containers stand.
    fn look(&mut self, now: Timestamp, all: &[Facts]) {
        // One that is being restarted is away for a while, and is still the same when it is back.
        let lately = |case: &Case| case.restarted.is_some_and(|at| now - at <= LONGEST);
        self.cases.retain(|id, case| lately(case) || all.iter().any(|facts| facts.id == *id));
        for facts in all {
            if facts.ill.is_none() && !facts.usable && !self.cases.contains_key(&facts.id) {
                continue;
            }
            let case = self.cases.entry(facts.id.clone()).or_default();
            case.ill_since = facts.ill.map(|_| case.ill_since.unwrap_or(now));
            // A moment in which it is good after each restart cures nothing.
            case.good_since = facts.usable.then(|| case.good_since.unwrap_or(now));
            if case.good_since.is_some_and(|since| now - since >= case.pause()) {
                (case.restarted, case.times, case.good_since) = (None, 0, None);
            }
        }
        self.cases.retain(|_, case| case.ill_since.is_some() || case.restarted.is_some());
    }

    /// Whom to restart: the one that has been ill for longest, if it was for long enough and its last restart is long ago;
    /// one at a time in a service, never one of a version that is being judged, none while a rollout is paused. A container
    /// that is ill is none that is healthy: the last healthy one is never restarted.
    fn choose<'a>(&self, now: Timestamp, all: &'a [Facts], standing: Standing<'_>) -> Option<&'a Facts> {
        if standing == Standing::Paused || self.cases.values().any(|case| case.is_under_way(now)) {
            return None;
        }
        let since = |facts: &Facts| self.cases.get(&facts.id).and_then(|case| case.ill_since);
        all.iter()
            .filter(|facts| !facts.usable && standing != Standing::Judging(&facts.version))
            .filter(|facts| since(facts).is_some_and(|since| now - since >= facts.patience.max(LEAST)))
            .filter(|facts| self.cases.get(&facts.id).is_none_or(|case| case.may_again(now)))
            .min_by_key(|facts| since(facts))
    }

    fn restarted(&mut self, now: Timestamp, id: &str) {
        let case = self.cases.entry(id.to_owned()).or_default();
        (case.restarted, case.times, case.ill_since) = (Some(now), case.times.saturating_add(1), None);
    }
}

impl Case {
    /// It was restarted and is not good yet; whoever does not come back in time holds up no other.
    fn is_under_way(&self, now: Timestamp) -> bool {
        self.good_since.is_none() && self.restarted.is_some_and(|at| now - at < PAUSE)
    }

    fn may_again(&self, now: Timestamp) -> bool {
        self.restarted.is_none_or(|at| now - at >= self.pause())
    }

    /// From the last restart to the next, and for how long it must be good until the last one is forgotten.
    fn pause(&self) -> Duration {
        PAUSE.saturating_mul(1 << self.times.saturating_sub(1).min(8)).min(LONGEST)
    }
}

impl Control {
    /// Restarts whom the rules name, and takes in how earlier restarts went.
    pub(crate) fn recover(&mut self) {
        self.hear_of_restarts();
        let connected = |engine: &Engine| matches!(engine, Engine::Connected { .. });
        if !self.sighting.as_ref().is_some_and(|sighting| connected(&sighting.engine)) {
            return;
        }
        let now = self.around.clock.now();
        let mut chosen = Vec::new();
        let rooms = &mut self.recoveries.rooms;
        rooms.retain(|name, _| self.services.get(name).is_some_and(recovers));
        for (name, service) in self.services.iter().filter(|(_, service)| recovers(service)) {
            let all = facts(service);
            let room = rooms.entry(name.clone()).or_default();
            room.look(now, &all);
            if let Some(facts) = room.choose(now, &all, standing(service)) {
                let since = room.cases.get(&facts.id).and_then(|case| case.ill_since).unwrap_or(now);
                chosen.push((name.clone(), facts.clone(), now - since));
            }
        }
        for (name, facts, ill_for) in chosen {
            self.restart(&name, &facts, ill_for, now);
        }
    }

    fn restart(&mut self, name: &ServiceName, facts: &Facts, ill_for: Duration, now: Timestamp) {
        let Some(restarts) = self.around.restarts.clone() else { return };
        let why = format!("{} for {} s", facts.ill.unwrap_or_default(), ill_for.as_secs());
        let entry = self.recovery(name, &facts.name, "a restart is asked for".to_owned(), Some(why.clone()));
        if let Err(error) = self.store.note(&[entry]) {
            // What is not on record is not done; the next turn tries again.
            self.problems.store = Some(error.to_string());
            return;
        }
        warn!(service = %name, version = %facts.version, container = facts.name, why, "container is restarted");
        self.recoveries.rooms.entry(name.clone()).or_default().restarted(now, &facts.id);
        let (reply, answer) = oneshot::channel();
        let asked = Asked { service: name.clone(), container: facts.name.clone(), answer };
        match restarts.try_send(Restart { container: facts.id.clone(), reply }) {
            Ok(()) => self.recoveries.asked.push(asked),
            Err(_full) => self.note_restart(&asked, Err("the engine has too much to do".to_owned())),
        }
    }

    fn hear_of_restarts(&mut self) {
        let mut waiting = Vec::new();
        for mut asked in std::mem::take(&mut self.recoveries.asked) {
            match asked.answer.try_recv() {
                Ok(came) => self.note_restart(&asked, came),
                Err(TryRecvError::Empty) => waiting.push(asked),
                Err(TryRecvError::Closed) => {
                    self.note_restart(&asked, Err("the engine was not reached".to_owned()));
                }
            }
        }
        self.recoveries.asked = waiting;
    }

    fn note_restart(&mut self, asked: &Asked, came: Result<(), String>) {
        let what = match came {
            Ok(()) => {
                self.around.metrics.container_restarted(&asked.service);
                "was restarted".to_owned()
            }
            Err(why) => format!("could not be restarted: {why}"),
        };
        info!(service = %asked.service, container = asked.container, "{what}");
        let entry = self.recovery(&asked.service, &asked.container, what, None);
        self.outbox.put(entry);
    }

    fn recovery(&self, name: &ServiceName, container: &str, what: String, why: Option<String>) -> Entry {
        let release = self.services.get(name).and_then(|service| service.release.as_ref());
        Entry {
            at: self.around.clock.now(),
            service: Some(name.clone()),
            rollout: release.and_then(|it| it.machine.rollout()).map(|rollout| rollout.number),
            fact: Fact::Containers { container: Some(container.to_owned()), what },
            by: Some(By { who: "adit".to_owned(), why }),
        }
    }
}

fn recovers(service: &ServiceState) -> bool {
    service.spec.recover == Recover::Restart
}

fn standing(service: &ServiceState) -> Standing<'_> {
    match service.release.as_ref().and_then(|release| release.machine.rollout()) {
        None => Standing::Idle,
        Some(rollout) if matches!(rollout.phase, Phase::Paused { .. }) => Standing::Paused,
        Some(rollout) => Standing::Judging(&rollout.canary),
    }
}

fn facts(service: &ServiceState) -> Vec<Facts> {
    let mut all = Vec::new();
    for (version, state) in &service.versions {
        let health = state.spec.health.as_ref().unwrap_or(&service.spec.health);
        for endpoint in &state.endpoints {
            let Some(container) = &endpoint.container else { continue };
            let ill = match (endpoint.withheld(), endpoint.check.condition) {
                _ if container.run != Run::Running => None,
                (Some(Withheld::NotHealthy(Health::Unhealthy)), _) => Some("its own health check fails"),
                (_, Condition::Down) => Some("Adit's checks fail"),
                _ => None,
            };
            all.push(Facts {
                id: container.id.clone(),
                name: container.name.clone(),
                version: version.clone(),
                ill,
                patience: patience(health),
                usable: endpoint.usable(),
            });
        }
    }
    all
}

/// Three times as long as it takes to find out that an endpoint fails.
fn patience(health: &HealthSpec) -> Duration {
    health.interval.saturating_mul(health.fall).saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn at(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    fn one(id: &str, version: &str, ill: bool) -> Facts {
        Facts {
            id: id.to_owned(),
            name: id.to_owned(),
            version: version.into(),
            ill: ill.then_some("ill"),
            patience: Duration::from_secs(18),
            usable: !ill,
        }
    }

    fn chosen(room: &Sickroom, seconds: u64, all: &[Facts], standing: Standing<'_>) -> Option<String> {
        room.choose(at(seconds), all, standing).map(|facts| facts.id.clone())
    }

    #[test]
    fn who_is_ill_for_long_enough_is_restarted() {
        for (patience, seconds, restarted) in
            [(18, 29, false), (18, 30, true), (90, 89, false), (90, 90, true)]
        {
            let all = [Facts { patience: Duration::from_secs(patience), ..one("a", "v1", true) }];
            let mut room = Sickroom::default();
            room.look(START, &all);
            assert_eq!(
                chosen(&room, seconds, &all, Standing::Idle).is_some(),
                restarted,
                "{patience} s, after {seconds}"
            );
        }
    }

    #[test]
    fn who_was_good_in_between_is_not_ill_for_long() {
        let mut room = Sickroom::default();
        room.look(START, &[one("a", "v1", true)]);
        room.look(at(20), &[one("a", "v1", false)]);
        let all = [one("a", "v1", true)];
        room.look(at(21), &all);
        assert_eq!(chosen(&room, 50, &all, Standing::Idle), None);
        assert_eq!(chosen(&room, 51, &all, Standing::Idle), Some("a".to_owned()));
    }

    #[test]
    fn a_canary_that_is_judged_and_a_service_whose_rollout_is_paused_are_left_alone() {
        let (v1, v2) = (VersionName::from("v1"), VersionName::from("v2"));
        let all = [one("a", "v1", true)];
        let mut room = Sickroom::default();
        room.look(START, &all);
        for (standing, restarted) in [
            (Standing::Idle, true),
            (Standing::Judging(&v2), true),
            (Standing::Judging(&v1), false),
            (Standing::Paused, false),
        ] {
            assert_eq!(chosen(&room, 60, &all, standing).is_some(), restarted, "{standing:?}");
        }
    }

    #[test]
    fn one_at_a_time_and_who_does_not_come_back_holds_up_no_other() {
        let all = [one("a", "v1", true), one("b", "v1", true), one("c", "v1", false)];
        let mut room = Sickroom::default();
        room.look(START, &all);
        room.restarted(at(40), "a");
        room.look(at(41), &all);
        assert_eq!(chosen(&room, 41, &all, Standing::Idle), None);
        assert_eq!(chosen(&room, 40 + 300, &all, Standing::Idle), Some("b".to_owned()));
    }

    #[test]
    fn the_next_waits_no_longer_than_the_first_takes_to_be_good() {
        let mut room = Sickroom::default();
        let all = [one("a", "v1", true), one("b", "v1", true)];
        room.look(START, &all);
        room.restarted(at(40), "a");
        let good = [one("a", "v1", false), one("b", "v1", true)];
        room.look(at(50), &good);
        assert_eq!(chosen(&room, 50, &good, Standing::Idle), Some("b".to_owned()));
    }

    #[test]
    fn a_moment_of_health_after_a_restart_is_no_cure_but_a_long_one_is() {
        let mut room = Sickroom::default();
        let (ill, well) = ([one("a", "v1", true)], [one("a", "v1", false)]);
        room.look(START, &ill);
        room.restarted(at(30), "a");
        room.look(at(35), &well);
        room.look(at(40), &ill);
        assert_eq!(chosen(&room, 300, &ill, Standing::Idle), None, "the last restart is not 300 s ago");
        assert_eq!(chosen(&room, 331, &ill, Standing::Idle), Some("a".to_owned()));
        room.look(at(331), &well);
        room.look(at(640), &well);
        room.look(at(641), &ill);
        assert_eq!(chosen(&room, 672, &ill, Standing::Idle), Some("a".to_owned()), "it was good for 300 s");
    }

    #[test]
    fn restarts_that_do_not_help_become_rarer_up_to_one_an_hour() {
        let all = [one("a", "v1", true)];
        let mut room = Sickroom::default();
        room.look(START, &all);
        let mut now = 100;
        for pause in [300, 600, 1200, 2400, 3600, 3600] {
            assert_eq!(chosen(&room, now, &all, Standing::Idle), Some("a".to_owned()), "at {now}");
            room.restarted(at(now), "a");
            room.look(at(now + 1), &all);
            assert_eq!(chosen(&room, now + pause - 1, &all, Standing::Idle), None, "within {pause} s");
            now += pause;
        }
    }

    #[test]
    fn a_container_that_is_away_while_it_restarts_is_not_forgotten() {
        let all = [one("a", "v1", true)];
        let mut room = Sickroom::default();
        room.look(START, &all);
        room.restarted(at(40), "a");
        room.look(at(41), &[]);
        room.look(at(45), &all);
        assert_eq!(chosen(&room, 339, &all, Standing::Idle), None);
    }

    #[test]
    fn what_is_known_of_containers_that_are_gone_or_good_is_let_go() {
        let mut room = Sickroom::default();
        room.look(START, &[one("a", "v1", true), one("b", "v1", true), one("c", "v1", false)]);
        assert_eq!(room.cases.len(), 2);
        room.look(at(1), &[one("b", "v1", false)]);
        assert_eq!(room.cases.len(), 0, "{room:?}");
    }
}
