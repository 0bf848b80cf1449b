//! What was counted, and what follows from it: counters, histograms, the sequential tests.

mod cells;
mod evidence;
mod histogram;
mod labels;

pub use cells::{Count, EndpointCells, EndpointCounts, Gauge, PerWorker, VersionCells};
pub use evidence::{ArmCells, ArmCounts, Epoch, EpochCells, EpochCounts, Sampling};
pub use histogram::{BUCKETS, Histogram, bucket_of, edge};
pub use labels::{CodeClass, ErrorReason, MethodLabel};
