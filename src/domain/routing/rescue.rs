//! What may be done for a user whose request the version under release failed, or does not know.

use std::ops::RangeInclusive;

use http::Method;

use super::PathPrefix;

/// Which failed canary requests are sent to stable, so that their users get an answer all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Rescue {
    /// These only. Empty: nothing is rescued. Default: GET, HEAD, OPTIONS.
    pub methods: Vec<Method>,
    /// Bytes of the largest request body that is kept for it. Default 64 KiB.
    pub max_body: usize,
    /// At most this share of the service's requests, 0 to 1, plus [`super::Budget::FLOOR`] a second. Default 0.2.
    pub budget: f64,
    /// The answers that count as failed. Default: every 5xx but 501 and 505, which say something of the request.
    pub on: Statuses,
}

/// A set of status codes from 500 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(u128);

/// Where clients are sent on from a version that has not got what they ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnMissing {
    /// Under these paths a 404 is tried on the other version of a rollout. Empty (default): nowhere.
    pub paths: Vec<PathPrefix>,
}

impl Rescue {
    /// Whether a request with this method may be rescued.
    pub fn covers(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }
}

impl Default for Rescue {
    fn default() -> Self {
        Self {
            methods: vec![Method::GET, Method::HEAD, Method::OPTIONS],
            max_body: 64 * 1024,
            budget: 0.2,
            on: Statuses::default(),
        }
    }
}

impl Statuses {
    /// Which codes there can be.
    pub const RANGE: RangeInclusive<u16> = 500..=599;

    /// Those of `codes` that are in [`Self::RANGE`].
    pub fn of(codes: impl IntoIterator<Item = u16>) -> Self {
        let bits = codes.into_iter().filter(|code| Self::RANGE.contains(code));
        Self(bits.fold(0, |set, code| set | 1 << (code - Self::RANGE.start())))
    }

    /// No code.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Whether `code` is one of them.
    #[inline]
    pub fn contains(self, code: u16) -> bool {
        Self::RANGE.contains(&code) && self.0 >> (code - Self::RANGE.start()) & 1 == 1
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self::of(Self::RANGE.filter(|code| ![501, 505].contains(code)))
    }
}

impl OnMissing {
    /// Whether a 404 for `path` (levelled, as the matcher sees it) is tried elsewhere.
    #[inline]
    pub fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|prefix| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_server_errors_but_501_and_505_are_failures_unless_said_otherwise() {
        let default = Statuses::default();
        for (code, is_in) in [(500, true), (503, true), (599, true), (501, false), (505, false), (404, false)]
        {
            assert_eq!(default.contains(code), is_in, "{code}");
        }
        let few = Statuses::of([502, 503, 404]);
        assert!(few.contains(502) && few.contains(503) && !few.contains(500) && !few.contains(404));
    }

    #[test]
    fn a_path_is_covered_on_segment_borders() {
        let on_missing = OnMissing { paths: vec![PathPrefix::parse("/assets/").unwrap()] };
        for (path, covered) in [
            ("/assets/a.js", true),
            ("/assets", true),
            ("/assetsx", false),
            ("/", false),
            ("/x/assets/a", false),
        ] {
            assert_eq!(on_missing.covers(path), covered, "{path}");
        }
        assert!(!OnMissing::default().covers("/assets/a.js"));
    }
}
