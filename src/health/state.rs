//! One endpoint's active health as its own state diagram:
//!
//! ```text
//! New --1 success--> Up --`fall` failures in a row--> Down --`rise` successes in a row--> Up
//! ```

use std::fmt;
use std::time::Duration;

use super::span::Span;
use crate::config::spec::HealthSpec;
use crate::domain::Timestamp;

/// While an endpoint may be about to change its condition it is checked this often.
pub(super) const QUICK: Duration = Duration::from_millis(500);
/// A new one is checked this often at first: whoever waits for it waits for its first good answer.
pub(super) const EAGER: Duration = Duration::from_millis(100);
/// An endpoint that has been down for [`PATIENCE`] is checked this often.
const SLOW: Duration = Duration::from_secs(5);
/// How long a condition counts as fresh.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the checks of one endpoint have shown so far.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckState {
    /// Whether it may get requests.
    pub condition: Condition,
    /// Equal results in a row: successes count up from 1, failures down from -1; 0 before the first check.
    pub streak: i64,
    /// The last check; `None` before the first.
    pub last: Option<LastCheck>,
    since: Timestamp,
}

/// Whether an endpoint may get requests, by its active checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Never passed a check: gets no requests.
    New,
    /// Fit for requests.
    Up,
    /// Failed too often in a row: gets no requests.
    Down,
}

/// One check that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct LastCheck {
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub result: ProbeResult,
}

/// How a check ended. `Display` says it to people: `200 in 1.2 ms`, `connection refused`.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeResult {
    /// The endpoint is fit.
    Passed {
        /// The answer's status, 200 to 299; `None`: only a connection was asked for.
        status: Option<u16>,
        /// From the start of connecting to the end of the answer.
        took: Duration,
    },
    /// The endpoint is not fit, or could not be asked.
    Failed(ProbeError),
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// Nobody listens at the address.
    Refused,
    /// No connection, for the reason given by the system.
    Connect(String),
    /// No complete answer within the check's timeout.
    TimedOut(Duration),
    /// The connection ended before a complete answer.
    Closed,
    /// No TLS connection came about, or the endpoint is not whom we trust; the reason follows.
    Tls(String),
    /// The answer is not HTTP; the reason follows.
    NotHttp(String),
    /// The health check of gRPC did not say `SERVING`; what it said follows.
    Grpc(String),
    /// The status is neither 200 to 299 nor a redirect.
    Status(u16),
    /// A redirect. Checks don't follow it: where it leads says nothing about this endpoint.
    Redirect {
        /// 300 to 399.
        status: u16,
        /// The `Location` field, if it is readable; long ones are cut.
        to: Option<String>,
    },
    /// The check's path or host can't be sent; the reason follows.
    Unsendable(String),
    /// The check could not be made for a reason on our side (out of file descriptors, a bug): says nothing about the
    /// endpoint.
    Ours(String),
}

impl CheckState {
    /// An endpoint that nobody has checked yet.
    pub fn new(now: Timestamp) -> Self {
        Self { condition: Condition::New, streak: 0, last: None, since: now }
    }

    /// Takes in a check that ended `now`, and returns the new condition if that changed it.
    ///
    /// A check that could not be made for a reason of ours is shown as the last one but changes neither streak nor
    /// condition: running out of file descriptors must not take every endpoint down.
    pub fn record(&mut self, now: Timestamp, result: ProbeResult, spec: &HealthSpec) -> Option<Condition> {
        match &result {
            ProbeResult::Passed { .. } => self.streak = self.streak.max(0).saturating_add(1),
            ProbeResult::Failed(ProbeError::Ours(_)) => {}
            ProbeResult::Failed(_) => self.streak = self.streak.min(0).saturating_sub(1),
        }
        self.last = Some(LastCheck { at: now, result });
        let next = self.follows(spec);
        if next == self.condition {
            return None;
        }
        self.condition = next;
        self.since = now;
        Some(next)
    }

    /// The time from one check to the next, without jitter: the interval; 500 ms while the condition may be about to
    /// change (a new endpoint: from 100 ms to 500 ms for its first minute, a tenth of its age); 5 s once it has been down for a minute. A shorter interval is
    /// never lengthened by the first, nor a longer one shortened by the second.
    pub fn pace(&self, now: Timestamp, spec: &HealthSpec) -> Duration {
        let fresh = now - self.since < PATIENCE;
        match self.condition {
            Condition::New if fresh => spec.interval.min(((now - self.since) / 10).clamp(EAGER, QUICK)),
            Condition::Up if self.streak < 0 => spec.interval.min(QUICK),
            Condition::Down if self.streak > 0 => spec.interval.min(QUICK),
            Condition::Down if !fresh => spec.interval.max(SLOW),
            Condition::New | Condition::Up | Condition::Down => spec.interval,
        }
    }

    /// Something else says that it may be ready now: while it is new, it counts as fresh again.
    pub(super) fn refresh(&mut self, now: Timestamp) {
        if self.condition == Condition::New {
            self.since = now;
        }
    }

    /// Since when it is in its condition.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    fn follows(&self, spec: &HealthSpec) -> Condition {
        // The first success counts at once: a new endpoint has no bad past to live down.
        let rise = i64::from(spec.rise.max(1));
        let fall = i64::from(spec.fall.max(1));
        match self.condition {
            Condition::New if self.streak > 0 => Condition::Up,
            Condition::Up if self.streak <= -fall => Condition::Down,
            Condition::Down if self.streak >= rise => Condition::Up,
            unchanged @ (Condition::New | Condition::Up | Condition::Down) => unchanged,
        }
    }
}

impl ProbeResult {
    /// Whether the endpoint is fit.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed { .. })
    }
}

impl fmt::Display for ProbeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { status: Some(status), took } => write!(f, "{status} in {}", Span(*took)),
            Self::Passed { status: None, took } => write!(f, "connected in {}", Span(*took)),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Connect(reason) => write!(f, "no connection: {reason}"),
            Self::TimedOut(after) => write!(f, "timed out after {}", Span(*after)),
            Self::Closed => f.write_str("closed the connection before a complete answer"),
            Self::Tls(reason) => write!(f, "TLS: {reason}"),
            Self::NotHttp(reason) => write!(f, "the answer is not HTTP: {reason}"),
            Self::Grpc(said) => write!(f, "gRPC health check: {said}"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Redirect { status, to: Some(to) } => {
                write!(f, "answered {status}, a redirect to {to}, which checks don't follow")
            }
            Self::Redirect { status, to: None } => {
                write!(f, "answered {status}, a redirect, which checks don't follow")
            }
            Self::Unsendable(reason) => write!(f, "the check can't be sent: {reason}"),
            Self::Ours(reason) => write!(f, "the check could not be made: {reason}"),
        }
    }
}

impl std::error::Error for ProbeError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn passed() -> ProbeResult {
        ProbeResult::Passed { status: Some(200), took: Duration::from_micros(1_240) }
    }

    fn failed() -> ProbeResult {
        ProbeResult::Failed(ProbeError::Refused)
    }

    /// The conditions after each of `results`: `+` passed, `-` failed, `!` could not be made.
    fn conditions(results: &str) -> Vec<Option<Condition>> {
        let mut state = CheckState::new(START);
        let result = |letter| match letter {
            '+' => passed(),
            '-' => failed(),
            _ => ProbeResult::Failed(ProbeError::Ours("too many open files".into())),
        };
        results.chars().map(|letter| state.record(START, result(letter), &HealthSpec::default())).collect()
    }

    #[test]
    fn each_change_needs_its_number_of_results_in_a_row() {
        use Condition::{Down, Up};
        for (results, changes) in [
            ("+", vec![Some(Up)]),
            ("----", vec![None; 4]),
            ("--+", vec![None, None, Some(Up)]),
            ("+---", vec![Some(Up), None, None, Some(Down)]),
            ("+--+--", vec![Some(Up), None, None, None, None, None]),
            ("+---+-++", vec![Some(Up), None, None, Some(Down), None, None, None, Some(Up)]),
            ("+--!-", vec![Some(Up), None, None, None, Some(Down)]),
            ("!!!!", vec![None; 4]),
        ] {
            assert_eq!(conditions(results), changes, "{results}");
        }
    }

    #[test]
    fn checks_are_quick_while_the_condition_may_change_and_slow_after_a_minute_down() {
        let spec = HealthSpec::default();
        let minute = START + PATIENCE;
        let mut state = CheckState::new(START);
        assert_eq!(state.pace(START, &spec), EAGER, "new");
        assert_eq!(
            state.pace(START + Duration::from_secs(3), &spec),
            Duration::from_millis(300),
            "new for 3 s"
        );
        assert_eq!(state.pace(START + Duration::from_secs(9), &spec), QUICK, "new for 9 s");
        assert_eq!(state.pace(minute, &spec), spec.interval, "new for a minute");
        state.record(START, passed(), &spec);
        assert_eq!(state.pace(minute, &spec), spec.interval, "up");
        state.record(START, failed(), &spec);
        assert_eq!(state.pace(START, &spec), QUICK, "failing");
        state.record(START, failed(), &spec);
        state.record(START, failed(), &spec);
        assert_eq!(state.pace(START, &spec), spec.interval, "just down");
        assert_eq!(state.pace(minute, &spec), SLOW, "down for a minute");
        state.record(minute, passed(), &spec);
        assert_eq!(state.pace(minute, &spec), QUICK, "rising");
    }

    #[test]
    fn a_pace_of_the_users_own_is_kept() {
        let hasty = HealthSpec { interval: Duration::from_millis(100), ..HealthSpec::default() };
        assert_eq!(CheckState::new(START).pace(START, &hasty), hasty.interval);
        let rare = HealthSpec { interval: Duration::from_secs(30), fall: 1, ..HealthSpec::default() };
        let mut state = CheckState::new(START);
        state.record(START, passed(), &rare);
        state.record(START, failed(), &rare);
        assert_eq!(state.pace(START + PATIENCE, &rare), rare.interval);
    }

    #[test]
    fn a_result_reads_as_people_say_it() {
        let redirect = |to| ProbeError::Redirect { status: 302, to };
        for (result, text) in [
            (passed(), "200 in 1.2 ms"),
            (ProbeResult::Passed { status: None, took: Duration::from_micros(400) }, "connected in 0.4 ms"),
            (failed(), "connection refused"),
            (ProbeResult::Failed(ProbeError::TimedOut(Duration::from_secs(1))), "timed out after 1 s"),
            (ProbeResult::Failed(ProbeError::Status(503)), "answered 503"),
            (
                ProbeResult::Failed(redirect(Some("/login".into()))),
                "answered 302, a redirect to /login, which checks don't follow",
            ),
            (ProbeResult::Failed(redirect(None)), "answered 302, a redirect, which checks don't follow"),
        ] {
            assert_eq!(result.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_change_is_always_earned(results in prop::collection::vec(any::<bool>(), 0..60), rise in 1u32..5, fall in 1u32..5) {
            let spec = HealthSpec { rise, fall, ..HealthSpec::default() };
            let mut state = CheckState::new(START);
            for passes in results {
                let before = state.condition;
                let change = state.record(START, if passes { passed() } else { failed() }, &spec);
                prop_assert_eq!(change, (before != state.condition).then_some(state.condition));
                prop_assert_eq!(state.streak > 0, passes);
                let earned = match (before, change) {
                    (Condition::New, Some(Condition::Up)) => state.streak == 1,
                    (Condition::Up, Some(Condition::Down)) => state.streak == -i64::from(fall),
                    (Condition::Down, Some(Condition::Up)) => state.streak == i64::from(rise),
                    (_, None) => true,
                    (Condition::New | Condition::Up | Condition::Down, Some(_)) => false,
                };
                prop_assert!(earned, "{before:?} -> {change:?} after {}", state.streak);
            }
        }
    }
}
