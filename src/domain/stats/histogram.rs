//! A log-bucketed histogram of durations. ANALYSIS: edges `100 µs · 2^(i/16)`, i = 0..319, plus overflow.

use std::sync::LazyLock;

use super::Count;

/// 320 buckets with an upper edge (4.4 % apart, 100 µs to 100 s) and one for all above.
pub const BUCKETS: usize = 321;

/// What one thread recorded; any thread may read.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Count; BUCKETS],
    sum_micros: Count,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { Count::new() }; BUCKETS], sum_micros: Count::default() }
    }
}

impl Histogram {
    /// Counts a duration in microseconds.
    #[inline]
    pub fn record(&self, micros: u64) {
        self.buckets[bucket_of(micros)].add(1);
        self.sum_micros.add(micros);
    }

    /// The count in bucket `index`.
    pub fn bucket(&self, index: usize) -> u64 {
        self.buckets[index].get()
    }

    /// The sum of all recorded durations in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.get()
    }
}

/// Upper edge of bucket `index` in microseconds; `None` for the overflow bucket.
pub fn edge(index: usize) -> Option<f64> {
    EDGES.get(index).copied()
}

/// The smallest bucket whose upper edge is not below `micros`.
#[inline]
pub fn bucket_of(micros: u64) -> usize {
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 µs, which is 285 years")]
    let micros = micros as f64;
    bucket_of_fraction(micros)
}

/// [`bucket_of`] for a duration that is no whole number of microseconds.
#[inline]
pub(super) fn bucket_of_fraction(micros: f64) -> usize {
    EDGES.partition_point(|edge| *edge < micros)
}

static EDGES: LazyLock<[f64; BUCKETS - 1]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        #[allow(clippy::cast_precision_loss, reason = "0 to 319")]
        let octaves = index as f64 / 16.0;
        100.0 * octaves.exp2()
    })
});
