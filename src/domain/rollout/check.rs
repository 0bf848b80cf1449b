//! What else than the traffic has a say in the verdict: a query to Prometheus, or a URL.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A measurement from outside, taken again and again while a rollout is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Unique within the plan; shown in verdicts.
    pub name: String,
    /// Where the measurement comes from.
    pub source: Source,
    /// Between two measurements. Default 30 s.
    pub interval: Duration,
    /// For one measurement. Default 5 s.
    pub timeout: Duration,
    /// Measurements in a row beyond the bound that fail the rollout. Default 2.
    pub failures: u32,
    /// What no measurement means: no data, an error, no answer.
    pub no_data: NoData,
}

/// Where a measurement comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// An instant query; its result must be one number within the bounds.
    Prometheus {
        /// The server, like `http://127.0.0.1:9090`.
        address: String,
        /// The query, in PromQL.
        query: String,
        /// The smallest good value, if any.
        min: Option<f64>,
        /// The largest good value, if any.
        max: Option<f64>,
    },
    /// A GET; 2xx is good, every other status is not.
    Url {
        /// `http://` or `https://`.
        url: String,
    },
}

/// What no measurement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    /// The rollout does not advance without it.
    #[default]
    Hold,
    /// It counts as good.
    Pass,
    /// It counts as a failed measurement.
    Fail,
}

/// How a check stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The check's name.
    pub name: String,
    /// What it says.
    pub standing: Standing,
    /// The last measured value; `None` when there was none.
    pub value: Option<f64>,
    /// In words: `0.3, at most 0.1`, `no data`, `http://…: connection refused`.
    pub text: String,
}

/// What a check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing yet, or no data: what that means is the check's [`NoData`].
    #[default]
    Unknown,
    /// The last measurement was good.
    Good,
    /// The last measurement was beyond the bound, but not yet often enough to decide.
    Suspicious,
    /// Beyond the bound so often that the rollout has failed.
    Failed,
}
