//! Durations as people write them: `500ms`, `2s`, `2m30s`, `1h`.

use std::fmt;
use std::time::Duration;

/// Units from long to short, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is not a duration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotADuration(String);

/// Whole numbers with the units d, h, m, s, ms, from long to short, each at most once.
pub(crate) fn parse(text: &str) -> Result<Duration, NotADuration> {
    let wrong = || NotADuration(format!("`{text}` is not a duration"));
    let mut millis: u64 = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    if text.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let number = number.parse::<u64>().map_err(|_| wrong())?;
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        millis = number.checked_mul(*length).and_then(|part| millis.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    Ok(Duration::from_millis(millis))
}

/// A duration in the form that [`parse`] reads; less than a millisecond is left out.
pub(crate) fn show(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut shown = String::new();
    for (name, length) in UNITS {
        if millis >= length {
            shown.push_str(&format!("{}{name}", millis / length));
            millis %= length;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotADuration {}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("2s", 2_000),
            ("2m30s", 150_000),
            ("1h", 3_600_000),
            ("1d1h1m1s1ms", 90_061_001),
            ("90m", 5_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "2",
            "s",
            "2 s",
            "1.5s",
            "-1s",
            "2S",
            "2sec",
            "30s2m",
            "1s1s",
            "99999999999999999999s",
            "999999999999999999d",
            "1h ",
            "1é",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0..u64::MAX) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }
    }
}
