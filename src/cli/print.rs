//! Words to the terminal, or into whatever stands in its place. Nothing here panics when nobody listens.

use std::error::Error;
use std::io::{self, Write};
use std::iter::successors;

use super::client::Failure;
use super::exit::Exit;

/// Writes to standard output.
///
/// # Errors
/// When it can't be written; see [`unheard`].
pub(super) fn out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to standard error.
pub(super) fn err(line: &str) {
    // There is no third place to complain at.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// What it means that standard output could not be written: a reader that went away has seen enough.
pub(super) fn unheard(error: &io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::Ok;
    }
    err(&format!("adit: standard output can't be written: {error}"));
    Exit::Failure
}

/// A JSON document from the admin API, as it came: a newer Adit may say more than this program knows.
pub(super) fn document(body: &[u8]) -> String {
    format!("{}\n", String::from_utf8_lossy(body.trim_ascii()))
}

/// Shows how a verb ended.
pub(super) fn finish(outcome: Result<String, Failure>) -> Exit {
    match outcome.map(|text| out(&text)) {
        Ok(Ok(())) => Exit::Ok,
        Ok(Err(error)) => unheard(&error),
        Err(failure) => {
            err(&format!("adit: {failure}"));
            failure.exit()
        }
    }
}

/// An error with all its causes: on one line, but for causes that are a list of their own.
pub(super) fn chain(error: &dyn Error) -> String {
    let causes = successors(error.source(), |&error| error.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| {
        let between = if cause.contains('\n') { "\n" } else { ": " };
        format!("{text}{between}{cause}")
    })
}
