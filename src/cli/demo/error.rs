//! What can keep the demo from being shown.

use std::fmt;
use std::io;

use crate::app::StartError;
use crate::provider::file::LoadError;

/// Why there is nothing to see.
#[derive(Debug)]
pub(super) enum DemoError {
    /// No runtime for the endpoints and clients.
    Runtime(io::Error),
    /// The temporary directory or a file in it.
    Files(io::Error),
    /// An endpoint has no port to listen on.
    Endpoint(io::Error),
    /// The demo's own config is not accepted.
    Config(LoadError),
    /// The proxy did not start.
    Start(StartError),
    /// Control ended while it was needed.
    Stopped,
    /// Standard output is gone.
    Output(io::Error),
    /// Ctrl-C.
    Interrupted,
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "the runtime does not start: {error}"),
            Self::Files(error) => write!(
                f,
                "no files can be written below {} (TMPDIR chooses another place): {error}",
                std::env::temp_dir().display()
            ),
            Self::Endpoint(error) => write!(f, "no free port on 127.0.0.1 for an endpoint: {error}"),
            Self::Config(error) => write!(f, "the demo's own config is not accepted: {error}"),
            Self::Start(error) => write!(f, "the proxy does not start: {error}"),
            Self::Stopped => f.write_str("the proxy's control ended by itself"),
            Self::Output(error) => write!(f, "standard output can't be written: {error}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for DemoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Runtime(error) | Self::Files(error) | Self::Endpoint(error) | Self::Output(error) => {
                Some(error)
            }
            Self::Config(error) => Some(error),
            Self::Start(error) => Some(error),
            Self::Stopped | Self::Interrupted => None,
        }
    }
}
