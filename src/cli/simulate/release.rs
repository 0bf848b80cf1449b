//! The release that is rehearsed, many times over.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use http::Method;

use super::Args;
use super::running::Load;
use crate::config::spec::ServiceSpec;
use crate::domain::Weight;
use crate::domain::rollout::rehearsal::{Fate, Rehearsal, Rescue, Stage, Traffic};
use crate::domain::rollout::{Plan, SplitMode};
use crate::domain::routing::{self, Affinity, Budget};

/// What is rehearsed.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) service: String,
    pub(super) plan: Plan,
    pub(super) split: SplitMode,
    pub(super) load: Load,
    pub(super) rescue: Rescue,
    /// Whose failures are rescued, in words; empty: nobody's.
    pub(super) rescued: String,
    pub(super) runs: u32,
    pub(super) seed: u64,
}

/// How one rehearsal went.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) fate: Fate,
    pub(super) time: Duration,
    pub(super) stages: Vec<Stage>,
    /// Places in `stages` that were not left before an operator had to do it.
    pub(super) stuck: Vec<usize>,
    pub(super) failures: u64,
    pub(super) unrescued: u64,
}

/// Who looks after the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// Nobody: a pause is its end.
    Away,
    /// Someone who promotes whenever it pauses.
    Promotes,
}

/// No plan takes longer than this many days without an operator.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);
impl Release {
    pub(super) fn new(service: &ServiceSpec, load: &Load, args: &Args) -> Self {
        let sticky = service.policy.affinity != Affinity::None;
        Self {
            service: service.name.to_string(),
            plan: service.rollout.clone(),
            split: if sticky { SplitMode::Realised } else { SplitMode::Independent },
            load: load.clone(),
            rescue: rescue(&service.policy.rescue),
            rescued: service.policy.rescue.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "),
            runs: args.runs,
            seed: args.seed,
        }
    }

    /// All runs with a canary that fails this share of its requests, in the order of their seeds.
    pub(super) fn rehearse(&self, canary: f64, operator: Operator) -> Vec<Run> {
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let seeds: Vec<u64> = (0..u64::from(self.runs)).map(|run| self.seed_of(run)).collect();
        let chunks = seeds.chunks(seeds.len().div_ceil(workers).max(1));
        thread::scope(|scope| {
            let work = |seeds: &[u64]| seeds.iter().map(|seed| self.run(canary, operator, *seed)).collect();
            let workers: Vec<_> =
                chunks.map(|seeds| scope.spawn(move || -> Vec<Run> { work(seeds) })).collect();
            let done = workers.into_iter().map(|worker| worker.join());
            done.flat_map(|runs| runs.expect("rehearsals never panic: the domain does not")).collect()
        })
    }

    fn run(&self, canary: f64, operator: Operator, seed: u64) -> Run {
        let mut rehearsal = Rehearsal::new(&self.plan, self.split, seed);
        let mut stuck = Vec::new();
        let fate = loop {
            let fate = rehearsal.run(self.traffic(canary), LONGEST);
            let waits = matches!(fate, Fate::Paused(_)) && operator == Operator::Promotes;
            let stage = rehearsal.stages().len().saturating_sub(1);
            if !waits || rehearsal.promote().is_err() {
                break fate;
            }
            stuck.push(stage);
        };
        Run {
            fate,
            time: rehearsal.time(),
            stages: rehearsal.stages().to_vec(),
            stuck,
            failures: rehearsal.seen().canary.failed,
            unrescued: rehearsal.unrescued(),
        }
    }

    pub(super) fn traffic(&self, canary: f64) -> Traffic {
        let Load { per_second, stable_errors, .. } = self.load;
        Traffic { per_second, stable: stable_errors, canary, rescue: self.rescue }
    }

    /// Different for different seeds and runs.
    pub(super) fn seed_of(&self, run: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003).wrapping_add(run)
    }
}

impl Run {
    /// How long the canary had users.
    pub(super) fn with_users(&self) -> Duration {
        let with_users = self.stages.iter().filter(|stage| stage.weight > Weight::ZERO);
        with_users.map(|stage| stage.time).sum()
    }
}

/// What the data plane allows. Each worker has a floor of its own; counted on is one.
fn rescue(policy: &routing::Rescue) -> Rescue {
    if policy.methods.is_empty() {
        return Rescue { share: 0.0, reserve: 0.0 };
    }
    let floor = u32::try_from(Budget::FLOOR * Budget::SECONDS).unwrap_or(u32::MAX);
    Rescue { share: policy.budget, reserve: f64::from(floor) }
}
