//! Which version a request goes to.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::domain::Weight;
use crate::domain::stats::Epoch;

/// A service's traffic, divided among versions. The arms' weights add up to the whole.
#[derive(Clone, Debug)]
pub struct Split {
    arms: Vec<Arm>,
    /// The arm that gets what the weights leave over.
    heir: Option<usize>,
    /// Makes each rollout divide clients anew.
    pub salt: Salt,
    /// Where the evidence goes while a rollout is under way.
    pub epoch: Option<Arc<Epoch>>,
}

/// One version's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Index into the service's versions.
    pub version: usize,
    /// Its share.
    pub weight: Weight,
    /// What it is in a rollout.
    pub role: Role,
}

/// What an arm is in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The version being released.
    Canary,
    /// The version users have, or any version when no rollout is under way.
    Stable,
}

/// A point in the whole: 0 to [`Weight::PARTS`] − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point(u32);

/// Two keys of a SipHash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salt(pub u64, pub u64);

impl Split {
    /// Everything to one version.
    pub fn whole(version: usize) -> Self {
        Self::new(vec![Arm { version, weight: Weight::FULL, role: Role::Stable }], Salt::default(), None)
    }

    /// Divided among `arms`, in this order: the canary goes first, so that raising its weight only ever moves
    /// clients from stable to it. A share that the weights leave over (0.0001 % of three thirds) goes to the last stable
    /// arm that has a weight, else to the last stable one; never to a canary, so that weight 0 is always nothing.
    pub fn new(mut arms: Vec<Arm>, salt: Salt, epoch: Option<Arc<Epoch>>) -> Self {
        arms.sort_by_key(|arm| match arm.role {
            Role::Canary => 0,
            Role::Stable => 1,
        });
        let heir = arms
            .iter()
            .rposition(|arm| arm.role == Role::Stable && arm.weight > Weight::ZERO)
            .or_else(|| arms.iter().rposition(|arm| arm.role == Role::Stable));
        Self { arms, heir, salt, epoch }
    }

    /// The arm on which `point` lies; `None` when no arm is there for it: there are none, or only a canary beyond its
    /// weight.
    #[inline]
    pub fn choose(&self, point: Point) -> Option<&Arm> {
        let mut upto = 0;
        self.arms
            .iter()
            .find(|arm| {
                upto += arm.weight.parts();
                point.0 < upto
            })
            .or_else(|| self.arms.get(self.heir?))
    }

    /// The arm that has this role; the one that gets what the weights leave over when several have it.
    pub fn arm(&self, role: Role) -> Option<&Arm> {
        match role {
            Role::Canary => self.arms.first().filter(|arm| arm.role == Role::Canary),
            Role::Stable => self.arms.get(self.heir?),
        }
    }

    /// The arms, the canary first.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }
}

impl Point {
    /// From 64 random (or hashed) bits, uniform to within 2^-44.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the product's upper half is below PARTS")]
        Self(((bits as u128 * Weight::PARTS as u128) >> 64) as u32)
    }
}

impl Salt {
    /// The hash of a client's key, the same on every replica and in every process.
    #[inline]
    pub fn hash(self, key: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(key);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const DRAWS: u32 = 100_000;

    fn arm(version: usize, percent: f64, role: Role) -> Arm {
        Arm { version, weight: Weight::from_percent(percent).unwrap(), role }
    }

    fn rollout(percent: f64) -> Split {
        let arms = vec![arm(0, 100.0 - percent, Role::Stable), arm(1, percent, Role::Canary)];
        Split::new(arms, Salt(1, 2), None)
    }

    /// How often each version is chosen in [`DRAWS`] draws.
    fn draw(split: &Split, mut bits: impl FnMut() -> u64) -> HashMap<Option<usize>, u32> {
        let mut chosen = HashMap::new();
        for _ in 0..DRAWS {
            let version = split.choose(Point::from_bits(bits())).map(|arm| arm.version);
            *chosen.entry(version).or_default() += 1;
        }
        chosen
    }

    /// Fails when a count is more than four standard deviations of a binomial away from what it should be.
    fn assert_share(count: u32, share: f64, what: &str) {
        let draws = f64::from(DRAWS);
        let deviation = (draws * share * (1.0 - share)).sqrt();
        let distance = (f64::from(count) - draws * share).abs();
        assert!(distance <= 4.0 * deviation, "{what}: {count} of {DRAWS} is no {share} (sd {deviation})");
    }

    #[test]
    fn the_observed_share_of_random_draws_follows_the_weight() {
        let mut random = fastrand::Rng::with_seed(20_260_501);
        for percent in [0.01, 0.5, 1.0, 5.0, 25.0, 33.3333, 50.0, 99.0] {
            let chosen = draw(&rollout(percent), || random.u64(..));
            assert_share(chosen[&Some(1)], percent / 100.0, &format!("{percent} %"));
        }
    }

    #[test]
    fn the_observed_share_of_clients_follows_the_weight() {
        for (percent, salt) in [(1.0, Salt(3, 4)), (5.0, Salt(5, 6)), (50.0, Salt(7, 8))] {
            let mut client = 0u32;
            let chosen = draw(&rollout(percent), || {
                client += 1;
                salt.hash(format!("client {client}").as_bytes())
            });
            assert_share(chosen[&Some(1)], percent / 100.0, &format!("{percent} %"));
        }
    }

    #[test]
    fn every_arm_of_a_fixed_split_gets_its_share() {
        let weights = [70.0, 20.0, 10.0];
        let arms = (0..).zip(weights).map(|(version, percent)| arm(version, percent, Role::Stable)).collect();
        let mut random = fastrand::Rng::with_seed(7);
        let chosen = draw(&Split::new(arms, Salt::default(), None), || random.u64(..));
        for (version, percent) in (0..).zip(weights) {
            assert_share(chosen[&Some(version)], percent / 100.0, &format!("version {version}"));
        }
    }

    #[test]
    fn each_salt_divides_the_clients_anew() {
        let split = rollout(50.0);
        let side = |salt: Salt, client: u32| split.choose(Point::from_bits(salt.hash(&client.to_be_bytes())));
        let same = (0..DRAWS).filter(|client| side(Salt(1, 2), *client) == side(Salt(1, 3), *client)).count();
        assert_share(u32::try_from(same).unwrap(), 0.5, "clients on the same side under both salts");
    }

    #[test]
    fn the_hash_of_a_client_is_the_same_everywhere() {
        // SipHash-1-3 of a fixed key and text: a replica that computes another value moves clients.
        assert_eq!(Salt(0, 0).hash(b""), 0xd1fb_a762_150c_532c);
    }

    #[test]
    fn the_ends_of_the_whole_belong_to_the_first_and_the_last_arm() {
        let split = rollout(0.0001);
        let version = |bits| split.choose(Point::from_bits(bits)).map(|arm| arm.version);
        assert_eq!((version(0), version(u64::MAX)), (Some(1), Some(0)));
    }

    #[test]
    fn without_an_arm_nothing_is_chosen() {
        assert_eq!(Split::new(vec![], Salt::default(), None).choose(Point(0)), None);
    }

    #[test]
    fn a_left_over_share_goes_to_the_last_stable_arm_that_has_a_weight() {
        let last = Point(Weight::PARTS - 1);
        let stable = |version, percent| arm(version, percent, Role::Stable);
        let canary = |version, percent| arm(version, percent, Role::Canary);
        for (arms, heir) in [
            (vec![stable(0, 33.3333), stable(1, 33.3333), stable(2, 33.3333)], Some(2)),
            (vec![stable(0, 33.3333), stable(1, 33.3333), stable(2, 0.0)], Some(1)),
            (vec![stable(0, 0.0), canary(1, 5.0)], Some(0)),
            (vec![stable(0, 0.0), canary(1, 0.0)], Some(0)),
            (vec![canary(1, 5.0)], None),
        ] {
            let split = Split::new(arms.clone(), Salt::default(), None);
            assert_eq!(split.choose(last).map(|arm| arm.version), heir, "{arms:?}");
        }
    }

    proptest! {
        #[test]
        fn weight_0_gets_nothing_and_100_percent_everything(bits in any::<u64>()) {
            let version = |split: &Split| split.choose(Point::from_bits(bits)).map(|arm| arm.version);
            prop_assert_eq!(version(&rollout(0.0)), Some(0));
            prop_assert_eq!(version(&rollout(100.0)), Some(1));
            prop_assert_eq!(version(&Split::whole(3)), Some(3));
        }

        #[test]
        fn raising_the_weight_never_moves_a_client_back_to_stable(
            client in any::<u64>(), low in 0.0..=100.0, high in 0.0..=100.0,
        ) {
            let (low, high) = if low <= high { (low, high) } else { (high, low) };
            let on_canary = |percent| {
                let point = Point::from_bits(Salt(9, 9).hash(&client.to_be_bytes()));
                rollout(percent).choose(point).is_some_and(|arm| arm.role == Role::Canary)
            };
            prop_assert!(!on_canary(low) || on_canary(high), "on the canary at {low} %, not at {high} %");
        }

        #[test]
        fn an_arm_of_weight_0_among_others_gets_nothing(
            bits in any::<u64>(), first in 0.0..=100.0, zero in 0usize..3,
        ) {
            let mut weights = vec![first, 100.0 - first];
            weights.insert(zero, 0.0);
            let arms = (0..).zip(weights).map(|(version, percent)| arm(version, percent, Role::Stable));
            let split = Split::new(arms.collect(), Salt::default(), None);
            let chosen = split.choose(Point::from_bits(bits)).map(|arm| arm.version);
            prop_assert!(chosen.is_some() && chosen != Some(zero), "{chosen:?}");
        }
    }
}
