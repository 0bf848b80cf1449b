//! Which version of a service is wanted, when containers say so: the one that came last.

use std::collections::BTreeMap;

use super::Standing;
use crate::domain::{Timestamp, VersionName};

/// A version that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When the oldest of its containers was created. What came when the last was would seem new whenever an old version
    /// is scaled up.
    pub(super) came: Timestamp,
    /// Whether one of its containers is live.
    pub(super) is_live: bool,
    /// Whether one of its containers ended badly: then nobody stopped it.
    pub(super) has_failed: bool,
}

/// Which version is wanted; `None`: there is none. Of a service that nothing is recorded of it is the first that lives: once
/// that is recorded as what users have, a later one is wanted, to be released.
pub(super) fn wanted(arrivals: &BTreeMap<VersionName, Arrival>, standing: &Standing) -> Option<VersionName> {
    let order = |(name, arrival): &(&VersionName, &Arrival)| (arrival.came, (*name).clone());
    let last = arrivals.iter().max_by_key(order).map(|(name, _)| name);
    let Some(stable) = standing.stable.as_ref().filter(|stable| is_there(stable, arrivals, standing)) else {
        let live = arrivals.iter().filter(|(_, arrival)| arrival.is_live);
        // Users have it: nobody would have started another one beside it otherwise.
        return live.min_by_key(order).map(|(name, _)| name).or(last).cloned();
    };
    let was_wanted = |name: &VersionName| standing.wanted.as_ref() == Some(name);
    // What users have does not come anew when its containers are made anew: beside a version that was wanted in its place,
    // and is still there, that withdraws nothing.
    let beside =
        standing.wanted.as_ref().is_some_and(|wanted| wanted != stable && arrivals.contains_key(wanted));
    // One that ended badly before it was ever seen alive is released too: that it never gets ready is then said, and ends it.
    let latest = arrivals.get(stable).map_or(Timestamp::default(), |arrival| arrival.came);
    let counts = |name: &VersionName, arrival: &Arrival| {
        arrival.is_live || was_wanted(name) || (arrival.has_failed && arrival.came > latest)
    };
    let candidates =
        arrivals.iter().filter(|(name, arrival)| counts(name, arrival) && !(beside && *name == stable));
    Some(candidates.max_by_key(order).map_or(stable, |(name, _)| name).clone())
}

/// Whether a version has containers, or is remembered.
fn is_there(version: &VersionName, arrivals: &BTreeMap<VersionName, Arrival>, standing: &Standing) -> bool {
    arrivals.contains_key(version) || standing.kept.contains_key(version)
}
