//! Text to meaning, without I/O: what was typed, what it means, and what is wrong with it.
//!
//! `file` and its neighbours ask a `reader` for keys and build the [`spec`]; the reader remembers what it was asked
//! for, so the code that reads is the only list of keys there is.

mod access;
mod address;
pub(crate) mod build;
mod checks;
mod connection;
pub mod containers;
mod diagnostics;
mod duration;
mod file;
mod hooks;
mod interpolate;
mod key;
mod latency;
mod limits;
mod policies;
mod reader;
mod rescue;
mod retry;
mod rollout;
mod routes;
mod services;
mod size;
pub mod spec;
mod strategy;
mod suggest;
mod tls;
mod upgrades;
mod value;

use toml::de::DeTable;

pub use address::NotAnAddress;
pub use diagnostics::{Diagnostic, Diagnostics, Style};
pub(crate) use duration::{parse as duration, show as show_duration};
pub(crate) use file::comes_back;
pub(crate) use reader::not_a_name;

use diagnostics::Problem;
use reader::Document;
use spec::Spec;

/// What the text of a config means. `env` gives the value of an environment variable, `None` when it is not set.
///
/// # Errors
/// Everything that is wrong with the text, at once. When it is not TOML, only that.
pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Spec, Diagnostics> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Diagnostics::new(text, errors.into_iter().map(syntax).collect()));
    }
    Document::new(text, env).read(root.get_ref(), file::read)
}

fn syntax(error: toml::de::Error) -> Problem {
    let message = format!("not valid TOML: {}", error.message().trim());
    Problem { message, help: None, path: String::new(), span: error.span() }
}

#[cfg(test)]
mod tests;
