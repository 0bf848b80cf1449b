//! A duration as people read it.

use std::fmt;
use std::time::Duration;

/// Shows a duration with one decimal at most: `1.2 ms`, `10 s`.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0.as_secs_f64() {
            seconds if seconds >= 1.0 => (seconds, "s"),
            seconds => (seconds * 1000.0, "ms"),
        };
        let number = format!("{number:.1}");
        write!(f, "{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_as_people_say_it() {
        for (micros, text) in
            [(0, "0 ms"), (1_240, "1.2 ms"), (12_000, "12 ms"), (1_000_000, "1 s"), (90_500_000, "90.5 s")]
        {
            assert_eq!(Span(Duration::from_micros(micros)).to_string(), text);
        }
    }
}
