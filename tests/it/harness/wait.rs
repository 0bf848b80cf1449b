//! Waiting for a fact.

use std::fmt::Display;
use std::sync::OnceLock;
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;

/// How long any fact may take. Far more than it needs: a test that gets here has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The time on the one clock of this test binary.
pub(crate) fn now() -> Timestamp {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(Clock::real).now()
}

/// Between two looks at a fact that lives in another process.
fn pause() {
    std::thread::park_timeout(Duration::from_millis(2));
}

/// Looks until `fact` gives something.
///
/// # Panics
/// When it gives nothing for [`LIMIT`]; `explain` says how things stood.
pub(crate) fn until<T, D: Display>(
    what: &str,
    mut fact: impl FnMut() -> Option<T>,
    explain: impl FnOnce() -> D,
) -> T {
    let deadline = now() + LIMIT;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(now() < deadline, "waited {LIMIT:?} in vain for: {what}\n{}", explain());
        pause();
    }
}
