//! When a request is sent again within its version.

use std::time::Duration;

use http::{Method, StatusCode};

use super::Statuses;

/// What becomes of a request that an endpoint did not answer, or answered badly.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Endpoints that are asked at the most, the first one included; if it is more than one, those that refuse the connection
    /// at once are not counted. Default 3.
    pub attempts: u32,
    /// After what another one is asked.
    pub on: RetryOn,
    /// How long an endpoint has for the head of its answer while another may be asked; `None` (default): as long as the
    /// last one.
    pub per_try: Option<Duration>,
    /// Of what was sent before, at most this share of the version's requests is sent again, 0 to 1, plus
    /// [`super::Budget::FLOOR`] a second. Default 0.2.
    pub budget: f64,
    /// What may be sent again if an endpoint may have begun to work on it. Default: what is safe or idempotent (RFC 9110
    /// section 9.2.2).
    pub methods: Vec<Method>,
}

/// After what a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// No endpoint saw it: no connection, or one on which nothing was sent, or the endpoint says that it did nothing. For
    /// every method. Default: yes.
    pub connect: bool,
    /// It was sent, and its connection ended before the head of an answer was whole. Default: no.
    pub reset: bool,
    /// The answers. Default: none.
    pub statuses: Statuses,
}

impl Retry {
    /// The upper bound of the first pause.
    pub const FIRST_PAUSE: Duration = Duration::from_millis(25);
    /// The upper bound of all pauses.
    pub const LONGEST_PAUSE: Duration = Duration::from_millis(250);

    /// Whether a request with this method may be sent again although an endpoint may have begun to work on it.
    #[inline]
    pub fn covers(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// Whether anything is retried that has been sent, beyond what every proxy must do about connections that close.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.attempts > 1 && (self.on.reset || self.per_try.is_some() || self.on.statuses != Statuses::none())
    }

    /// Whether this answer is one after which another endpoint is asked.
    pub fn retries(&self, status: StatusCode) -> bool {
        self.on.statuses.contains(status.as_u16())
    }

    /// How long to wait before a request is sent for the (`nth` + 2)th time: anything up to a bound that doubles each time,
    /// so that those who failed together do not come back together. `random`: 0 to 1.
    pub fn pause(nth: u32, random: f64) -> Duration {
        let doubled = Self::FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(nth));
        doubled.min(Self::LONGEST_PAUSE).mul_f64(random.clamp(0.0, 1.0))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: RetryOn { connect: true, reset: false, statuses: Statuses::none() },
            per_try: None,
            budget: 0.2,
            methods: vec![Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    #[test]
    fn by_default_nothing_is_retried_that_an_endpoint_has_seen() {
        let default = Retry::default();
        assert!(default.on.connect && !default.is_wanted());
        assert!(!default.retries(StatusCode::SERVICE_UNAVAILABLE));
        assert!(default.covers(&Method::PUT) && !default.covers(&Method::POST));
    }

    #[test]
    fn the_bound_of_the_pauses_doubles_up_to_its_limit() {
        let bounds: Vec<_> = (0..6).map(|nth| Retry::pause(nth, 1.0).as_millis()).collect();
        assert_eq!(bounds, [25, 50, 100, 200, 250, 250]);
        assert_eq!(Retry::pause(u32::MAX, 1.0), Retry::LONGEST_PAUSE);
    }

    proptest! {
        #[test]
        fn a_pause_is_anything_between_nothing_and_its_bound(nth in any::<u32>(), random in 0.0..1.0) {
            let (pause, bound) = (Retry::pause(nth, random), Retry::pause(nth, 1.0));
            prop_assert!(pause <= bound && bound <= Retry::LONGEST_PAUSE);
            prop_assert!(pause.abs_diff(bound.mul_f64(random)) <= Duration::from_micros(1), "full jitter");
        }
    }
}
