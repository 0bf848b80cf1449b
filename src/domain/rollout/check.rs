//! What else than the traffic has a say in the verdict: a query to Prometheus, or a URL. What measurements mean is
//! decided here; taking them is not.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Advance, Decision, Judgement, OnMaxTime, Outcome, StepProgress, Verdict};
use crate::domain::{ServiceName, VersionName};

/// How the rule of a verdict begins that a check made.
const RULE: &str = "check ";
/// More of a query than this is not shown, in characters.
const SHOWN: usize = 200;

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
    /// A file with a bearer token, read anew for every measurement.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Where a measurement comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// An instant query; its result must be one number within the bounds.
    Prometheus {
        /// The server, like `http://127.0.0.1:9090`.
        address: String,
        /// The query, in PromQL, with [`Placeholder`]s.
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

/// What stands in a query for a name that is known only when the rollout runs: `{{service}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The service's name.
    Service,
    /// The version that users have.
    Stable,
    /// The version being released.
    Canary,
}

/// Whom a rollout's measurements are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which service.
    pub service: ServiceName,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
}

/// What one measurement gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A number. Neither NaN nor infinite.
    Number(f64),
    /// The status of a URL's answer.
    Status(u16),
    /// No measurement, and why: `no data`, `connection refused`.
    Nothing(String),
}

/// How the measurements of one check went so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    bad: u32,
    measured: Measured,
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
    /// Not measured yet, or no data where that holds the rollout ([`NoData::Hold`]).
    #[default]
    Unknown,
    /// The last measurement was good.
    Good,
    /// The last measurement was beyond the bound, but not yet often enough to decide.
    Suspicious,
    /// Beyond the bound so often that the rollout has failed.
    Failed,
}

/// Adds the checks' say to the judge's: one that failed ends the rollout whatever the evidence; one that is not good (yet)
/// keeps it from advancing, and `instead` is what an advance becomes then ([`held_back`]). No check ever makes an advance
/// that the evidence does not allow.
pub fn with_checks(judgement: Judgement, checks: &[(&Check, &Measured)], instead: Decision) -> Judgement {
    let standing = |wanted: &[Standing]| {
        checks.iter().find(|(_, measured)| wanted.contains(&measured.standing)).copied()
    };
    if judgement.is_failed() && judgement.decision == Decision::RollBack {
        return judgement;
    }
    if let Some((check, measured)) = standing(&[Standing::Failed]) {
        return Judgement {
            decision: Decision::RollBack,
            verdict: failed(check, measured, judgement.verdict),
        };
    }
    if judgement.decision != Decision::Advance {
        return judgement;
    }
    match standing(&[Standing::Unknown, Standing::Suspicious]) {
        Some((check, measured)) => {
            let rule = format!("waits for check {} ({})", check.name, measured.text);
            let verdict = Verdict { outcome: Outcome::Inconclusive, rule, ..judgement.verdict };
            Judgement { decision: instead, verdict }
        }
        None => judgement,
    }
}

/// What an advance becomes that a check holds back: undecided for too long is what `on_max_time` says, whoever it is that
/// can't decide.
pub fn held_back(step: StepProgress, advance: &Advance) -> Decision {
    if step.age < advance.max_time.max(step.pause) {
        return Decision::Hold;
    }
    match advance.on_max_time {
        OnMaxTime::Abort => Decision::RollBack,
        OnMaxTime::Pause | OnMaxTime::AdvanceIfNoHarm => Decision::Pause,
    }
}

fn failed(check: &Check, measured: &Measured, counted: Verdict) -> Verdict {
    let (rule, value, bound) = match &check.source {
        Source::Prometheus { query, min, max, .. } => {
            let value = measured.value;
            let below = min.filter(|min| value.is_some_and(|value| value < *min));
            let bound = below.or(*max).or(*min).unwrap_or_default();
            let query: String = query.chars().take(SHOWN).collect();
            let beyond = bounds(*min, *max);
            let rule = match value {
                Some(_) => format!("{RULE}{}: {query} {beyond}", check.name),
                None => format!("{RULE}{}: {query} {beyond} ({})", check.name, measured.text),
            };
            (rule, value.unwrap_or_default(), bound)
        }
        Source::Url { .. } => {
            let rule = format!("{RULE}{}: {}", check.name, measured.text);
            (rule, measured.value.unwrap_or_default(), 200.0)
        }
    };
    Verdict { outcome: Outcome::Failed, rule, value, bound, ..counted }
}

impl Verdict {
    /// Whether a check made it: then value and bound are the check's own, and no odds.
    pub fn is_of_check(&self) -> bool {
        self.rule.starts_with(RULE)
    }
}

impl Course {
    /// Not measured yet.
    pub fn new(check: &Check) -> Self {
        let text = "not measured yet".to_owned();
        let name = check.name.clone();
        Self { bad: 0, measured: Measured { name, standing: Standing::Unknown, value: None, text } }
    }

    /// Takes in a measurement. Without data the count of bad ones stands still, unless the check says what no data is.
    pub fn record(&mut self, check: &Check, reading: &Reading) {
        let (good, value, text) = match (reading, &check.source) {
            (Reading::Number(value), Source::Prometheus { min, max, .. }) => {
                let good = min.is_none_or(|min| *value >= min) && max.is_none_or(|max| *value <= max);
                (Some(good), Some(*value), format!("{}, {}", number(*value), bounds(*min, *max)))
            }
            (Reading::Number(value), Source::Url { .. }) => (None, Some(*value), number(*value)),
            (Reading::Status(status), _) => {
                let good = (200..300).contains(status);
                (Some(good), Some(f64::from(*status)), format!("answered {status}"))
            }
            (Reading::Nothing(why), _) => {
                let means = match check.no_data {
                    NoData::Hold => None,
                    NoData::Pass => Some(true),
                    NoData::Fail => Some(false),
                };
                (means, None, why.clone())
            }
        };
        let standing = match good {
            None => Standing::Unknown,
            Some(true) => {
                self.bad = 0;
                Standing::Good
            }
            Some(false) => {
                self.bad = self.bad.saturating_add(1);
                if self.bad >= check.failures { Standing::Failed } else { Standing::Suspicious }
            }
        };
        self.measured = Measured { name: check.name.clone(), standing, value, text };
    }

    /// How the check stands.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Service, Self::Stable, Self::Canary];

    /// As queries have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "{{service}}",
            Self::Stable => "{{stable}}",
            Self::Canary => "{{canary}}",
        }
    }
}

impl Subject {
    /// The query with all names filled in, as they have to stand in a quoted PromQL string.
    pub fn fill(&self, query: &str) -> String {
        Placeholder::ALL.iter().fold(query.to_owned(), |query, placeholder| {
            let name = match placeholder {
                Placeholder::Service => self.service.as_str(),
                Placeholder::Stable => self.stable.as_str(),
                Placeholder::Canary => self.canary.as_str(),
            };
            query.replace(placeholder.as_str(), &quoted(name))
        })
    }
}

/// As a part of a PromQL string literal with either kind of quotes.
fn quoted(name: &str) -> String {
    name.replace('\\', r"\\").replace('"', "\\\"").replace('\'', r"\'").replace('\n', r"\n")
}

fn bounds(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {} to {}", number(min), number(max)),
        (Some(min), None) => format!("at least {}", number(min)),
        (None, Some(max)) => format!("at most {}", number(max)),
        (None, None) => "without a bound".to_owned(),
    }
}

/// As short as it can be said to six digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{value:.3e}");
    }
    format!("{}", (value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn check(source: Source) -> Check {
        Check {
            name: "budget".to_owned(),
            source,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            failures: 2,
            no_data: NoData::Hold,
            token_file: None,
        }
    }

    fn query(min: Option<f64>, max: Option<f64>) -> Check {
        check(Source::Prometheus { address: "http://p".to_owned(), query: "sum(x)".to_owned(), min, max })
    }

    fn judged(decision: Decision, outcome: Outcome) -> Judgement {
        let verdict = Verdict {
            outcome,
            rule: "errors".to_owned(),
            value: 25.0,
            bound: 20.0,
            canary_requests: 100,
            canary_failures: 1,
            stable_requests: 900,
            stable_failures: 9,
            detail: Box::default(),
        };
        Judgement { decision, verdict }
    }

    fn advance() -> Judgement {
        judged(Decision::Advance, Outcome::Successful)
    }

    fn after(check: &Check, readings: &[Reading]) -> Measured {
        let mut course = Course::new(check);
        readings.iter().for_each(|reading| course.record(check, reading));
        course.measured().clone()
    }

    fn combined(judgement: Judgement, check: &Check, readings: &[Reading]) -> Judgement {
        let measured = after(check, readings);
        with_checks(judgement, &[(check, &measured)], Decision::Hold)
    }

    fn nothing() -> Reading {
        Reading::Nothing("no data".to_owned())
    }

    #[test]
    fn a_number_is_good_within_its_bounds_and_on_them() {
        let table = [
            (None, Some(0.1), 0.1, true, "0.1, at most 0.1"),
            (None, Some(0.1), 0.100_001, false, "0.100001, at most 0.1"),
            (Some(5.0), None, 5.0, true, "5, at least 5"),
            (Some(5.0), None, 4.9, false, "4.9, at least 5"),
            (Some(-1.0), Some(1.0), 0.0, true, "0, from -1 to 1"),
            (Some(-1.0), Some(1.0), -1e300, false, "-1.000e300, from -1 to 1"),
            (None, Some(1.0), 0.000_012, true, "1.200e-5, at most 1"),
        ];
        for (min, max, value, good, text) in table {
            let measured = after(&query(min, max), &[Reading::Number(value)]);
            let standing = if good { Standing::Good } else { Standing::Suspicious };
            assert_eq!((measured.standing, measured.text.as_str()), (standing, text));
        }
    }

    #[test]
    fn only_so_many_bad_measurements_in_a_row_fail() {
        let check = query(None, Some(1.0));
        let [good, bad] = [0.5, 1.5].map(Reading::Number);
        let standing = |readings: &[Reading]| after(&check, readings).standing;
        assert_eq!(standing(slice::from_ref(&bad)), Standing::Suspicious);
        assert_eq!(standing(&[bad.clone(), good.clone(), bad.clone()]), Standing::Suspicious);
        assert_eq!(standing(&[bad.clone(), bad.clone()]), Standing::Failed);
        assert_eq!(standing(&[bad.clone(), nothing()]), Standing::Unknown);
        assert_eq!(standing(&[bad.clone(), nothing(), bad.clone()]), Standing::Failed);
        assert_eq!(standing(&[bad.clone(), bad, good]), Standing::Good);
    }

    #[test]
    fn no_data_means_what_the_check_says() {
        let table = [
            (NoData::Hold, Standing::Unknown),
            (NoData::Pass, Standing::Good),
            (NoData::Fail, Standing::Failed),
        ];
        for (no_data, standing) in table {
            let check = Check { no_data, ..query(None, Some(1.0)) };
            let measured = after(&check, &[nothing(), nothing()]);
            assert_eq!((measured.standing, measured.text.as_str()), (standing, "no data"), "{no_data:?}");
        }
    }

    #[test]
    fn a_url_is_good_when_it_answers_2xx() {
        let smoke = check(Source::Url { url: "http://smoke".to_owned() });
        for (status, standing) in [(200, Standing::Good), (204, Standing::Good), (301, Standing::Suspicious)]
        {
            assert_eq!(after(&smoke, &[Reading::Status(status)]).standing, standing, "{status}");
        }
    }

    #[test]
    fn a_failed_check_ends_the_rollout_with_its_own_numbers() {
        let check = query(None, Some(0.1));
        let bad = [Reading::Number(0.3), Reading::Number(0.3)];
        for judgement in [advance(), judged(Decision::Hold, Outcome::Error)] {
            let Judgement { decision, verdict } = combined(judgement, &check, &bad);
            assert_eq!((decision, verdict.outcome), (Decision::RollBack, Outcome::Failed));
            assert_eq!(verdict.rule, "check budget: sum(x) at most 0.1");
            assert_eq!((verdict.value, verdict.bound, verdict.canary_requests), (0.3, 0.1, 100));
            assert!(verdict.is_of_check());
        }
    }

    #[test]
    fn the_bound_that_was_broken_is_the_one_that_is_told() {
        let check = query(Some(1.0), Some(9.0));
        let bound = |value| combined(advance(), &check, &[Reading::Number(value), Reading::Number(value)]);
        assert_eq!(bound(0.5).verdict.bound, 1.0);
        assert_eq!(bound(9.5).verdict.bound, 9.0);
    }

    #[test]
    fn a_canary_that_the_evidence_condemns_is_condemned_by_the_evidence() {
        let check = query(None, Some(0.1));
        let harm = judged(Decision::RollBack, Outcome::Failed);
        let bad = [Reading::Number(0.3), Reading::Number(0.3)];
        assert_eq!(combined(harm.clone(), &check, &bad), harm);
    }

    #[test]
    fn what_is_not_good_yet_holds_an_advance_and_nothing_else() {
        let check = query(None, Some(0.1));
        for readings in [vec![], vec![nothing()], vec![Reading::Number(0.3)]] {
            let held = combined(advance(), &check, &readings);
            assert_eq!((held.decision, held.verdict.outcome), (Decision::Hold, Outcome::Inconclusive));
            assert!(held.verdict.rule.starts_with("waits for check budget ("), "{held:?}");
            for decision in [Decision::Hold, Decision::Pause, Decision::RollBack] {
                let other = judged(decision, Outcome::Inconclusive);
                assert_eq!(combined(other.clone(), &check, &readings), other);
            }
        }
    }

    #[test]
    fn a_good_check_changes_nothing() {
        let check = query(None, Some(0.1));
        for decision in [Decision::Hold, Decision::Advance, Decision::Pause, Decision::RollBack] {
            let judgement = judged(decision, Outcome::Inconclusive);
            assert_eq!(combined(judgement.clone(), &check, &[Reading::Number(0.05)]), judgement);
        }
    }

    #[test]
    fn an_advance_held_back_until_max_time_follows_on_max_time() {
        let step = |secs| StepProgress { age: Duration::from_secs(secs), pause: Duration::ZERO };
        for (on_max_time, then) in [
            (OnMaxTime::Pause, Decision::Pause),
            (OnMaxTime::Abort, Decision::RollBack),
            (OnMaxTime::AdvanceIfNoHarm, Decision::Pause),
        ] {
            let advance = Advance { on_max_time, ..Advance::default() };
            assert_eq!(held_back(step(3599), &advance), Decision::Hold);
            assert_eq!(held_back(step(3600), &advance), then);
        }
    }

    #[test]
    fn names_in_a_query_are_filled_in_and_quoted() {
        let subject = Subject {
            service: ServiceName::from("web"),
            stable: VersionName::from("v1"),
            canary: VersionName::from("a\"b\\c"),
        };
        let filled = subject.fill("x{service=\"{{service}}\", version=~\"{{stable}}|{{canary}}\"}");
        assert_eq!(filled, "x{service=\"web\", version=~\"v1|a\\\"b\\\\c\"}");
    }
}
