//! Which endpoint of a version a request goes to: the less loaded of two random ones.

use super::{Endpoint, EndpointId, Standing};

/// Picks an endpoint that `usable` accepts: the one with fewer requests in flight of two drawn at random
/// (Mitzenmacher, "The power of two choices", 2001). One on probation is passed over while it has a request.
/// `bits` are 64 random bits. `None` when nothing is usable.
#[inline]
pub fn pick(
    endpoints: &[Endpoint],
    bits: u64,
    in_flight: impl Fn(&Endpoint) -> u32,
    usable: impl Fn(EndpointId) -> bool,
) -> Option<&Endpoint> {
    let open = |endpoint: &Endpoint| {
        usable(endpoint.id) && (endpoint.standing == Standing::Ready || in_flight(endpoint) == 0)
    };
    let (first, second) = two_of(endpoints.len(), bits)?;
    let (a, b) = (&endpoints[first], &endpoints[second]);
    match (open(a), open(b)) {
        (true, true) if in_flight(b) < in_flight(a) => Some(b),
        (true, _) => Some(a),
        (false, true) => Some(b),
        // Both are out: walk on from the first, so that one usable endpoint is always found.
        (false, false) => {
            let (before, after) = endpoints.split_at(first);
            let mut around = after.iter().chain(before);
            around
                .clone()
                .find(|endpoint| open(endpoint))
                .or_else(|| around.find(|endpoint| usable(endpoint.id)))
        }
    }
}

/// Two different indexes below `len` (the same when there is only one).
fn two_of(len: usize, bits: u64) -> Option<(usize, usize)> {
    let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
    let below = |half: u64, bound: u32| ((half & 0xFFFF_FFFF) * u64::from(bound)) >> 32;
    let first = below(bits, len);
    let second = if len == 1 { first } else { (first + 1 + below(bits >> 32, len - 1)) % u64::from(len) };
    Some((usize::try_from(first).ok()?, usize::try_from(second).ok()?))
}
