//! Which endpoint of a version a request goes to: the less loaded of two random ones.

use super::{Endpoint, EndpointId, Standing};

/// Picks an endpoint that `usable` accepts: the one with fewer requests in flight of two drawn at random
/// (Mitzenmacher, "The power of two choices", 2001). One on probation is passed over while it has a request and another
/// is open. `bits` are 64 random bits. `None` when nothing is usable.
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
        (true, true) => Some(less_loaded(a, b, in_flight)),
        (true, false) => Some(a),
        (false, true) => Some(b),
        (false, false) => two_among(endpoints, bits, open)
            .or_else(|| two_among(endpoints, bits, |endpoint| usable(endpoint.id)))
            .map(|(a, b)| less_loaded(a, b, in_flight)),
    }
}

fn less_loaded<'a>(a: &'a Endpoint, b: &'a Endpoint, in_flight: impl Fn(&Endpoint) -> u32) -> &'a Endpoint {
    if in_flight(b) < in_flight(a) { b } else { a }
}

/// Two different ones of those that `fit` (the same twice when it is the only one). Slower than two blind draws, so only
/// for when these hit nothing; drawing again instead of walking on keeps it fair to those beside a hole.
fn two_among(
    endpoints: &[Endpoint],
    bits: u64,
    fit: impl Fn(&Endpoint) -> bool,
) -> Option<(&Endpoint, &Endpoint)> {
    let fitting = || endpoints.iter().filter(|endpoint| fit(endpoint));
    // The blind draws used these bits up; a SplitMix64 step makes others of them (Steele, Lea, Flood, 2014).
    let mixed = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let (first, second) = two_of(fitting().count(), mixed ^ (mixed >> 31))?;
    Some((fitting().nth(first)?, fitting().nth(second)?))
}

/// Two different indexes below `len` (the same when there is only one).
fn two_of(len: usize, bits: u64) -> Option<(usize, usize)> {
    let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
    let below = |half: u64, bound: u32| ((half & 0xFFFF_FFFF) * u64::from(bound)) >> 32;
    let first = below(bits, len);
    let second = if len == 1 { first } else { (first + 1 + below(bits >> 32, len - 1)) % u64::from(len) };
    Some((usize::try_from(first).ok()?, usize::try_from(second).ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::domain::stats::EndpointCells;

    /// What a test says about one endpoint.
    #[derive(Clone, Copy, Debug)]
    struct Case {
        usable: bool,
        standing: Standing,
        in_flight: u32,
    }

    const IDLE: Case = Case { usable: true, standing: Standing::Ready, in_flight: 0 };
    const OUT: Case = Case { usable: false, ..IDLE };

    fn endpoints(cases: &[Case]) -> Vec<Endpoint> {
        let endpoint = |slot: u32, case: &Case| Endpoint {
            id: EndpointId { slot, birth: slot },
            address: ([127, 0, 0, 1], 9000).into(),
            declared: "127.0.0.1:9000".into(),
            standing: case.standing,
            cells: Arc::new(EndpointCells::new(1)),
        };
        (0..).zip(cases).map(|(slot, case)| endpoint(slot, case)).collect()
    }

    fn index(id: EndpointId) -> usize {
        usize::try_from(id.slot).unwrap()
    }

    /// The index of the picked endpoint.
    fn picked(endpoints: &[Endpoint], cases: &[Case], bits: u64) -> Option<usize> {
        let in_flight = |endpoint: &Endpoint| cases[index(endpoint.id)].in_flight;
        pick(endpoints, bits, in_flight, |id| cases[index(id)].usable).map(|endpoint| index(endpoint.id))
    }

    /// How often each endpoint is picked in `draws` draws.
    fn shares(cases: &[Case], draws: u32) -> Vec<u32> {
        let (endpoints, mut random) = (endpoints(cases), fastrand::Rng::with_seed(11));
        let mut counts = vec![0; cases.len()];
        for _ in 0..draws {
            counts[picked(&endpoints, cases, random.u64(..)).expect("one is usable")] += 1;
        }
        counts
    }

    #[test]
    fn without_endpoints_none_is_picked() {
        assert_eq!(picked(&[], &[], 7), None);
    }

    #[test]
    fn equals_are_picked_equally_often_whatever_stands_between_them() {
        for cases in [
            vec![IDLE; 2],
            vec![IDLE; 3],
            vec![IDLE; 7],
            vec![OUT, OUT, IDLE, IDLE],
            vec![OUT, IDLE, OUT, OUT, OUT, IDLE, IDLE, OUT],
        ] {
            let usable = cases.iter().filter(|case| case.usable).count();
            let (draws, share) = (50_000, 1.0 / f64::from(u32::try_from(usable).unwrap()));
            let deviation = (f64::from(draws) * share * (1.0 - share)).sqrt();
            for (case, count) in cases.iter().zip(shares(&cases, draws)) {
                let expected = if case.usable { f64::from(draws) * share } else { 0.0 };
                let distance = (f64::from(count) - expected).abs();
                assert!(distance <= 4.0 * deviation, "{count} is no {expected} (sd {deviation}): {cases:?}");
            }
        }
    }

    #[test]
    fn of_two_the_less_loaded_is_always_picked() {
        let cases = [Case { in_flight: 3, ..IDLE }, Case { in_flight: 2, ..IDLE }];
        assert_eq!(shares(&cases, 1000), [0, 1000]);
    }

    #[test]
    fn the_most_loaded_of_many_is_never_picked() {
        let mut cases = [IDLE; 5];
        cases[3].in_flight = 1;
        assert_eq!(shares(&cases, 10_000)[3], 0);
    }

    #[test]
    fn one_on_probation_gets_one_request_at_a_time() {
        let trying = Case { standing: Standing::Probation, ..IDLE };
        let busy = Case { in_flight: 50, ..IDLE };
        assert_eq!(shares(&[busy, trying], 1000), [0, 1000]);
        assert_eq!(shares(&[busy, Case { in_flight: 1, ..trying }], 1000), [1000, 0]);
    }

    #[test]
    fn when_all_are_on_probation_and_busy_one_is_picked_all_the_same() {
        let busy = Case { standing: Standing::Probation, in_flight: 1, usable: true };
        let cases = [busy, OUT, Case { in_flight: 2, ..busy }];
        assert_eq!(shares(&cases, 1000), [1000, 0, 0]);
    }

    fn cases() -> impl Strategy<Value = Vec<Case>> {
        let standing = prop_oneof![Just(Standing::Ready), Just(Standing::Probation)];
        let case = (any::<bool>(), standing, 0u32..4).prop_map(|(usable, standing, in_flight)| Case {
            usable,
            standing,
            in_flight,
        });
        proptest::collection::vec(case, 0..9)
    }

    proptest! {
        #[test]
        fn a_usable_one_is_picked_exactly_when_there_is_one(cases in cases(), bits in any::<u64>()) {
            let picked = picked(&endpoints(&cases), &cases, bits);
            prop_assert_eq!(picked.is_some(), cases.iter().any(|case| case.usable));
            prop_assert!(picked.is_none_or(|index| cases[index].usable), "{:?}", picked);
        }

        #[test]
        fn the_only_usable_one_is_always_found(len in 1usize..20, only in 0usize..20, bits in any::<u64>()) {
            let mut cases = vec![OUT; len];
            cases[only % len].usable = true;
            prop_assert_eq!(picked(&endpoints(&cases), &cases, bits), Some(only % len));
        }

        #[test]
        fn a_busy_one_on_probation_is_picked_only_when_no_other_is_open(cases in cases(), bits in any::<u64>()) {
            let open = |case: &Case| case.usable && (case.standing == Standing::Ready || case.in_flight == 0);
            if let Some(index) = picked(&endpoints(&cases), &cases, bits) {
                prop_assert!(open(&cases[index]) || !cases.iter().any(open), "{index}");
            }
        }
    }
}
