//! Whether an endpoint is fit for requests: active probes and outlier detection.
//!
//! What decides ([`CheckState`], [`judge`]) is told the time and the facts; only [`Probes`] has tasks and sockets.

mod ejection;
mod grpc;
mod http1;
mod http2;
mod outlier;
mod probe;
mod probes;
mod span;
mod state;
mod window;

pub use ejection::{Cause, Change, Why};
pub use outlier::{Candidate, Outlier, Place, Sample, deadline, judge};
pub use probe::ProbePlan;
pub use probes::{Probes, Report};

pub use state::{CheckState, Condition, LastCheck, ProbeError, ProbeResult};
