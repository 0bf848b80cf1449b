//! The program's own log, on standard error: lines for people on a terminal, JSON lines for machines elsewhere.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::client::Failure;
use super::grid::Colour;

/// Says how much is logged: `error`, `warn`, `info` (default), `debug`, `trace`, or per module.
const LEVEL: &str = "ADIT_LOG";

/// Without a word to the contrary. What h2 warns of is what peers do: any client could fill the log with it.
const DEFAULT: &str = "info,h2=error";

/// Starts the log. To be called once, before anything is logged.
///
/// # Errors
/// When `ADIT_LOG` can't be read.
pub(super) fn start() -> Result<(), Failure> {
    let level = env::var(LEVEL).ok().filter(|level| !level.is_empty()).unwrap_or_else(|| DEFAULT.to_owned());
    let filter = filter(&level)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        log.with_target(false).with_ansi(Colour::of(&io::stderr()) == Colour::Ansi).init();
    } else {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
    Ok(())
}

/// A lone word that is no level would be taken for a module's name, and all else would be silent.
fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let no_level = |error: &dyn Display| {
        Failure::Usage(format!("{LEVEL}={level} is no log level ({error}); try `info` or `debug`"))
    };
    if !level.contains(['=', ',']) {
        level.parse::<LevelFilter>().map_err(|error| no_level(&error))?;
    }
    EnvFilter::try_new(level).map_err(|error| no_level(&error))
}
