//! One service with all that can happen to it: a model of what control does around the machine.

use std::time::Duration;

use super::super::dice::Dice;
use super::{pick, seconds};
use crate::domain::rollout::{
    Action, Event, GateAnswer, Judge, Judgement, Machine, OnMaxTime, Operator, Otherwise, Outcome, PhaseName,
    Plan, Reason, Refused, SplitMode, Strategy, Transition, Wanted,
};
use crate::domain::stats::{ArmCounts, EpochCounts};
use crate::domain::{Timestamp, VersionName, Weight};

/// The versions there are.
const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// One service, its users, its store.
pub(super) struct World {
    seed: u64,
    dice: Dice,
    plan: Plan,
    release: VersionName,
    machine: Machine,
    judge: Option<(Judge, u32)>,
    now: Timestamp,
    /// What the data plane was told.
    routed: Weight,
    store: Store,
    /// Decided and acted on, since it lowered the weight, but not saved yet.
    unsaved: bool,
    weather: Weather,
    pub(super) ended: u32,
    pub(super) crashes: u32,
    pub(super) raised: u32,
}

struct Store {
    works: bool,
    machine: String,
}

/// How versions and users do.
struct Weather {
    per_second: f64,
    stable_up: bool,
    canary_up: bool,
    errors: f64,
    /// On top, for the canary alone.
    worse: f64,
    /// On top, for both.
    incident: f64,
}

impl World {
    pub(super) fn new(plan: Plan, mut dice: Dice, seed: u64) -> Self {
        let machine = Machine::first(VersionName::from("v1"));
        let weather = Weather {
            per_second: 10_f64.powf(3.0 * dice.unit()),
            stable_up: true,
            canary_up: true,
            errors: 0.02 * dice.unit() * dice.unit(),
            worse: 0.0,
            incident: 0.0,
        };
        let store = Store { works: true, machine: json(&machine) };
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let mut world = Self {
            seed,
            dice,
            plan,
            release: VersionName::from("v2"),
            machine,
            judge: None,
            now,
            routed: Weight::ZERO,
            store,
            unsaved: false,
            weather,
            ended: 0,
            crashes: 0,
            raised: 0,
        };
        world.turn();
        world
    }

    pub(super) fn something_happens(&mut self) {
        match pick(&mut self.dice, 100) {
            0..=54 => self.traffic(),
            55..=61 => self.weather.canary_up = !self.weather.canary_up,
            62..=64 => self.weather.stable_up = !self.weather.stable_up,
            65..=67 => self.weather.incident = if self.weather.incident > 0.0 { 0.0 } else { 0.5 },
            68..=70 => {
                self.weather.worse =
                    [0.0, 0.01, 0.2, 1.0][usize::try_from(pick(&mut self.dice, 4)).expect("few")];
            }
            71..=74 => self.store.works = !self.store.works,
            75..=79 => self.release = VERSIONS[usize::try_from(pick(&mut self.dice, 3)).expect("few")].into(),
            80..=86 => self.crash(),
            _ => self.operator(),
        }
        self.turn();
        self.check();
    }

    /// Traffic for a while, looked at now and then.
    fn traffic(&mut self) {
        let span = seconds(&mut self.dice, 600).as_secs_f64() / 10.0;
        for _ in 0..10 {
            let requests = self.weather.per_second * span;
            let weight = self.routed.fraction();
            let shared = (self.weather.errors + self.weather.incident).min(1.0);
            let counts = EpochCounts {
                canary: self.arm(requests * weight, (shared + self.weather.worse).min(1.0)),
                stable: self.arm(requests * (1.0 - weight), shared),
            };
            self.now = self.now + Duration::from_secs_f64(span);
            if let Some((judge, epoch)) = &mut self.judge {
                judge.feed(*epoch, counts, self.now);
            }
            self.turn();
        }
    }

    fn arm(&mut self, requests: f64, errors: f64) -> ArmCounts {
        let (good, failed) = (self.dice.count(requests * (1.0 - errors)), self.dice.count(requests * errors));
        ArmCounts { routed: good + failed, completed: good + failed, failed }
    }

    /// kill -9, and a start: the machine is what the store has, everything else is gone.
    fn crash(&mut self) {
        self.crashes += 1;
        self.store.works = true;
        self.machine = serde_json::from_str(&self.store.machine).expect("what was saved can be read");
        (self.judge, self.routed, self.unsaved) = (None, Weight::ZERO, false);
        let place = |machine: &Machine| {
            machine.rollout().map(|rollout| (rollout.number, machine.phase(), machine.step(), rollout.weight))
        };
        let before = place(&self.machine);
        self.tell(|machine, now| Ok(machine.on(now, Event::Restarted))).expect("told, not asked");
        assert_eq!(place(&self.machine), before, "seed {}: a restart goes nowhere", self.seed);
        assert_eq!(self.routed, Weight::ZERO, "seed {}: nobody has looked at the canary yet", self.seed);
        self.see();
        // What waited for the canary's endpoints goes on when they are there: that is no advance.
        if before.is_some_and(|(_, phase, _, _)| phase != PhaseName::Waiting) {
            assert_eq!(place(&self.machine), before, "seed {}: the same phase, step and weight", self.seed);
        }
        let counts = self.judge.as_ref().map(|(judge, _)| judge.assess(self.now).total);
        assert!(counts.is_none_or(|counts| counts == EpochCounts::default()), "seed {}", self.seed);
    }

    fn operator(&mut self) {
        let (plan, which) = (self.plan.clone(), pick(&mut self.dice, 10));
        let percent = f64::from(pick(&mut self.dice, 101));
        let warm = pick(&mut self.dice, 2) == 0;
        let aborts = which == 2 && self.machine.rollout().is_some();
        // A refusal changes nothing; that is checked where it is told.
        let _refused = self.tell(|machine, now| {
            let command = match which {
                0 | 1 => Operator::Promote,
                2 => Operator::Abort,
                3 => Operator::Pause,
                4 => Operator::Resume,
                5 => Operator::SetWeight(Weight::from_percent(percent).expect("0 to 100")),
                6 => Operator::PromoteFull,
                7 => Operator::Undo { to: None, warm, plan: &plan, salt: (5, 6) },
                _ => Operator::Retry { version: None, plan: &plan, salt: (3, 4) },
            };
            machine.operator(now, command)
        });
        if aborts {
            assert_eq!(self.routed, Weight::ZERO, "seed {}: an abort works, store or not", self.seed);
            assert!(self.machine.rollout().is_none(), "seed {}", self.seed);
        }
    }

    /// One turn of control.
    fn turn(&mut self) {
        if self.unsaved && self.store.works {
            self.store.machine = json(&self.machine);
            self.unsaved = false;
        }
        let (plan, release) = (self.plan.clone(), self.release.clone());
        let wanted = Wanted { release: &release, plan: &plan, salt: (1, 2) };
        let _unsaved = self.tell(|machine, now| Ok(machine.on(now, Event::Wanted(wanted))));
        self.hooks_answer();
        let judgement = self.judgement();
        self.see();
        if let Some(judgement) = judgement {
            let _unsaved = self.tell(|machine, now| Ok(machine.on(now, Event::Evidence(judgement))));
        }
        let _unsaved = self.tell(|machine, now| Ok(machine.on(now, Event::Time)));
    }

    /// Hooks take their time, and say what they like.
    fn hooks_answer(&mut self) {
        let asked = self.machine.rollout().and_then(|it| it.gate.as_ref()).is_some_and(|gate| !gate.open);
        if !asked || pick(&mut self.dice, 3) > 0 {
            return;
        }
        let shut = |then| GateAnswer::Shut { why: String::from("answered 503"), then };
        let answer = match pick(&mut self.dice, 6) {
            0 => shut(Otherwise::Pause),
            1 => shut(Otherwise::Abort),
            2 => shut(Otherwise::Continue),
            _ => GateAnswer::Open,
        };
        let _unsaved = self.tell(|machine, now| Ok(machine.on(now, Event::Gate(answer))));
    }

    fn see(&mut self) {
        let Weather { canary_up: canary, stable_up: stable, .. } = self.weather;
        let _unsaved = self.tell(|machine, now| Ok(machine.on(now, Event::Readiness { canary, stable })));
    }

    fn judgement(&mut self) -> Option<Judgement> {
        let (judge, _) = self.judge.as_mut()?;
        let rollout = self.machine.rollout()?;
        judge.tick(self.now);
        let assessment = judge.assess(self.now);
        let decision = rollout.decide(self.now, &assessment);
        Some(Judgement { decision, verdict: assessment.verdict(&rollout.plan.analysis) })
    }

    /// Save, then act; what only takes from the canary acts first.
    fn tell(
        &mut self,
        change: impl FnOnce(&mut Machine, Timestamp) -> Result<Vec<Action>, Refused>,
    ) -> Result<(), Refused> {
        let before = self.machine.clone();
        let actions = match change(&mut self.machine, self.now) {
            Ok(actions) => actions,
            Err(refused) => {
                assert_eq!(self.machine, before, "seed {}: a refusal changes nothing", self.seed);
                return Err(refused);
            }
        };
        if actions.is_empty() {
            return Ok(());
        }
        self.rises_only_with_leave(&before, &actions);
        let lowers = self.machine.retreats_from(&before);
        if self.store.works {
            self.store.machine = json(&self.machine);
            self.unsaved = false;
        } else if lowers {
            self.unsaved = true;
        } else {
            self.machine = before;
            return Ok(());
        }
        self.act(&actions);
        Ok(())
    }

    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::OpenEpoch { weight, step } => {
                    self.raised += u32::from(*weight > self.routed);
                    self.routed = *weight;
                    let analysis = &self.plan.analysis;
                    let new = || (Judge::new(analysis, SplitMode::Independent, self.now), 0);
                    let (judge, epoch) = self.judge.get_or_insert_with(new);
                    *epoch += 1;
                    judge.open_epoch(*epoch, *weight, *step, self.now);
                }
                Action::CloseEpoch => {
                    self.ended += 1;
                    (self.judge, self.routed) = (None, Weight::ZERO);
                }
                Action::Record(_) | Action::Save => {}
            }
        }
    }

    /// What was decided for a canary rises only by a successful verdict, an operator's command, or as the plan orders.
    fn rises_only_with_leave(&self, before: &Machine, actions: &[Action]) {
        let decided = |machine: &Machine| machine.rollout().map(|it| (it.number, it.weight));
        let Some((number, now)) = decided(&self.machine) else { return };
        let was = decided(before).filter(|(old, _)| *old == number).map_or(Weight::ZERO, |(_, was)| was);
        let leave = |record: &Transition| {
            let successful = record.verdict.as_ref().is_some_and(|it| it.outcome == Outcome::Successful);
            let first = record.from == PhaseName::Waiting && record.step == 1;
            let ordered = record.reason == Reason::NoHarm
                && self.plan.advance.on_max_time == OnMaxTime::AdvanceIfNoHarm;
            let previewed = record.reason == Reason::PreviewOver && self.plan.strategy == Strategy::BlueGreen;
            (record.reason == Reason::VerdictSuccessful && successful)
                || previewed
                || matches!(record.reason, Reason::Operator(_))
                || first
                || ordered
        };
        let recorded = actions.iter().any(|action| matches!(action, Action::Record(record) if leave(record)));
        assert!(now <= was || recorded, "seed {}: from {was} to {now}: {actions:?}", self.seed);
    }

    /// What holds at any moment.
    fn check(&self) {
        let seed = self.seed;
        assert_eq!(self.routed, self.machine.weight(), "seed {seed}: the data plane does what was decided");
        if !self.unsaved {
            assert_eq!(
                json(&self.machine),
                self.store.machine,
                "seed {seed}: what is shown survives a crash"
            );
        }
        let shares = VERSIONS.map(|name| self.machine.share_of(&name.into()).parts());
        assert_eq!(shares.iter().sum::<u32>(), Weight::PARTS, "seed {seed}: shares {shares:?}");
        match self.machine.rollout() {
            None => assert_eq!(self.routed, Weight::ZERO, "seed {seed}: no rollout, no canary"),
            Some(rollout) => {
                assert!(self.routed <= rollout.weight, "seed {seed}: {} of {}", self.routed, rollout.weight);
                assert!(
                    self.weather.canary_up || self.routed == Weight::ZERO || !self.store.works,
                    "seed {seed}"
                );
                assert_eq!(rollout.stable, *self.machine.stable(), "seed {seed}");
            }
        }
    }
}

fn json(machine: &Machine) -> String {
    serde_json::to_string(machine).expect("a machine is JSON")
}
