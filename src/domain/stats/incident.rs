//! Is stable itself failing, now? Then what breaks may be shared, and the canary is not to blame (ANALYSIS section 3).

use std::time::Duration;

use super::guard::{alone, average};
use super::{ArmCounts, Coefficients, GUARD_ALTERNATIVES, Margin, guard_coefficients, promote_log_e};
use crate::domain::Timestamp;

/// Watches stable with the same bets as the canary's guard, but about *now*: what spoke for stable is forgotten (no
/// bet falls below 0), so that hours of health do not hide an incident's first seconds, and what speaks against it is
/// capped, so that a long incident does not outlive itself.
#[derive(Clone, Debug)]
pub struct StableWatch {
    limit: f64,
    bets: [Coefficients; GUARD_ALTERNATIVES],
    log_e: [f64; GUARD_ALTERNATIVES],
    /// Stable's failures since no bet was above 0.
    failures: u64,
    incident: Option<Incident>,
}

#[derive(Clone, Copy, Debug)]
struct Incident {
    until: Timestamp,
    /// What the canary did meanwhile.
    canary: ArmCounts,
}

/// ln 20: the evidence at which stable counts as failing, and a canary as proven sound.
const BOUND: f64 = 2.995_732_273_553_991;
/// No single bet grows beyond this; alone it is still well above the bound (which is ln 20 + ln 8 for one bet).
const CAP: f64 = 2.0 * BOUND;
/// Fewer failures than the canary's guard itself needs are no incident.
const FAILURES: u64 = 3;
/// An incident is over when there was no sign of it for so long: the requests that it still holds have ended by then.
const AFTERMATH: Duration = Duration::from_secs(60);

impl StableWatch {
    /// Nothing seen yet. `limit`: the share of failures that the guard allows, between 0 and 1.
    pub fn new(limit: f64) -> Self {
        Self {
            limit,
            bets: guard_coefficients(limit),
            log_e: [0.0; GUARD_ALTERNATIVES],
            failures: 0,
            incident: None,
        }
    }

    /// Tells what stable and the canary did at the same time.
    pub fn feed(&mut self, stable: ArmCounts, canary: ArmCounts, now: Timestamp) {
        self.incident = self.incident.filter(|incident| now < incident.until);
        for (log_e, bet) in self.log_e.iter_mut().zip(&self.bets) {
            *log_e = (*log_e + bet.evidence(alone(stable))).clamp(0.0, CAP);
        }
        let quiet = self.log_e.iter().all(|log_e| *log_e <= 0.0);
        self.failures = if quiet { 0 } else { self.failures + stable.failed };
        if self.failures >= FAILURES && average(self.log_e) >= BOUND {
            let canary = self.incident.map_or(ArmCounts::default(), |incident| incident.canary);
            self.incident = Some(Incident { until: now + AFTERMATH, canary });
        }
        if let Some(incident) = &mut self.incident {
            incident.canary = incident.canary.plus(canary);
        }
    }

    /// Stable gets no traffic any more: nothing is known of it.
    pub fn forget(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Whether stable breaks the guard, or did less than a minute ago.
    pub fn failing(&self, now: Timestamp) -> bool {
        self.incident.is_some_and(|incident| now < incident.until)
    }

    /// Whether stable shows a first sign of failing. Then the canary's guard must not decide: at equal traffic it is
    /// chance which of the two shows an incident first.
    pub fn uneasy(&self) -> bool {
        average(self.log_e) >= std::f64::consts::LN_2
    }

    /// Whether the incident may be the canary's too. A canary that is proven to stay below the limit while stable
    /// does not is no victim of it but may be the cure: a broken stable must not block its fix.
    pub fn shared(&self, now: Timestamp) -> bool {
        let within = Margin { relative: 1.0, absolute: self.limit };
        self.incident.is_some_and(|incident| {
            // Any share serves: without stable's counts it has no part in the evidence.
            now < incident.until && promote_log_e(alone(incident.canary), 0.5, within) < BOUND
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch(Duration::from_secs(seconds))
    }

    fn arm(completed: u64, failed: u64) -> ArmCounts {
        ArmCounts { routed: completed, completed, failed }
    }

    #[test]
    fn an_incident_is_seen_at_once_after_hours_of_health() {
        let mut watch = StableWatch::new(0.05);
        (0..7200).for_each(|second| watch.feed(arm(90, 0), arm(10, 0), at(second)));
        watch.feed(arm(3, 3), arm(0, 0), at(7200));
        assert!(watch.failing(at(7200)));
    }

    #[test]
    fn an_hour_long_incident_is_over_a_minute_after_its_last_sign() {
        let mut watch = StableWatch::new(0.05);
        (0..3600).for_each(|second| watch.feed(arm(90, 60), arm(10, 7), at(second)));
        (3600..3662).for_each(|second| watch.feed(arm(90, 1), arm(10, 0), at(second)));
        assert!(!watch.failing(at(3662)), "{watch:?}");
    }

    #[test]
    fn two_failures_are_no_incident() {
        let mut watch = StableWatch::new(0.05);
        watch.feed(arm(2, 2), arm(0, 0), at(0));
        assert!(!watch.failing(at(0)));
    }

    #[test]
    fn one_failure_makes_uneasy_until_good_requests_follow() {
        let mut watch = StableWatch::new(0.05);
        assert!(!watch.uneasy());
        watch.feed(arm(1, 1), arm(0, 0), at(0));
        assert!(watch.uneasy() && !watch.failing(at(0)));
        watch.feed(arm(20, 0), arm(0, 0), at(1));
        assert!(!watch.uneasy());
    }

    #[test]
    fn a_canary_that_stays_sound_while_stable_fails_does_not_share_the_incident() {
        let mut watch = StableWatch::new(0.05);
        watch.feed(arm(90, 30), arm(10, 0), at(0));
        assert!(watch.shared(at(0)), "ten good requests prove nothing");
        (1..10).for_each(|second| watch.feed(arm(90, 30), arm(10, 0), at(second)));
        assert!(watch.failing(at(9)) && !watch.shared(at(9)), "{watch:?}");
    }

    #[test]
    fn a_canary_that_fails_as_well_shares_the_incident() {
        let mut watch = StableWatch::new(0.05);
        (0..600).for_each(|second| watch.feed(arm(90, 27), arm(10, 3), at(second)));
        assert!(watch.shared(at(599)));
    }
}
