//! How much of a service's traffic goes to a version.

use std::fmt;
use std::str::FromStr;

/// A share of the requests (or clients), exact to a ten-thousandth of a percent: 0 to 100 %.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(u32);

/// A weight outside 0 to 100 %.
#[derive(Clone, Debug, PartialEq)]
pub struct NotAWeight(String);

impl Weight {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const FULL: Self = Self(Self::PARTS);
    /// How finely traffic is divided: parts per million.
    pub const PARTS: u32 = 1_000_000;

    /// From a percentage.
    ///
    /// # Errors
    /// When it is not a number from 0 to 100.
    pub fn from_percent(percent: f64) -> Result<Self, NotAWeight> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(NotAWeight(format!("weight {percent} % is not between 0 and 100 %")));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000,000 by the check above"
        )]
        let parts = (percent * 10_000.0).round() as u32;
        if parts == 0 && percent > 0.0 {
            return Err(NotAWeight(format!("weight {percent} % is too small; the smallest is 0.0001 %")));
        }
        Ok(Self(parts))
    }

    /// In percent: 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// As a fraction: 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::PARTS)
    }

    /// In parts per million: 0 to [`Self::PARTS`].
    pub const fn parts(self) -> u32 {
        self.0
    }

    /// What is left of the whole.
    pub const fn rest(self) -> Self {
        Self(Self::PARTS - self.0)
    }
}

impl TryFrom<f64> for Weight {
    type Error = NotAWeight;

    fn try_from(percent: f64) -> Result<Self, NotAWeight> {
        Self::from_percent(percent)
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> Self {
        weight.percent()
    }
}

impl FromStr for Weight {
    type Err = NotAWeight;

    /// `5`, `0.5`, `5%` or `5 %`.
    fn from_str(text: &str) -> Result<Self, NotAWeight> {
        let number = text.trim().trim_end_matches('%').trim_end();
        let percent =
            number.parse::<f64>().map_err(|_| NotAWeight(format!("`{text}` is not a percentage")))?;
        Self::from_percent(percent)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl fmt::Display for NotAWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAWeight {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_reads_as_people_write_it() {
        for (text, parts) in [("5", 50_000), ("0.5%", 5_000), ("100 %", 1_000_000), ("0", 0), ("0.0001", 1)] {
            assert_eq!(text.parse::<Weight>().map(Weight::parts), Ok(parts), "{text}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["-1", "100.1", "0.00001", "NaN", "inf", "many", ""] {
            assert!(text.parse::<Weight>().is_err(), "{text}");
        }
    }
}
