//! The `adit` program.

use std::process::ExitCode;

/// Requests allocate; the system's allocator is the slower one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(adit::cli::run())
}
