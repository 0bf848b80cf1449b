//! What the data plane counted in one rollout, read and handed to the judge.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pace::{PACE_AGE, StableTimes};
use crate::domain::rollout::{Assessment, Judge, Latency, Plan, SplitMode, StepChange};
use crate::domain::routing::{Affinity, RouteMatch};
use crate::domain::stats::{
    Epoch, EpochCounts, FailedRequest, Kinds, Limits, Pace, ROUTE_PLACES, RoutePlaces, SAMPLES, Sampling,
    SlowCounts, tolerated_buckets,
};
use crate::domain::{Timestamp, Weight};

/// Epochs that late outcomes can still be booked to; older ones are let go.
const EPOCHS_KEPT: usize = 8;

/// One rollout's evidence.
pub(crate) struct Evidence {
    judge: Judge,
    sticky: bool,
    workers: usize,
    routes: RoutePlaces,
    latency: Option<Latency>,
    epochs: VecDeque<Kept>,
    numbers: u32,
    /// When the canary was first given requests.
    began: Option<Timestamp>,
    last: Option<Assessment>,
    /// Samples of failed requests that were handed out.
    sampled: usize,
}

/// An epoch with what was read of it so far.
struct Kept {
    epoch: Arc<Epoch>,
    /// The judge's number of it: the judge sees only changes of weight, the data plane new limits as well.
    judged_as: u32,
    opened: Timestamp,
    seen: EpochCounts,
    routes: Vec<EpochCounts>,
    kinds: Kinds,
    slow: SlowCounts,
}

/// What evidence is kept for: the rollout's plan, and the service as it is when the rollout starts.
pub(crate) struct Subject<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) affinity: &'a Affinity,
    pub(crate) routes: &'a [RouteMatch],
}

impl Evidence {
    /// Nothing counted yet.
    pub(crate) fn new(subject: &Subject<'_>, workers: usize, now: Timestamp) -> Self {
        let analysis = &subject.plan.analysis;
        let sticky = *subject.affinity != Affinity::None;
        let split = if sticky { SplitMode::Realised } else { SplitMode::Independent };
        let routes = RoutePlaces::of(subject.routes.iter().map(RouteMatch::id));
        let names = place_names(subject.routes).into_iter().take(routes.places());
        let mut judge = Judge::new(analysis, split, now).with_routes(names);
        // Who wants steps shorter than the warm-up does not want to wait for it.
        let least = subject.plan.advance.min_time;
        let latency = analysis.latency.clone().filter(|latency| !latency.wanted().is_empty());
        let latency = latency.map(|latency| Latency { warmup: latency.warmup.min(least), ..latency });
        if latency.is_some() {
            judge = judge.with_times();
        }
        let epochs = VecDeque::with_capacity(EPOCHS_KEPT);
        Self {
            judge,
            sticky,
            workers,
            routes,
            latency,
            epochs,
            numbers: 0,
            began: None,
            last: None,
            sampled: 0,
        }
    }

    /// From now on requests are routed with this weight.
    pub(crate) fn open(&mut self, weight: Weight, step: StepChange, times: &StableTimes, now: Timestamp) {
        self.gather(now);
        if weight > Weight::ZERO {
            self.began.get_or_insert(now);
        }
        self.judge.open_epoch(self.numbers + 1, weight, step, now);
        let sampling = if self.sticky { Sampling::once_per_minute() } else { Sampling::Every };
        self.begin(weight, sampling, self.numbers + 1, self.pace(times, now), now);
    }

    /// The epoch that requests are routed in now.
    pub(crate) fn current(&self) -> Option<Arc<Epoch>> {
        self.epochs.back().map(|kept| kept.epoch.clone())
    }

    /// Sets new limits for what is slow when it is time: every five minutes, and as soon as enough is known of stable.
    /// Returns whether requests must be routed in another epoch from now on.
    pub(crate) fn renew_pace(&mut self, times: &StableTimes, now: Timestamp) -> bool {
        let Some(current) = self.epochs.back() else { return false };
        let (Epoch { weight, pace: known, .. }, judged_as) = (&*current.epoch, current.judged_as);
        let due = known.is_none() || now >= current.opened + PACE_AGE;
        if !due || *weight == Weight::ZERO || *weight == Weight::FULL {
            return false;
        }
        let (weight, sampling) = (*weight, current.epoch.sampling.clone());
        let Some(pace) = self.pace(times, now) else { return false };
        self.begin(weight, sampling, judged_as, Some(pace), now);
        true
    }

    /// Reads the counters and feeds the judge what came since the last reading.
    pub(crate) fn gather(&mut self, now: Timestamp) {
        for kept in &mut self.epochs {
            kept.gather(&mut self.judge, now);
        }
        self.judge.tick(now);
    }

    /// Failed requests of the canary to be written down: half of the room that is left, so that the step that ends
    /// the rollout has some too, or all of it if it `ends`.
    pub(crate) fn samples(&mut self, ends: bool) -> Vec<FailedRequest> {
        let left = SAMPLES.saturating_sub(self.sampled);
        let mut room = if ends { left } else { left / 2 };
        let mut taken = Vec::new();
        // The newest epoch first: what it saw is what was decided on.
        for kept in self.epochs.iter().rev() {
            let some = kept.epoch.samples.take(room);
            room -= some.len();
            taken.extend(some);
        }
        taken.sort_by_key(|sample| sample.at);
        self.sampled += taken.len();
        taken
    }

    /// What was counted since the step began, as far as it has been read.
    pub(crate) fn step(&self) -> EpochCounts {
        self.last.as_ref().map_or_else(EpochCounts::default, |assessment| assessment.step)
    }

    /// What the judge made of it last.
    pub(crate) fn last(&self) -> Option<&Assessment> {
        self.last.as_ref()
    }

    /// What the judge makes of it.
    pub(crate) fn assess(&mut self, now: Timestamp) -> Assessment {
        let assessment = self.judge.assess(now);
        self.last = Some(assessment.clone());
        assessment
    }

    fn begin(
        &mut self,
        weight: Weight,
        sampling: Sampling,
        judged_as: u32,
        pace: Option<Pace>,
        now: Timestamp,
    ) {
        self.numbers += 1;
        let mut epoch = Epoch::new(self.numbers, weight, sampling, self.workers);
        epoch.routes = self.routes.clone();
        epoch.pace = pace;
        self.judge.set_pace(pace);
        if self.epochs.len() == EPOCHS_KEPT {
            self.epochs.pop_front();
        }
        self.epochs.push_back(Kept::new(epoch, judged_as, now));
    }

    /// What is slow, by what stable did before `now`; `None` while the canary warms up or too little is known of stable.
    fn pace(&self, times: &StableTimes, now: Timestamp) -> Option<Pace> {
        let latency = self.latency.as_ref()?;
        if now < self.began? + latency.warmup {
            return None;
        }
        let limits = Limits::of(&times.recent(now)?, &latency.wanted(), tolerated_buckets(latency.tolerated));
        Some(Pace { limits, warmup: latency.warmup })
    }
}

impl Kept {
    fn new(epoch: Epoch, judged_as: u32, opened: Timestamp) -> Self {
        Self {
            routes: epoch.route_counts(),
            epoch: Arc::new(epoch),
            judged_as,
            opened,
            seen: EpochCounts::default(),
            kinds: Kinds::default(),
            slow: SlowCounts::default(),
        }
    }

    fn gather(&mut self, judge: &mut Judge, now: Timestamp) {
        let counts = self.epoch.counts();
        if counts != self.seen {
            judge.feed(self.judged_as, counts.since(self.seen), now);
            if counts.canary.failed != self.seen.canary.failed {
                let kinds = self.epoch.kinds().0;
                judge.feed_kinds(self.judged_as, kinds.since(self.kinds));
                self.kinds = kinds;
            }
            self.seen = counts;
            self.gather_routes(judge, now);
        }
        if self.epoch.pace.is_some() {
            // A request that waits is late at some moment without anything being counted.
            let slow = self.epoch.slow(now);
            judge.feed_slow(self.judged_as, &slow.since(self.slow), now);
            self.slow = slow.max(self.slow);
        }
    }

    fn gather_routes(&mut self, judge: &mut Judge, now: Timestamp) {
        if self.routes.is_empty() {
            return;
        }
        let routes = self.epoch.route_counts();
        let came: Vec<_> = routes.iter().zip(&self.routes).map(|(now, seen)| now.since(*seen)).collect();
        judge.feed_routes(self.judged_as, &came, now);
        self.routes = routes;
    }
}

/// The routes as people know them, by place.
fn place_names(routes: &[RouteMatch]) -> Vec<Arc<str>> {
    let own = if routes.len() > ROUTE_PLACES { ROUTE_PLACES - 1 } else { routes.len() };
    let rest = routes.len() - own;
    let names = routes.iter().take(own).map(|route| route.shown().into());
    names.chain((rest > 0).then(|| format!("{rest} others").into())).collect()
}

/// The canary's share of the requests that were routed in the step, in percent; `None` before the first.
pub(crate) fn observed(step: &EpochCounts) -> Option<f64> {
    let all = step.canary.routed + step.stable.routed;
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
    (all > 0).then(|| 100.0 * step.canary.routed as f64 / all as f64)
}
