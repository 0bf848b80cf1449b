//! How often a service may be asked: one limit for the whole process, whichever worker a request came to. It is told the
//! time, and its memory is bounded whoever asks: addresses are many, and values of headers are whatever clients like.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderName;

use super::Salt;
use crate::domain::Timestamp;

/// Who shares a limit, and how much they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Whose requests are counted together.
    pub by: LimitBy,
    /// So many requests…
    pub requests: NonZeroU32,
    /// …in this time. Also what an unused limit grows back in.
    pub per: Duration,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// Those of one IPv4 address, or of one IPv6 network of 64 bits, which is what one customer has.
    Ip,
    /// Those with the same value in this header; without it those of one address.
    Header(HeaderName),
    /// All of them.
    Service,
}

/// Who asks, as a limit tells them apart.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// One of many at this address.
    At(IpAddr),
    /// Whoever sends this value.
    Sending(&'a [u8]),
    /// Anybody.
    Anyone,
}

/// A limit with what has been used of it. Shared by all workers.
#[derive(Debug)]
pub struct Limiter {
    rule: RateLimit,
    salt: Salt,
    /// Nanoseconds that one request uses up.
    interval: u64,
    /// How far ahead of the time a caller may get.
    tolerance: u64,
    shards: [Mutex<Shard>; SHARDS],
}

/// Locks: workers seldom wait for each other.
const SHARDS: usize = 64;
const SETS: usize = 128;
/// Callers that may be in one place.
const WAYS: usize = 8;

/// Made when its first caller comes. `SHARDS` × `SETS` × `WAYS` × 16 bytes: 1 MiB for 65,536 callers at most.
type Shard = Box<[[Account; WAYS]]>;

/// What one caller has used.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    caller: u64,
    /// When all it has used will have grown back, in nanoseconds: GCRA's theoretical arrival time.
    paid_at: u64,
}

impl Limiter {
    /// Of which nothing has been used. `salt`: secret, so that nobody can choose values that get in each other's way.
    pub fn new(rule: RateLimit, salt: Salt) -> Self {
        let per = u64::try_from(rule.per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / u64::from(rule.requests.get())).max(1);
        let tolerance = interval.saturating_mul(u64::from(rule.burst.get() - 1));
        Self { rule, salt, interval, tolerance, shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The rule.
    pub fn rule(&self) -> &RateLimit {
        &self.rule
    }

    /// Takes one request of this caller's share.
    ///
    /// # Errors
    /// When there is nothing left of it: how long it takes until there is. That request uses nothing.
    pub fn take(&self, caller: Caller<'_>, now: Timestamp) -> Result<(), Duration> {
        let caller = self.number(caller);
        let now = now.as_micros().saturating_mul(1000);
        let place = |bits: u64, among: usize| usize::try_from(bits).unwrap_or(0) % among;
        let mut shard = locked(&self.shards[place(caller >> 32, SHARDS)]);
        if shard.is_empty() {
            *shard = vec![[Account::default(); WAYS]; SETS].into_boxed_slice();
        }
        let set = &mut shard[place(caller & 0xFFFF_FFFF, SETS)];
        let paid_at = set.iter().find(|account| account.caller == caller).map_or(now, |known| known.paid_at);
        let ahead = paid_at.saturating_sub(now);
        if ahead > self.tolerance {
            return Err(Duration::from_nanos(ahead - self.tolerance));
        }
        let account = Account { caller, paid_at: paid_at.max(now).saturating_add(self.interval) };
        // Who has used least is forgotten first: most likely it has all of its share back anyway. So whoever floods us with
        // new names locks nobody out, and does not get rid of what it owes under an old one before it has used as much
        // under eight others.
        let least = |set: &mut [Account; WAYS]| (0..WAYS).min_by_key(|way| set[*way].paid_at).unwrap_or(0);
        let way = set.iter().position(|account| account.caller == caller).unwrap_or_else(|| least(set));
        set[way] = account;
        Ok(())
    }

    fn number(&self, caller: Caller<'_>) -> u64 {
        match caller {
            Caller::At(IpAddr::V4(ip)) => self.salt.hash(&ip.octets()),
            Caller::At(IpAddr::V6(ip)) => self.salt.hash(&ip.octets()[..8]),
            Caller::Sending(value) => !self.salt.hash(value),
            Caller::Anyone => 0,
        }
    }
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use governor::clock::FakeRelativeClock;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn limiter(requests: u32, per: Duration, burst: u32) -> Limiter {
        let (requests, burst) = (NonZeroU32::new(requests).unwrap(), NonZeroU32::new(burst).unwrap());
        Limiter::new(RateLimit { by: LimitBy::Ip, requests, per, burst }, Salt(1, 2))
    }

    fn at(ip: &str) -> Caller<'static> {
        Caller::At(ip.parse().unwrap())
    }

    #[test]
    fn a_burst_is_used_up_and_grows_back_one_by_one() {
        let limiter = limiter(10, Duration::from_secs(1), 3);
        let taken = |millis: u64| limiter.take(at("192.0.2.1"), START + Duration::from_millis(millis));
        assert_eq!([taken(0), taken(0), taken(0)], [Ok(()); 3]);
        assert_eq!(taken(0), Err(Duration::from_millis(100)));
        assert_eq!(taken(60), Err(Duration::from_millis(40)));
        assert_eq!((taken(100), taken(100)), (Ok(()), Err(Duration::from_millis(100))));
        assert_eq!([taken(9_000), taken(9_000), taken(9_000)], [Ok(()); 3]);
        assert!(taken(9_000).is_err());
    }

    #[test]
    fn callers_are_told_apart_by_address_or_network() {
        let limiter = limiter(1, Duration::from_secs(60), 1);
        for (ip, taken) in [
            ("192.0.2.1", true),
            ("192.0.2.2", true),
            ("192.0.2.1", false),
            ("2001:db8:1:1::1", true),
            ("2001:db8:1:1:ffff::2", false),
            ("2001:db8:1:2::1", true),
        ] {
            assert_eq!(limiter.take(at(ip), START).is_ok(), taken, "{ip}");
        }
        assert!(limiter.take(Caller::Sending(b"a"), START).is_ok());
        assert!(limiter.take(Caller::Sending(b"b"), START).is_ok());
        assert!(limiter.take(Caller::Sending(b"a"), START).is_err());
    }

    #[test]
    fn a_million_callers_take_no_more_memory_than_65_536_and_lock_nobody_out() {
        let limiter = limiter(1, Duration::from_secs(60), 1);
        for number in 0..1_000_000_u32 {
            assert_eq!(
                limiter.take(Caller::At(IpAddr::from(number.to_be_bytes())), START),
                Ok(()),
                "{number}"
            );
        }
        let held: usize = limiter.shards.iter().map(|shard| locked(shard).len() * WAYS).sum();
        assert_eq!(held * size_of::<Account>(), 1024 * 1024);
    }

    #[test]
    fn who_owes_much_is_not_forgotten_for_callers_that_owe_little() {
        let limiter = limiter(1, Duration::from_secs(1), 100);
        while limiter.take(at("192.0.2.1"), START).is_ok() {}
        for number in 0..1_000_000_u32 {
            assert_eq!(limiter.take(Caller::Sending(&number.to_be_bytes()), START), Ok(()), "{number}");
        }
        assert!(limiter.take(at("192.0.2.1"), START).is_err());
    }

    #[test]
    fn workers_share_one_limit() {
        let limiter = limiter(1000, Duration::from_secs(60), 1000);
        let taken: usize = std::thread::scope(|scope| {
            let worker = || (0..1000).filter(|_| limiter.take(Caller::Anyone, START).is_ok()).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }

    proptest! {
        #[test]
        fn what_governor_allows_is_allowed_and_nothing_else(
            requests in 1_u32..1000,
            per in 1_u64..100_000,
            burst in 1_u32..50,
            calls in proptest::collection::vec((0_u8..3, 0_u64..20_000), 1..300),
        ) {
            let ours = limiter(requests, Duration::from_millis(per), burst);
            let every = Duration::from_millis(per) / requests;
            let quota = Quota::with_period(every).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
            let clock = FakeRelativeClock::default();
            let theirs: HashMap<u8, _> =
                (0..3).map(|caller| (caller, RateLimiter::direct_with_clock(quota, clock.clone()))).collect();
            let mut now = START;
            for (caller, pause) in calls {
                let pause = Duration::from_micros(pause);
                (now, _) = (now + pause, clock.advance(pause));
                let allowed = theirs[&caller].check().is_ok();
                prop_assert_eq!(ours.take(Caller::Sending(&[caller]), now).is_ok(), allowed);
            }
        }
    }
}
