//! Which config file is meant.

use std::path::{Path, PathBuf};

/// Looked for in this order when no file is named.
pub(super) const DEFAULTS: [&str; 2] = ["adit.toml", "/etc/adit/adit.toml"];

/// The file that was named; else the first of [`DEFAULTS`] that is there; else none.
pub(super) fn find(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_owned()),
        None => DEFAULTS.iter().map(PathBuf::from).find(|path| path.exists()),
    }
}

/// What to say when there is none.
pub(super) fn none_found(verb: &str) -> String {
    format!(
        "no config file: neither ./{} nor {} is there; name one: adit {verb} -c FILE",
        DEFAULTS[0], DEFAULTS[1]
    )
}
