//! Who may ask, and how often: before a version is chosen, so that nothing of it is evidence.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderMap;

use super::respond::Refusal;
use crate::domain::routing::{Caller, LimitBy, Service};
use crate::proxy::observe::Exchange;

/// Whether a request comes here for the first time. One that waited until its service was released used up its share before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    First,
    Again,
}

/// Lets a request in, if its client may ask this service, and not too often.
pub(crate) fn admit(
    exchange: &Exchange,
    service: &Service,
    headers: &HeaderMap,
    visit: Visit,
) -> Result<(), Refusal> {
    let ip = exchange.origin.ip;
    if !service.policy.access.admits(ip) {
        return Err(Refusal::NotAdmitted);
    }
    let Some(limiter) = service.limiter.as_ref().filter(|_| visit == Visit::First) else { return Ok(()) };
    let caller = match &limiter.rule().by {
        LimitBy::Ip => Caller::At(ip),
        LimitBy::Header(name) => {
            headers.get(name).map_or(Caller::At(ip), |value| Caller::Sending(value.as_bytes()))
        }
        LimitBy::Service => Caller::Anyone,
    };
    limiter.take(caller, exchange.started).map_err(|wait| Refusal::TooOften(seconds(wait)))
}

/// Rounded up: who comes back then finds something.
fn seconds(wait: Duration) -> NonZeroU32 {
    let whole = u32::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
    NonZeroU32::new(whole).unwrap_or(NonZeroU32::MIN)
}
