//! What the demo came to, for machines.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::error::DemoError;
use super::release::Release;

/// All releases, and whether they ended as they must.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// In order.
    pub(super) rollouts: Vec<Release>,
    /// The good version was promoted without a failure of its own, the bad one went back.
    pub(super) good: bool,
}

impl Summary {
    /// Of these releases: the good version first, then the bad one.
    pub(super) fn of(rollouts: Vec<Release>) -> Self {
        let outcomes: Vec<&str> = rollouts.iter().map(|release| release.outcome.as_str()).collect();
        let good = outcomes == ["promoted", "aborted"];
        Self { rollouts, good }
    }

    /// Writes it to standard output as one JSON document.
    pub(super) fn print(&self) -> Result<(), DemoError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{:#}", self.json()).and_then(|()| out.flush()).map_err(DemoError::Output)
    }

    fn json(&self) -> Value {
        let rollouts: Vec<Value> = self.rollouts.iter().map(Release::json).collect();
        json!({ "good": self.good, "rollouts": rollouts })
    }
}

impl Release {
    fn json(&self) -> Value {
        let verdict = self.verdict.as_ref();
        json!({
            "version": self.version,
            "outcome": self.outcome,
            "reason": self.reason,
            "steps": self.steps,
            "canary_requests": self.canary_requests,
            "canary_failures": self.canary_failures,
            "rescued": self.rescued,
            "user_requests": self.user_requests,
            "user_failures": self.user_failures,
            "seconds": (self.took.as_secs_f64() * 1000.0).round() / 1000.0,
            "evidence": verdict.map(|verdict| verdict.value),
            "bound": verdict.map(|verdict| verdict.bound),
            "verdict": verdict,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn release(version: &str, outcome: &str) -> Release {
        Release {
            version: version.to_owned(),
            outcome: outcome.to_owned(),
            reason: String::new(),
            steps: 4,
            canary_requests: 100,
            canary_failures: 1,
            rescued: 1,
            user_requests: 1000,
            user_failures: 1,
            took: Duration::from_millis(1500),
            verdict: None,
        }
    }

    #[test]
    fn only_promoted_then_aborted_is_good() {
        for (first, second, good) in [
            ("promoted", "aborted", true),
            ("promoted", "promoted", false),
            ("aborted", "aborted", false),
            ("promoted", "undecided", false),
        ] {
            let summary = Summary::of(vec![release("v2", first), release("v3", second)]);
            assert_eq!(summary.good, good, "{first}, {second}");
        }
        assert!(!Summary::of(vec![release("v2", "promoted")]).good);
    }

    #[test]
    fn the_summary_names_its_numbers() {
        let json = Summary::of(vec![release("v2", "promoted")]).json();
        let first = &json["rollouts"][0];
        assert_eq!((&first["version"], &first["outcome"]), (&json!("v2"), &json!("promoted")));
        assert_eq!((&first["canary_requests"], &first["canary_failures"]), (&json!(100), &json!(1)));
        assert_eq!((&first["user_failures"], &first["seconds"]), (&json!(1), &json!(1.5)));
        assert_eq!((&first["evidence"], &first["bound"]), (&Value::Null, &Value::Null));
    }
}
