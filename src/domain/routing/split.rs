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
    /// clients from stable to it. A share that the weights leave over goes to the last arm.
    pub fn new(mut arms: Vec<Arm>, salt: Salt, epoch: Option<Arc<Epoch>>) -> Self {
        arms.sort_by_key(|arm| match arm.role {
            Role::Canary => 0,
            Role::Stable => 1,
        });
        Self { arms, salt, epoch }
    }

    /// The arm on which `point` lies; `None` when there is no arm.
    #[inline]
    pub fn choose(&self, point: Point) -> Option<&Arm> {
        let mut upto = 0;
        self.arms
            .iter()
            .find(|arm| {
                upto += arm.weight.parts();
                point.0 < upto
            })
            .or(self.arms.last())
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
