//! How a service wants its new versions released.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Check, Hook};
use crate::domain::Weight;

/// The plan of a rollout. Has at least one step; weights rise from step to step and the last is 100 %
/// (the config sees to it). Only the canary strategy judges its last step; with the others it is one with the bake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How users are moved.
    #[serde(default)]
    pub strategy: Strategy,
    /// The steps. Default 1, 5, 25, 50, 100 %; blue-green: [`Plan::switch`]; all at once: [`Plan::at_once`].
    pub steps: Vec<Step>,
    /// Who ends the preview of a blue-green rollout.
    #[serde(default)]
    pub promotion: Promotion,
    /// When a step is left.
    pub advance: Advance,
    /// How long to wait for the canary's endpoints to be ready before giving up. Default 10 min.
    pub ready_timeout: Duration,
    /// What a failed verdict does.
    pub on_failure: OnFailure,
    /// How long the old version is kept warm after 100 %. Default 0: promoted at once; blue-green: 10 min.
    pub bake: Duration,
    /// The statistics' settings.
    pub analysis: Analysis,
    /// Who is asked or told at which point; none by default.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// What else than the traffic is looked at; nothing by default.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// How users are moved to the new version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Step by step, each step judged.
    #[default]
    Canary,
    /// All of them in one switch, after the new version could be looked at; the old one stays warm in the bake.
    BlueGreen,
    /// All of them as soon as every endpoint of the new version is ready.
    AllAtOnce,
}

/// Who ends the preview of a blue-green rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// Adit, once its time is over and nothing speaks against the new version.
    #[default]
    Auto,
    /// An operator.
    Manual,
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The canary's share.
    pub weight: Weight,
    /// How long to stay at the least; zero by default.
    pub pause: Duration,
}

/// When a step is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// Not before so many canary requests ended in this step. Default 50.
    pub min_requests: u64,
    /// Not before so long. Default 30 s.
    pub min_time: Duration,
    /// Undecided for so long: see `on_max_time`. Default 1 h.
    pub max_time: Duration,
    /// What then happens.
    pub on_max_time: OnMaxTime,
}

/// What happens when the evidence of a step stays undecided until `max_time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnMaxTime {
    /// The rollout pauses at its weight.
    #[default]
    Pause,
    /// The rollout is aborted.
    Abort,
    /// It goes on if nothing speaks against it: total evidence below 1 : 1, at least 50 canary requests, and proven not
    /// worse by five points. Else it pauses.
    AdvanceIfNoHarm,
}

/// What a failed verdict does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Weight 0, the rollout ends.
    #[default]
    Abort,
    /// The rollout pauses at the weight that it has, and an operator decides.
    Freeze,
}

/// Settings of the statistics. ANALYSIS sections 2, 3, 5, 6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Chance to abort a healthy canary, over the whole rollout. Between 0 and 0.5. Default 0.01.
    pub alpha: f64,
    /// Aborted beyond this.
    pub tolerated_rise: ToleratedRise,
    /// Advanced once proven within this.
    pub promote_margin: PromoteMargin,
    /// Absolute guard at every weight; `None`: 5 %, and only while no stable runs beside. Between 0 and 1.
    pub max_error_rate: Option<f64>,
    /// Whether and how the time to the first byte of an answer is compared. `None`: not at all.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// Judges and records, but neither advances nor ends anything: operators do.
    #[serde(default)]
    pub dry_run: bool,
}

/// How latency is compared. ANALYSIS section 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Which of stable's quantiles are looked at: any of 0.5, 0.9 and 0.99, each once. Default: all three.
    pub quantiles: Vec<f64>,
    /// How many times as slow as stable's a canary's answer may be before it counts as slow; 1 to 16, kept to the next
    /// bucket edge (4.4 %). Default 1.189: four buckets.
    pub tolerated: f64,
}

/// A canary's error rate is tolerated up to `relative × stable's + absolute`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToleratedRise {
    /// At least 1. Default 1.10.
    pub relative: f64,
    /// 0 to 1. Default 0.0002.
    pub absolute: f64,
}

/// A step is left once the error rate is proven below `relative × stable's + absolute`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromoteMargin {
    /// At least 1. Default 1.25.
    pub relative: f64,
    /// Above 0, up to 1. Default 0.005.
    pub absolute: f64,
    /// Chance to advance a canary that is worse than the margin, per step. Default 0.05.
    pub alpha: f64,
}

impl Plan {
    /// The steps of a blue-green rollout: a preview of this length without users, then all of them.
    pub fn switch(preview: Duration) -> Vec<Step> {
        let all = Step { weight: Weight::FULL, pause: Duration::ZERO };
        vec![Step { weight: Weight::ZERO, pause: preview }, all]
    }

    /// The only step of an all-at-once rollout.
    pub fn at_once() -> Vec<Step> {
        vec![Step { weight: Weight::FULL, pause: Duration::ZERO }]
    }
}

impl Strategy {
    /// As the config spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::AllAtOnce => "all-at-once",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Default for Plan {
    fn default() -> Self {
        let step = |percent: f64| Step {
            weight: Weight::from_percent(percent).unwrap_or(Weight::FULL),
            pause: Duration::ZERO,
        };
        Self {
            strategy: Strategy::default(),
            promotion: Promotion::default(),
            steps: [1.0, 5.0, 25.0, 50.0, 100.0].map(step).to_vec(),
            advance: Advance::default(),
            ready_timeout: Duration::from_secs(600),
            on_failure: OnFailure::default(),
            bake: Duration::ZERO,
            analysis: Analysis::default(),
            hooks: Vec::new(),
            checks: Vec::new(),
        }
    }
}

impl Default for Advance {
    fn default() -> Self {
        Self {
            min_requests: 50,
            min_time: Duration::from_secs(30),
            max_time: Duration::from_secs(3600),
            on_max_time: OnMaxTime::default(),
        }
    }
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            tolerated_rise: ToleratedRise { relative: 1.10, absolute: 0.0002 },
            promote_margin: PromoteMargin { relative: 1.25, absolute: 0.005, alpha: 0.05 },
            max_error_rate: None,
            latency: None,
            dry_run: false,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self { quantiles: vec![0.5, 0.9, 0.99], tolerated: 1.189 }
    }
}
