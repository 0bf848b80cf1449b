//! Passive ejection: takes an endpoint out for a while because its own answers were bad.
//!
//! ```text
//! In --failures--> Ejected --time served--> Probation --a success--> In
//!                     ^---------------a failure----'
//! ```
//!
//! Pure: all endpoints of one version are judged together, because nobody may be ejected who is the last.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use super::span::Span;
use super::window::{self, Totals, Window};
use crate::config::spec::EjectSpec;
use crate::domain::{Timestamp, Weight};

/// Fewer attempts than this within the window say nothing about a share.
const MIN_ATTEMPTS: u64 = 20;
/// An ejection lasts up to this much longer, so that those ejected together don't all come back together.
const JITTER: f64 = 0.2;

/// One endpoint's record. `Display` says how it stands and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    place: Place,
    /// What it was last ejected for; forgotten with the last of `times`.
    why: Option<Why>,
    window: Window,
}

/// Where an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Gets requests.
    In {
        /// Ejections not yet lived down; one less for each `base` without another.
        times: u32,
        /// Since when the next one is being lived down.
        since: Timestamp,
    },
    /// Gets none.
    Ejected {
        /// When it comes back on probation.
        until: Timestamp,
        /// Ejections in a row, this one included.
        times: u32,
    },
    /// Gets one request at a time, until one went well (back in) or badly (ejected again).
    Probation {
        /// Since when.
        since: Timestamp,
        /// Ejections in a row so far.
        times: u32,
        /// What it had counted by then.
        before: Sample,
    },
}

/// An endpoint's counters, summed over all workers, since its record was made.
///
/// Workers count a failure before the attempt it belongs to: read `attempts` first and no failure is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Attempts that ended, well or badly.
    pub attempts: u64,
    /// Attempts that the endpoint failed.
    pub failures: u64,
    /// Failures in a row.
    pub streak: u32,
}

/// An endpoint that is judged.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its record.
    pub record: &'a mut Outlier,
    /// Its counters now.
    pub sample: Sample,
    /// Whether it passes its active checks. One that doesn't is left alone: it gets no requests anyway.
    pub fit: bool,
}

/// What became of an endpoint. `Display` says it to people.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is out. The caller now has its streak of failures forgiven (`EndpointCells::forgive`), so that it does not
    /// come back with the past held against it.
    Ejected {
        /// When it comes back on probation.
        until: Timestamp,
        /// For what, and how long.
        why: Why,
    },
    /// It may show with one request at a time whether it is well again.
    OnProbation,
    /// It is back.
    Restored,
}

/// Why an endpoint was ejected, with the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// What it did.
    pub cause: Cause,
    /// How long it is out.
    pub lasts: Duration,
    /// Ejections in a row, this one included.
    pub times: u32,
}

/// What an endpoint did to be ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many failures without a success between them.
    InARow {
        /// At least `consecutive_failures`.
        failures: u32,
    },
    /// Half of its attempts or more failed within ten seconds.
    Share {
        /// At least half of `attempts`.
        failures: u64,
        /// At least 20.
        attempts: u64,
    },
    /// It failed while on probation.
    OnProbation,
}

/// Judges all endpoints of ONE version together and returns what changed, by index. Call it at least once a second
/// while requests flow, whenever a worker reports failures, and at each [`deadline`].
///
/// - Ejected is who failed `consecutive_failures` times in a row (0: never for that), or at least half of at least 20
///   attempts within 10 s, or on probation. The worst go first.
/// - The n-th ejection in a row lasts n times `base` plus up to 20 % (`jitter` draws from 0 to 1), at most `max`.
/// - One that stays while all others are out is never ejected, nor more than `max_percent` of all endpoints, the
///   new one included; a single one always may be (0 %: none at all).
/// - When no endpoint that passes its checks is left, the ejected ones come back on probation at once.
pub fn judge(
    now: Timestamp,
    endpoints: &mut [Candidate<'_>],
    spec: &EjectSpec,
    mut jitter: impl FnMut() -> f64,
) -> Vec<(usize, Change)> {
    let mut changes = Vec::new();
    let mut suspects = Vec::new();
    let deserted = !endpoints.iter().any(|endpoint| endpoint.fit && !endpoint.record.is_ejected());
    for (index, endpoint) in endpoints.iter_mut().enumerate() {
        if deserted && endpoint.fit {
            endpoint.record.pardon(now);
        }
        match endpoint.record.look(now, endpoint.sample, endpoint.fit, spec) {
            Finding::Nothing => {}
            Finding::Served => changes.push((index, endpoint.record.try_out(now, endpoint.sample))),
            Finding::Well => changes.push((index, endpoint.record.restore(now, endpoint.sample))),
            Finding::Bad(cause) => suspects.push((index, cause)),
        }
    }
    suspects.sort_by_key(|(index, _)| Reverse(endpoints[*index].sample.streak));
    for (index, cause) in suspects {
        if may_eject(index, endpoints, spec) {
            changes.push((index, endpoints[index].record.eject(now, cause, spec, jitter())));
        } else {
            endpoints[index].record.bear_with(now, endpoints[index].sample);
        }
    }
    changes
}

/// When the next change comes by itself; `None`: only failures or successes change anything.
pub fn deadline(record: &Outlier) -> Option<Timestamp> {
    match record.place {
        Place::Ejected { until, .. } => Some(until),
        Place::In { .. } | Place::Probation { .. } => None,
    }
}

/// Whether `index` can be spared: counts as if it were already out.
fn may_eject(index: usize, endpoints: &[Candidate<'_>], spec: &EjectSpec) -> bool {
    // One on probation is no substitute: it has just failed and carries one request at a time.
    let replaced = endpoints.iter().enumerate().any(|(other, endpoint)| {
        other != index && endpoint.fit && matches!(endpoint.record.place, Place::In { .. })
    });
    let out = endpoints.iter().filter(|endpoint| endpoint.record.is_ejected()).count() + 1;
    replaced
        && (out == 1 && spec.max_percent > Weight::ZERO || within(out, endpoints.len(), spec.max_percent))
}

/// Whether `part` of `whole` is at most `share`.
fn within(part: usize, whole: usize, share: Weight) -> bool {
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    wide(part).saturating_mul(u64::from(Weight::PARTS))
        <= wide(whole).saturating_mul(u64::from(share.parts()))
}

/// What a look at one endpoint shows, before the others are considered.
enum Finding {
    Nothing,
    /// Its ejection is over.
    Served,
    /// Its probation went well.
    Well,
    Bad(Cause),
}

impl Outlier {
    /// The record of an endpoint whose counters begin at zero `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            place: Place::In { times: 0, since: now },
            why: None,
            window: Window::starting(now, Totals::default()),
        }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    fn is_ejected(&self) -> bool {
        matches!(self.place, Place::Ejected { .. })
    }

    fn times(&self) -> u32 {
        match self.place {
            Place::In { times, .. } | Place::Ejected { times, .. } | Place::Probation { times, .. } => times,
        }
    }

    fn look(&mut self, now: Timestamp, sample: Sample, fit: bool, spec: &EjectSpec) -> Finding {
        let recent = self.window.record(now, sample.totals());
        match self.place {
            Place::Ejected { until, .. } if until <= now => Finding::Served,
            Place::Ejected { .. } => Finding::Nothing,
            Place::Probation { before, .. } => on_probation(sample, before, fit),
            Place::In { times, since } => {
                self.live_down(now, times, since, fit, spec);
                misdeed(sample, recent, spec).filter(|_| fit).map_or(Finding::Nothing, Finding::Bad)
            }
        }
    }

    /// Good behaviour forgives one ejection per `base`; time in which it got no requests is no behaviour.
    fn live_down(&mut self, now: Timestamp, times: u32, since: Timestamp, fit: bool, spec: &EjectSpec) {
        let each = spec.base.max(Duration::from_millis(1));
        let steps = u32::try_from((now - since).as_millis() / each.as_millis()).unwrap_or(u32::MAX);
        let left = if fit { times.saturating_sub(steps) } else { times };
        let since = if fit && left > 0 { since + each.saturating_mul(steps) } else { now };
        self.place = Place::In { times: left, since };
        if left == 0 {
            self.why = None;
        }
    }

    fn eject(&mut self, now: Timestamp, cause: Cause, spec: &EjectSpec, jitter: f64) -> Change {
        let times = self.times().saturating_add(1);
        let longest = spec.base.saturating_mul(times).min(spec.max);
        let lasts = longest.mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0)).min(spec.max);
        let (until, why) = (now + lasts, Why { cause, lasts, times });
        self.place = Place::Ejected { until, times };
        self.why = Some(why.clone());
        Change::Ejected { until, why }
    }

    fn try_out(&mut self, now: Timestamp, sample: Sample) -> Change {
        self.place = Place::Probation { since: now, times: self.times(), before: sample };
        Change::OnProbation
    }

    /// Its ejection ends now: it is needed.
    fn pardon(&mut self, now: Timestamp) {
        if let Place::Ejected { until, .. } = &mut self.place {
            *until = now;
        }
    }

    fn restore(&mut self, now: Timestamp, sample: Sample) -> Change {
        self.place = Place::In { times: self.times(), since: now };
        // What it did before and during its ejection is paid for.
        self.window = Window::starting(now, sample.totals());
        Change::Restored
    }

    /// It should go but can't be spared. On probation it gets another chance to do well.
    fn bear_with(&mut self, now: Timestamp, sample: Sample) {
        match &mut self.place {
            Place::Probation { before, .. } => *before = sample,
            Place::In { since, .. } => *since = now,
            Place::Ejected { .. } => {}
        }
    }
}

fn on_probation(sample: Sample, before: Sample, fit: bool) -> Finding {
    let seen = sample.totals().since(before.totals());
    match (seen.failures, seen.attempts) {
        _ if !fit => Finding::Nothing,
        (1.., _) => Finding::Bad(Cause::OnProbation),
        // A streak without a counted failure: the worker is about to count it.
        (0, 1..) if sample.streak == 0 => Finding::Well,
        (0, _) => Finding::Nothing,
    }
}

fn misdeed(sample: Sample, recent: Totals, spec: &EjectSpec) -> Option<Cause> {
    if spec.consecutive_failures > 0 && sample.streak >= spec.consecutive_failures {
        return Some(Cause::InARow { failures: sample.streak });
    }
    let Totals { attempts, failures } = recent;
    let half = attempts >= MIN_ATTEMPTS && failures.saturating_mul(2) >= attempts;
    half.then_some(Cause::Share { failures, attempts })
}

impl Sample {
    fn totals(self) -> Totals {
        Totals { attempts: self.attempts, failures: self.failures }
    }
}

impl fmt::Display for Outlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place, &self.why) {
            (Place::Ejected { until, .. }, Some(why)) => write!(f, "ejected until {until}: {why}"),
            (Place::Ejected { until, .. }, None) => write!(f, "ejected until {until}"),
            (Place::Probation { since, .. }, Some(why)) => {
                write!(f, "on probation since {since}, after {why}")
            }
            (Place::Probation { since, .. }, None) => write!(f, "on probation since {since}"),
            (Place::In { .. }, Some(why)) => write!(f, "back after {why}"),
            (Place::In { .. }, None) => f.write_str("never ejected lately"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ejected { why, .. } => write!(f, "ejected: {why}"),
            Self::OnProbation => f.write_str("on probation: one request at a time until one goes well"),
            Self::Restored => f.write_str("restored: a request on probation went well"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; out for {}", self.cause, Span(self.lasts))?;
        match self.times {
            1 => Ok(()),
            times => write!(f, " (ejection {times} in a row)"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow { failures } => write!(f, "{failures} failures in a row"),
            Self::Share { failures, attempts } => {
                write!(f, "{failures} of {attempts} attempts failed within {}", Span(window::LENGTH))
            }
            Self::OnProbation => f.write_str("failed on probation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// The endpoints of a version, with the counters that their data plane would have.
    struct Version {
        now: Timestamp,
        records: Vec<Outlier>,
        samples: Vec<Sample>,
        fit: Vec<bool>,
        spec: EjectSpec,
    }

    impl Version {
        fn new(endpoints: usize) -> Self {
            let now = Timestamp::from_micros(1_000_000_000);
            Self {
                now,
                records: vec![Outlier::new(now); endpoints],
                samples: vec![Sample::default(); endpoints],
                fit: vec![true; endpoints],
                spec: EjectSpec {
                    consecutive_failures: 5,
                    base: secs(10),
                    max: secs(300),
                    max_percent: percent(50.0),
                },
            }
        }

        fn serve(&mut self, index: usize, good: u64, bad: u64) {
            let sample = &mut self.samples[index];
            sample.attempts += good + bad;
            sample.failures += bad;
            sample.streak = if good > 0 { 0 } else { sample.streak } + u32::try_from(bad).expect("few");
        }

        fn judge(&mut self) -> Vec<(usize, Change)> {
            let mut candidates: Vec<_> = (self.records.iter_mut().zip(&self.samples).zip(&self.fit))
                .map(|((record, sample), fit)| Candidate { record, sample: *sample, fit: *fit })
                .collect();
            let changes = judge(self.now, &mut candidates, &self.spec, || 0.0);
            for (index, change) in &changes {
                if matches!(change, Change::Ejected { .. }) {
                    self.samples[*index].streak = 0;
                }
            }
            changes
        }

        fn judge_after(&mut self, wait: Duration) -> Vec<String> {
            self.now = self.now + wait;
            self.judge().iter().map(|(index, change)| format!("{index} {change}")).collect()
        }

        fn fail(&mut self, index: usize) -> Vec<String> {
            self.serve(index, 0, 5);
            self.judge_after(Duration::ZERO)
        }

        fn out(&self) -> usize {
            self.records.iter().filter(|record| record.is_ejected()).count()
        }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn percent(percent: f64) -> Weight {
        Weight::from_percent(percent).expect("a share")
    }

    const PROBATION: &str = "on probation: one request at a time until one goes well";

    #[test]
    fn failures_in_a_row_eject_for_longer_each_time_until_one_request_goes_well() {
        let mut version = Version::new(2);
        version.serve(0, 0, 4);
        assert_eq!(version.judge(), []);
        version.serve(0, 0, 1);
        assert_eq!(version.judge_after(secs(0)), ["0 ejected: 5 failures in a row; out for 10 s"]);
        assert_eq!(deadline(&version.records[0]), Some(version.now + secs(10)));
        assert_eq!(version.judge_after(secs(9)), [""; 0]);
        assert_eq!(version.judge_after(secs(1)), [format!("0 {PROBATION}")]);
        assert_eq!(version.judge_after(secs(60)), [""; 0], "no request, no verdict");
        version.serve(0, 0, 1);
        assert_eq!(
            version.judge_after(secs(0)),
            ["0 ejected: failed on probation; out for 20 s (ejection 2 in a row)"]
        );
        assert_eq!(version.judge_after(secs(20)), [format!("0 {PROBATION}")]);
        version.serve(0, 1, 0);
        assert_eq!(version.judge_after(secs(0)), ["0 restored: a request on probation went well"]);
        assert_eq!(version.judge_after(secs(0)), [""; 0]);
    }

    #[test]
    fn half_of_twenty_attempts_failing_within_ten_seconds_ejects() {
        for (attempts, failures, ejected) in
            [(19, 19, 0), (20, 9, 0), (20, 10, 1), (1000, 499, 0), (1000, 500, 1)]
        {
            let mut version = Version::new(2);
            version.spec.consecutive_failures = 0;
            version.serve(0, attempts - failures, failures);
            version.judge();
            assert_eq!(version.out(), ejected, "{failures} of {attempts}");
        }
    }

    #[test]
    fn failures_spread_over_more_than_the_window_eject_nobody() {
        let mut version = Version::new(2);
        for _ in 0..100 {
            version.serve(0, 1, 1);
            assert_eq!(version.judge_after(secs(2)), [""; 0]);
        }
    }

    #[test]
    fn the_only_endpoint_is_never_ejected() {
        let mut version = Version::new(1);
        version.spec.max_percent = Weight::FULL;
        assert_eq!(version.fail(0), [""; 0]);
    }

    #[test]
    fn the_last_endpoint_that_passes_its_checks_is_never_ejected() {
        let mut version = Version::new(3);
        version.spec.max_percent = Weight::FULL;
        version.fit[1] = false;
        assert_eq!(version.fail(0).len(), 1, "2 is left");
        assert_eq!(version.fail(2), [""; 0], "only 1 is left, which is down");
    }

    #[test]
    fn an_endpoint_on_probation_replaces_nobody() {
        let mut version = Version::new(2);
        version.spec.max_percent = Weight::FULL;
        version.fail(0);
        version.serve(1, 0, 5);
        assert_eq!(version.judge_after(secs(10)), [format!("0 {PROBATION}")]);
        version.serve(0, 1, 0);
        assert_eq!(
            version.judge_after(secs(0)),
            ["0 restored: a request on probation went well", "1 ejected: 5 failures in a row; out for 10 s"]
        );
    }

    #[test]
    fn the_share_that_is_out_is_computed_after_ejecting() {
        for (endpoints, share, most) in [
            (2, 50.0, 1),
            (3, 50.0, 1),
            (4, 50.0, 2),
            (5, 50.0, 2),
            (10, 10.0, 1),
            (10, 5.0, 1),
            (4, 100.0, 3),
            (4, 0.0, 0),
        ] {
            let mut version = Version::new(endpoints);
            version.spec.max_percent = percent(share);
            for index in 0..endpoints {
                version.fail(index);
            }
            assert_eq!(version.out(), most, "{share} % of {endpoints}");
        }
    }

    #[test]
    fn the_worst_go_first() {
        let mut version = Version::new(3);
        version.serve(0, 0, 5);
        version.serve(1, 0, 9);
        assert_eq!(version.judge_after(secs(0)), ["1 ejected: 9 failures in a row; out for 10 s"]);
    }

    #[test]
    fn one_that_fails_its_checks_is_left_to_them() {
        let mut version = Version::new(3);
        version.fit[0] = false;
        assert_eq!(version.fail(0), [""; 0]);
    }

    #[test]
    fn the_ejected_come_back_at_once_when_nobody_else_is_left() {
        let mut version = Version::new(2);
        version.fail(0);
        version.fit[1] = false;
        assert_eq!(version.judge_after(secs(1)), [format!("0 {PROBATION}")]);
        version.serve(0, 0, 1);
        assert_eq!(version.judge_after(secs(1)), [""; 0], "still nobody else");
        version.serve(0, 1, 0);
        assert_eq!(version.judge_after(secs(1)), ["0 restored: a request on probation went well"]);
    }

    #[test]
    fn ejections_are_lived_down_one_per_base() {
        let mut version = Version::new(2);
        for _ in 0..3 {
            version.fail(0);
            version.judge_after(secs(300));
            version.serve(0, 1, 0);
            version.judge();
        }
        let times = |version: &Version| version.records[0].times();
        assert_eq!(times(&version), 3);
        version.judge_after(secs(9));
        assert_eq!(times(&version), 3);
        version.judge_after(secs(1));
        assert_eq!(times(&version), 2);
        version.fit[0] = false;
        version.judge_after(secs(100));
        assert_eq!(times(&version), 2, "being down is not good behaviour");
        version.fit[0] = true;
        version.judge_after(secs(100));
        assert_eq!(version.records[0].to_string(), "never ejected lately");
    }

    #[test]
    fn an_ejection_is_jittered_but_never_longer_than_the_longest() {
        let version = Version::new(2);
        let last = |times, jitter| {
            let mut record = Outlier::new(version.now);
            record.place = Place::In { times, since: version.now };
            record.eject(version.now, Cause::OnProbation, &version.spec, jitter);
            deadline(&record).map(|until| until - version.now)
        };
        assert_eq!(last(0, 1.0), Some(secs(12)));
        assert_eq!(last(28, 0.0), Some(secs(290)));
        assert_eq!(last(28, 1.0), Some(secs(300)));
        assert_eq!(last(u32::MAX, 0.5), Some(secs(300)));
    }

    #[test]
    fn a_streak_whose_failure_is_not_counted_yet_restores_nobody() {
        let mut version = Version::new(2);
        version.fail(0);
        version.judge_after(secs(10));
        version.samples[0].attempts += 1;
        version.samples[0].streak = 1;
        assert_eq!(version.judge_after(secs(0)), [""; 0]);
        version.samples[0].failures += 1;
        assert_eq!(version.judge_after(secs(0)).len(), 1);
        assert_eq!(version.out(), 1);
    }

    proptest! {
        #[test]
        fn the_laws_hold_whatever_happens(
            endpoints in 1usize..7,
            share in 0u8..=100,
            turns in prop::collection::vec((0u64..15_000, prop::collection::vec((0u64..30, 0u64..30, 0u8..10, any::<bool>()), 6)), 1..60),
        ) {
            let mut version = Version::new(endpoints);
            version.spec.max_percent = percent(f64::from(share));
            let most = (endpoints * usize::from(share) / 100).max(usize::from(share > 0));
            let mut paid = vec![0; endpoints];
            for (millis, traffic) in turns {
                version.now = version.now + Duration::from_millis(millis);
                for (index, (good, bad, luck, idle)) in traffic.into_iter().take(endpoints).enumerate() {
                    version.fit[index] = luck > 0;
                    if !idle {
                        version.serve(index, good, bad);
                    }
                }
                let changes = version.judge();
                let left = |index: usize| version.fit[index] && !version.records[index].is_ejected();
                prop_assert_eq!((0..endpoints).any(left), version.fit.contains(&true), "someone fit is in");
                for (index, change) in changes {
                    let Change::Ejected { until, .. } = change else { continue };
                    prop_assert!(version.out() <= most, "{} of {} out at {} %", version.out(), endpoints, share);
                    prop_assert!(version.fit[index]);
                    prop_assert!(until >= version.now + version.spec.base && until <= version.now + version.spec.max);
                    prop_assert_eq!(deadline(&version.records[index]), Some(until));
                    prop_assert!(version.samples[index].failures > paid[index], "ejected twice for the same");
                    paid[index] = version.samples[index].failures;
                }
            }
        }
    }
}
