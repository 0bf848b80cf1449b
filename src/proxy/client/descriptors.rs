//! How many files this process may have open, and how many of them clients may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For listeners, the state, the log, health checks and what else the program does beside carrying requests.
const OURS: u64 = 128;

/// Lets this process open as many files as the system allows it to. So many connections of clients then leave room for
/// connections to endpoints: a third of all.
pub(crate) fn room_for_clients() -> u64 {
    let allowed = raise();
    (allowed.saturating_sub(OURS) / 3 * 2).max(1)
}

/// The soft limit is there for programs that use `select`, which we do not.
fn raise() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => now.maximum.unwrap_or(u64::MAX),
        // Kept as it is, and obeyed.
        Err(_) => now.current.unwrap_or(u64::MAX),
    }
}
