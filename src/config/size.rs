//! Sizes as people write them: `64KiB`.

/// Units, the largest first.
const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Bytes: a whole number with its unit, `512B`, `64KiB`, `1MiB`. Blanks between them don't matter.
pub(super) fn parse(text: &str) -> Result<usize, String> {
    let wrong =
        || format!("{text:?} is not a size: write a whole number and B, KiB, MiB or GiB, as \"64KiB\"");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: usize = digits.parse().map_err(|_| wrong())?;
    let unit = text[digits.len()..].trim();
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*bytes).ok_or_else(wrong)
}

/// In the largest unit that fits evenly.
pub(super) fn show(size: usize) -> String {
    let fitting = UNITS.iter().find(|(_, bytes)| size >= *bytes && size.is_multiple_of(*bytes));
    fitting.map_or_else(|| "0B".to_owned(), |(name, bytes)| format!("{}{name}", size / bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_its_unit() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "64",
            "KiB",
            "64kb",
            "1.5MiB",
            "-1B",
            "99999999999999999999B",
            "18446744073709551615GiB",
            "6é",
        ] {
            assert!(parse(text).is_err_and(|why| why.contains("64KiB")), "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_as_it_is_written() {
        for text in ["0B", "512B", "64KiB", "1MiB", "1025B"] {
            assert_eq!(parse(text).map(show), Ok(text.to_owned()));
        }
    }
}
