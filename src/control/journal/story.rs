//! What the journal tells, as the API says it in JSON. These are contracts: add, never rename. A record that another version
//! of Adit wrote and that can't be understood is handed on as it is: it never makes the rest unreadable.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::report::rfc3339;
use crate::domain::rollout::{Reason, Verdict};
use crate::domain::stats::FailedRequest;
use crate::domain::{ServiceName, Timestamp, VersionName};

/// A page of rollouts, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutPage {
    /// The rollouts.
    pub rollouts: Vec<RolloutSummary>,
    /// `before` of the next page; `None` at the end.
    pub next: Option<u64>,
}

/// A rollout in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutSummary {
    /// Whose.
    pub service: ServiceName,
    /// Counts up per service from 1.
    pub number: u64,
    /// From.
    pub stable: VersionName,
    /// To.
    pub canary: VersionName,
    /// When it began (RFC 3339).
    pub started: String,
    /// When it ended (RFC 3339); `None` while under way.
    pub ended: Option<String>,
    /// `promoted` | `aborted` | `superseded`; `None` while under way.
    pub outcome: Option<String>,
    /// The phase after its last change.
    pub phase: String,
    /// Why it changed last.
    pub reason: String,
    /// The step that it got to, from 1; 0 before the first.
    pub step: u64,
    /// How many steps its plan had; `None` when that was not recorded.
    pub steps: Option<u64>,
    /// Who changed it last; `None`: Adit itself.
    pub who: Option<String>,
    /// Why, in that person's words.
    pub why: Option<String>,
}

/// A rollout from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutStory {
    /// What it comes to.
    #[serde(flatten)]
    pub rollout: RolloutSummary,
    /// How many of its first events are not told here, because there are too many; the event stream has all.
    #[serde(default)]
    pub left_out: usize,
    /// All that happened, oldest first; failed requests apart.
    pub timeline: Vec<Told>,
    /// Some of the requests that the canary failed, oldest first; at most 20.
    pub samples: Vec<Sample>,
}

/// One thing that happened in a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The event's number in the journal.
    pub id: u64,
    /// When (RFC 3339).
    pub at: String,
    /// `transition` | `command` | `verdict` | `ejection` | `containers`, or what a newer Adit wrote.
    pub kind: String,
    /// In words.
    pub text: String,
    /// Where the rollout went, if this is a transition.
    #[serde(default)]
    pub change: Option<Change>,
    /// The verdict that decided, or that was reached.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Whose doing; `None`: Adit's own.
    #[serde(default)]
    pub who: Option<String>,
    /// Why, in that person's words.
    #[serde(default)]
    pub why: Option<String>,
    /// The record as it was written, if it can't be understood here.
    #[serde(default)]
    pub raw: Option<Value>,
}

/// Where a rollout went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The phase before.
    pub from: String,
    /// The phase after.
    pub to: String,
    /// The step after, from 1; 0 before the first.
    pub step: u64,
    /// The canary's share after, in percent.
    pub weight: f64,
}

/// A request that the canary failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it ended (RFC 3339).
    pub at: String,
    /// Its method.
    pub method: String,
    /// Its path without the query, at most 256 bytes.
    pub path: String,
    /// What the canary answered; `None` when it gave no answer.
    pub status: Option<u16>,
    /// What went wrong: a token of RFC 9209, or `http_server_error`.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// As in the access log.
    pub request_id: String,
    /// The trace it belongs to, if the client said.
    pub trace_id: Option<String>,
    /// Who failed it.
    pub endpoint: Option<String>,
}

/// One event of the journal, as the event stream tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Counts up from 1; never used twice.
    pub id: u64,
    /// When (RFC 3339).
    pub at: String,
    /// To which service; `None`: to the whole program.
    pub service: Option<ServiceName>,
    /// In which rollout.
    pub rollout: Option<u64>,
    /// `transition` | `command` | `verdict` | `sample` | `config` | `ejection` | `containers` | `engine`.
    pub kind: String,
    /// Whose doing; `None`: Adit's own.
    pub who: Option<String>,
    /// Why, in that person's words.
    pub why: Option<String>,
    /// What happened, as it was recorded.
    pub record: Value,
}

impl EventRecord {
    /// As one thing of a rollout's story.
    pub(super) fn told(self) -> Told {
        let (text, understood) = words(&self.kind, &self.record);
        let change = (self.kind == "transition").then(|| Change::read(&self.record)).flatten();
        let verdict = match self.kind.as_str() {
            "verdict" => Some(&self.record),
            _ => self.record.get("verdict").filter(|verdict| !verdict.is_null()),
        };
        let read: Option<Option<Verdict>> = verdict.map(|value| serde_json::from_value(value.clone()).ok());
        let understood = understood
            && (self.kind != "transition" || change.is_some())
            && read.as_ref().is_none_or(Option::is_some);
        Told {
            id: self.id,
            at: self.at,
            text,
            change,
            verdict: read.flatten(),
            who: self.who,
            why: self.why,
            raw: (!understood).then_some(self.record),
            kind: self.kind,
        }
    }
}

impl Change {
    fn read(record: &Value) -> Option<Self> {
        let word = |key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            from: word("from")?,
            to: word("to")?,
            step: record.get("step")?.as_u64()?,
            weight: record.get("weight")?.as_f64()?,
        })
    }
}

impl From<&FailedRequest> for Sample {
    fn from(request: &FailedRequest) -> Self {
        Self {
            at: rfc3339(request.at),
            method: request.method.clone(),
            path: request.path.clone(),
            status: request.status,
            error: request.error.map(|reason| reason.as_str().to_owned()),
            duration_ms: (request.duration.as_secs_f64() * 1e6).round() / 1e3,
            request_id: request.request_id.clone(),
            trace_id: request.trace_id.clone(),
            endpoint: request.endpoint.map(|endpoint| endpoint.to_string()),
        }
    }
}

/// The record in words, and whether it was understood.
fn words(kind: &str, record: &Value) -> (String, bool) {
    let told = match kind {
        "transition" => reason(record),
        "verdict" => serde_json::from_value::<Verdict>(record.clone())
            .ok()
            .map(|verdict| format!("{:?}: {}", verdict.outcome, verdict.rule)),
        "command" => command(record),
        "config" => config(record),
        "ejection" => ejection(record),
        "containers" => containers(record),
        "engine" => engine(record),
        _ => None,
    };
    told.map_or_else(|| (format!("{kind}: {record}"), false), |text| (text, true))
}

/// Why a transition was made.
pub(super) fn reason(record: &Value) -> Option<String> {
    serde_json::from_value::<Reason>(record.get("reason")?.clone()).ok().map(|reason| reason.to_string())
}

fn command(record: &Value) -> Option<String> {
    let verb = record.get("verb")?.as_str()?;
    let outcome = match record.get("outcome")?.as_str()? {
        "done" => "done".to_owned(),
        other => other.replace('_', " "),
    };
    Some(match record.get("detail").and_then(Value::as_str) {
        Some(detail) => format!("{verb}: {outcome}: {detail}"),
        None => format!("{verb}: {outcome}"),
    })
}

fn config(record: &Value) -> Option<String> {
    let outcome = record.get("outcome")?.as_str()?;
    Some(match record.get("detail").and_then(Value::as_str) {
        Some(detail) => format!("config {outcome}: {detail}"),
        None => format!("config {outcome}"),
    })
}

fn ejection(record: &Value) -> Option<String> {
    let word = |key: &str| record.get(key).and_then(Value::as_str);
    Some(format!("{} of {} {}", word("endpoint")?, word("version")?, word("change")?))
}

fn containers(record: &Value) -> Option<String> {
    let what = record.get("what")?.as_str()?;
    Some(match record.get("container").and_then(Value::as_str) {
        Some(container) => format!("container {container}: {what}"),
        None => what.to_owned(),
    })
}

fn engine(record: &Value) -> Option<String> {
    let word = |key: &str| record.get(key).and_then(Value::as_str);
    Some(match word("state")? {
        "connected" => format!("container engine found: {}", word("detail")?),
        state => format!("container engine {state}: {}", word("detail")?),
    })
}

/// As SQLite keeps a moment.
pub(super) fn moment(micros: i64) -> String {
    rfc3339(Timestamp::from_micros(u64::try_from(micros).unwrap_or(0)))
}
