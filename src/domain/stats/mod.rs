//! What was counted, and what follows from it: counters, histograms, the sequential tests.

mod cells;
mod comparison;
mod evidence;
mod guard;
mod histogram;
mod incident;
mod labels;
mod logs;
mod process;
mod promotion;
mod realised;
mod split_check;
#[cfg(test)]
mod vectors;

pub use cells::{Count, EndpointCells, EndpointCounts, Gauge, PerWorker, VersionCells};
pub use comparison::{
    Coefficients, ERROR_ALTERNATIVES, ERROR_GRID, Margin, error_coefficients, rollback_coefficients,
    rollback_log_e, rollback_margin,
};
pub use evidence::{ArmCells, ArmCounts, Epoch, EpochCells, EpochCounts, Sampling};
pub use guard::{GUARD_ALTERNATIVES, GUARD_GRID, guard_coefficients, guard_log_e};
pub use histogram::{BUCKETS, Histogram, bucket_of, edge};
pub use incident::StableWatch;
pub use labels::{CodeClass, ErrorReason, MethodLabel};
pub use logs::{LogSum, combine_log_e, odds};
pub use process::EProcess;
pub use promotion::{
    PROMOTION_BETS, promote_log_e, promote_margin, promotion_coefficients, promotion_evidence,
    promotion_total,
};
pub use realised::{Block, ClosedBlock, realised_evidence, realised_log_e, realised_share};
pub use split_check::{ln_gamma, srm_log_e};
