//! Families of samples for the exposition format 0.0.4, built anew for each scrape.

use std::sync::LazyLock;

use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

use super::metrics::{ServiceSeries, VersionSeries};
use crate::domain::stats::{
    BUCKETS, CodeClass, ErrorReason, GrpcCode, Histogram, MethodLabel, PerWorker, VersionCells, bucket_of,
    edge,
};

/// One family under construction. Every sample has a value for each of `labels`.
pub(super) struct Family<const N: usize> {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    labels: [&'static str; N],
    samples: Vec<Metric>,
}

/// What the samples of one version (or of the requests that no version got) are made of.
pub(super) struct Counted<'a> {
    pub(super) service: &'a str,
    pub(super) version: &'a str,
    pub(super) cells: &'a PerWorker<VersionCells>,
    /// The status that has a series before any request came.
    pub(super) usual: u16,
}

impl<const N: usize> Family<N> {
    pub(super) fn counter(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, kind: MetricType::COUNTER, labels, samples: Vec::new() }
    }

    pub(super) fn gauge(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { kind: MetricType::GAUGE, ..Self::counter(name, help, labels) }
    }

    fn histogram(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { kind: MetricType::HISTOGRAM, ..Self::counter(name, help, labels) }
    }

    /// Adds a sample of a counter or a gauge.
    pub(super) fn sample(&mut self, values: [&str; N], value: f64) {
        let mut metric = self.labelled(values);
        if self.kind == MetricType::GAUGE {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        } else {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        self.samples.push(metric);
    }

    fn distribution(&mut self, values: [&str; N], distribution: proto::Histogram) {
        let mut metric = self.labelled(values);
        metric.set_histogram(distribution);
        self.samples.push(metric);
    }

    fn labelled(&self, values: [&str; N]) -> Metric {
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        Metric::from_label(pairs.collect())
    }

    /// Adds the family to `all`, unless it has no sample: the format has no empty families.
    pub(super) fn finish(self, all: &mut Vec<MetricFamily>) {
        if self.samples.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.samples);
        all.push(family);
    }
}

/// A count as a sample's value.
pub(super) fn number(count: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53; the format has no other numbers")]
    let value = count as f64;
    value
}

/// What the data plane counted.
pub(super) fn traffic(all: &mut Vec<MetricFamily>, counted: &[Counted<'_>]) {
    requests(counted).finish(all);
    grpc_calls(counted).finish(all);
    durations(counted).finish(all);
    in_flight(counted).finish(all);
    tunnels(counted).finish(all);
    let bytes_in = ("adit_request_bytes_total", "Body bytes received from clients.");
    let bytes_out = ("adit_response_bytes_total", "Body bytes sent to clients.");
    let retries = ("adit_retries_total", "Attempts after a request's first.");
    totals(bytes_in, counted, |cells| cells.request_bytes.get()).finish(all);
    totals(bytes_out, counted, |cells| cells.response_bytes.get()).finish(all);
    errors(counted).finish(all);
    totals(retries, counted, |cells| cells.retries.get()).finish(all);
    let rescues = ("adit_rescues_total", "Requests that the canary failed and stable answered.");
    totals(rescues, counted, |cells| cells.rescues.get()).finish(all);
}

fn requests(counted: &[Counted<'_>]) -> Family<4> {
    let mut family = Family::counter(
        "adit_requests_total",
        "Requests that ended, by the status that the client saw (499: it went away first).",
        ["service", "version", "code", "method"],
    );
    for of in counted {
        let mut codes: Vec<u16> = of.cells.iter().flat_map(VersionCells::codes).chain([of.usual]).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            for method in MethodLabel::ALL {
                let count = of.cells.sum(|cells| cells.requests(code, method));
                if count > 0 || (code == of.usual && method == MethodLabel::Get) {
                    let labels = [of.service, of.version, &code.to_string(), method.as_str()];
                    family.sample(labels, number(count));
                }
            }
        }
    }
    family
}

/// A version that was never called so has a series all the same: a rate begins at zero.
fn grpc_calls(counted: &[Counted<'_>]) -> Family<3> {
    let mut family = Family::counter(
        "adit_grpc_requests_total",
        "gRPC calls that ended, by the code that the client saw; in adit_requests_total they have their HTTP status.",
        ["service", "version", "grpc_status"],
    );
    for of in counted {
        for code in GrpcCode::ALL {
            let mut calls = of.cells.iter().filter_map(|cells| cells.grpc_calls(code)).peekable();
            if code == GrpcCode::Ok || calls.peek().is_some() {
                family.sample([of.service, of.version, code.as_str()], number(calls.sum()));
            }
        }
    }
    family
}

fn durations(counted: &[Counted<'_>]) -> Family<3> {
    let mut family = Family::histogram(
        "adit_request_duration_seconds",
        "From a request's headers to its response's end.",
        ["service", "version", "code_class"],
    );
    for of in counted {
        for class in CodeClass::ALL {
            let seen: Vec<&Histogram> = of.cells.iter().filter_map(|cells| cells.durations(class)).collect();
            if !seen.is_empty() || class == CodeClass::of(of.usual) {
                family.distribution([of.service, of.version, class.as_str()], distribution(&seen));
            }
        }
    }
    family
}

fn in_flight(counted: &[Counted<'_>]) -> Family<2> {
    let help = "Requests being answered now.";
    gauges(("adit_requests_in_flight", help), counted, |cells| cells.in_flight.get())
}

fn tunnels(counted: &[Counted<'_>]) -> Family<2> {
    let help = "Connections that changed to another protocol (WebSocket) and are open.";
    gauges(("adit_tunnels_open", help), counted, |cells| cells.tunnels.get())
}

fn gauges(
    (name, help): (&'static str, &'static str),
    counted: &[Counted<'_>],
    read: impl Fn(&VersionCells) -> i64,
) -> Family<2> {
    let mut family = Family::gauge(name, help, ["service", "version"]);
    for of in counted {
        let now: i64 = of.cells.iter().map(&read).sum();
        // A request may begin on one worker and end on another between two reads: never show less than none.
        family.sample([of.service, of.version], number(u64::try_from(now).unwrap_or(0)));
    }
    family
}

fn errors(counted: &[Counted<'_>]) -> Family<3> {
    let mut family = Family::counter(
        "adit_endpoint_errors_total",
        "Attempts that got no good answer, by reason (RFC 9209 section 2.3).",
        ["service", "version", "reason"],
    );
    for of in counted {
        for reason in ErrorReason::ALL {
            let count = of.cells.sum(|cells| cells.errors(reason));
            family.sample([of.service, of.version, reason.as_str()], number(count));
        }
    }
    family
}

fn totals(
    (name, help): (&'static str, &'static str),
    counted: &[Counted<'_>],
    read: impl Fn(&VersionCells) -> u64,
) -> Family<2> {
    let mut family = Family::counter(name, help, ["service", "version"]);
    for of in counted {
        family.sample([of.service, of.version], number(of.cells.sum(&read)));
    }
    family
}

/// Who the versions are, and which of their endpoints are up.
pub(super) fn versions(all: &mut Vec<MetricFamily>, services: &[ServiceSeries]) {
    let labels = ["service", "version", "endpoint"];
    let mut up = Family::gauge("adit_endpoint_up", "Whether an endpoint may be given requests.", labels);
    let mut info = Family::gauge(
        "adit_version_info",
        "Always 1; the labels say which build a version is.",
        ["service", "version", "image", "digest", "revision", "created"],
    );
    for service in services {
        for version in &service.versions {
            let (name, of) = (service.name.as_str(), version.name.as_str());
            let image = version.image.as_deref().unwrap_or("");
            let digest = version.digest.as_deref().unwrap_or("");
            let revision = version.revision.as_deref().unwrap_or("");
            let created = version.created.as_deref().unwrap_or("");
            info.sample([name, of, image, digest, revision, created], 1.0);
            for (endpoint, is_up) in endpoints(version) {
                up.sample([name, of, endpoint], f64::from(u8::from(is_up)));
            }
        }
    }
    up.finish(all);
    info.finish(all);
}

/// Each endpoint once: two names may lead to the same address, and a series must not come twice. Up if either is.
fn endpoints(version: &VersionSeries) -> Vec<(&str, bool)> {
    let mut endpoints: Vec<_> = version.endpoints.iter().map(|e| (e.name.as_str(), e.up)).collect();
    // The ones that are up first, so that these are kept.
    endpoints.sort_unstable_by_key(|(name, up)| (*name, !up));
    endpoints.dedup_by_key(|(name, _)| *name);
    endpoints
}

/// The phases a service can be in.
const PHASES: [&str; 5] = ["idle", "waiting", "stepping", "paused", "baking"];

/// How far the rollouts are.
pub(super) fn rollouts(all: &mut Vec<MetricFamily>, services: &[ServiceSeries]) {
    let help = "The canary's share as decided, 0 to 1.";
    let mut weights = Family::gauge("adit_rollout_weight_ratio", help, ["service"]);
    let help = "The canary's share as counted in the current step, 0 to 1.";
    let mut observed = Family::gauge("adit_rollout_observed_ratio", help, ["service"]);
    let help = "1 for the phase that a service is in, 0 for all others.";
    let mut phases = Family::gauge("adit_rollout_phase", help, ["service", "phase"]);
    for service in services {
        let Some(rollout) = &service.rollout else { continue };
        let name = service.name.as_str();
        weights.sample([name], rollout.weight.fraction());
        if let Some(share) = rollout.observed {
            observed.sample([name], share);
        }
        for phase in PHASES {
            phases.sample([name, phase], f64::from(u8::from(rollout.phase == phase)));
        }
    }
    weights.finish(all);
    observed.finish(all);
    phases.finish(all);
}

/// A bucket of the exposition: all durations of up to `seconds` are in the histogram's buckets up to `last`.
struct Bound {
    last: usize,
    seconds: f64,
}

/// The histogram's edges nearest to the round numbers of microseconds that people look for.
static BOUNDS: LazyLock<[Bound; ROUND.len()]> = LazyLock::new(|| ROUND.map(Bound::nearest));

const ROUND: [u32; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

impl Bound {
    fn nearest(micros: u32) -> Self {
        let above = bucket_of(u64::from(micros));
        let distance =
            |bucket: &usize| edge(*bucket).map_or(f64::INFINITY, |edge| (edge - f64::from(micros)).abs());
        let nearest =
            [above.saturating_sub(1), above].into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let last = nearest.unwrap_or(above);
        // Durations are whole microseconds, so nothing lies between the edge and the microsecond below it: the bound
        // is exact, and reads the same on every machine however its `exp2` rounds.
        let seconds = edge(last).map_or(f64::INFINITY, |edge| edge.floor() / 1e6);
        Self { last, seconds }
    }
}

/// The sum of histograms, in the exposition's buckets.
fn distribution(histograms: &[&Histogram]) -> proto::Histogram {
    let mut upto = 0;
    let cumulative: [u64; BUCKETS] = std::array::from_fn(|index| {
        upto += histograms.iter().map(|histogram| histogram.bucket(index)).sum::<u64>();
        upto
    });
    let buckets = BOUNDS.iter().map(|bound| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound.seconds);
        bucket.set_cumulative_count(cumulative[bound.last]);
        bucket
    });
    let sum = histograms.iter().map(|histogram| histogram.sum_micros()).sum();
    let mut distribution = proto::Histogram::default();
    distribution.set_bucket(buckets.collect());
    // From the same reading as the buckets, so that `+Inf`, which is the count, never lags behind them.
    distribution.set_sample_count(upto);
    distribution.set_sample_sum(number(sum) / 1e6);
    distribution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_the_nearest_edge_and_holds_exactly_what_it_says() {
        for (bound, round) in BOUNDS.iter().zip(ROUND) {
            let target = f64::from(round) / 1e6;
            assert!((bound.seconds / target - 1.0).abs() < 0.023, "{} is not near {target}", bound.seconds);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1,000 to 10,000,000")]
            let micros = (bound.seconds * 1e6).round() as u64;
            assert_eq!((bucket_of(micros), bucket_of(micros + 1)), (bound.last, bound.last + 1), "{target}");
        }
    }

    #[test]
    fn a_distribution_sums_all_workers() {
        let (one, other) = (Histogram::default(), Histogram::default());
        [900, 4_000, 200_000_000].into_iter().for_each(|micros| one.record(micros));
        other.record(4_000);
        let sum = distribution(&[&one, &other]);
        let cumulative: Vec<u64> = sum.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!(cumulative, [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((sum.get_sample_count(), sum.get_sample_sum()), (4, 200.0089));
    }
}
