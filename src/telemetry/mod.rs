//! What the outside sees of what happens: metrics and the access log.

mod access_log;
mod docker;
mod families;
mod line;
mod metrics;
mod results;
mod tls;

pub use access_log::{AccessLog, Entry, LogWriter};
pub use docker::DockerSeries;
pub use metrics::{EndpointSeries, Metrics, RolloutSeries, Series, ServiceSeries, VersionSeries};
pub use tls::TlsReading;
