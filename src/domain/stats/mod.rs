//! What was counted, and what follows from it: counters, histograms, the sequential tests.

mod arm;
mod cells;
mod comparison;
mod evidence;
mod grpc;
mod guard;
mod histogram;
mod incident;
mod labels;
mod latency;
mod logs;
mod process;
mod promotion;
mod realised;
mod samples;
mod split_check;
#[cfg(test)]
mod vectors;
mod waiting;

pub use arm::{ArmCells, ArmLimits, Kinds, ROUTE_PLACES};
pub use cells::{Count, EndpointCells, EndpointCounts, Gauge, PerWorker, VersionCells};
pub use comparison::{
    Coefficients, ERROR_ALTERNATIVES, ERROR_GRID, Margin, error_coefficients, rollback_coefficients,
    rollback_log_e, rollback_margin,
};
pub use evidence::{
    ArmCounts, Epoch, EpochCells, EpochCounts, Pace, RouteId, RoutePlaces, Sampling, SlowCounts,
};
pub use grpc::GrpcCode;
pub use guard::{GUARD_ALTERNATIVES, GUARD_GRID, guard_coefficients, guard_log_e};
pub use histogram::{BUCKETS, Histogram, bucket_of, edge};
pub use incident::StableWatch;
pub use labels::{CodeClass, ErrorReason, MethodLabel};
pub use latency::{
    LATENCY_ALTERNATIVES, LATENCY_TOLERATED, LIMITS, Limits, NO_LIMIT, Quantile, latency_log_e,
    quantile_bounds, quantile_bucket, tolerated_buckets,
};
pub use logs::{LogSum, combine_log_e, odds};
pub use process::EProcess;
pub use promotion::{
    PROMOTION_BETS, promote_log_e, promote_margin, promotion_coefficients, promotion_evidence,
    promotion_total,
};
pub use realised::{Block, ClosedBlock, realised_evidence, realised_log_e, realised_share};
pub use samples::{FailedRequest, SAMPLE_PATH, SAMPLE_WORD, SAMPLES, Samples};
pub use split_check::{ln_gamma, srm_log_e};
pub use waiting::Waiting;
