//! Real parts of other makers: what `tests/run` installs.

use std::path::PathBuf;
use std::process::Command;

/// Whether the tests run without this part (`prometheus`, `python`): `tests/run` says so when it can't be installed.
pub(crate) fn is_missing(part: &str) -> bool {
    std::env::var("ADIT_TESTS_WITHOUT").is_ok_and(|without| without.split(' ').any(|it| it == part))
}

/// A Python with the packages of `tests/requirements.txt`, about to run this script.
pub(crate) fn python(script: &str) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let python = target.join("python/bin/python");
    assert!(python.exists(), "{} is missing: tests/run sees to it", python.display());
    let mut command = Command::new(python);
    command.arg("-u").arg(root().join(script));
    command
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
