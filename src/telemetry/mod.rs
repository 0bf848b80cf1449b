//! What the outside sees of what happens: metrics and the access log.

mod access_log;

pub use access_log::Entry;

/// Placeholder.
#[derive(Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// Placeholder.
    pub fn render(&self) -> String {
        "adit_build_info 1\n".to_owned()
    }
}
