//! What a version's build is known by: its image, the commit it was built from, when it was built. Checked here for the
//! config and for deploys alike.

use jiff::Timestamp;

/// Bytes of an image reference.
const LONGEST_IMAGE: usize = 512;
/// Bytes of a revision: twice what the longest hash takes.
const LONGEST_REVISION: usize = 256;
/// Bytes of a source's URL.
const LONGEST_SOURCE: usize = 512;

/// An image reference: `registry.example/web:1.4.0`, `registry.example/web@sha256:…`.
///
/// # Errors
/// When it is empty, longer than 512 bytes, not printable ASCII without spaces, or has an `@` without a digest
/// (`algorithm:value`) behind it.
pub(crate) fn image(text: &str) -> Result<String, String> {
    let image = word(text, "an image", LONGEST_IMAGE)?;
    let value =
        |digest: &str| digest.split_once(':').map(|(name, value)| !name.is_empty() && !value.is_empty());
    if digest(&image).is_some_and(|digest| value(digest) != Some(true)) {
        return Err(format!("`{text}` has no digest behind the `@`: write `name@sha256:…`"));
    }
    Ok(image)
}

/// A commit: a hash, a tag, whatever names it.
///
/// # Errors
/// When it is empty, longer than 256 bytes, or not printable ASCII without spaces.
pub(crate) fn revision(text: &str) -> Result<String, String> {
    word(text, "a revision", LONGEST_REVISION)
}

/// Where the source is: a URL, as an image's labels have it.
///
/// # Errors
/// When it is empty, longer than 512 bytes, or not printable ASCII without spaces.
pub(crate) fn source(text: &str) -> Result<String, String> {
    word(text, "a source", LONGEST_SOURCE)
}

/// A moment (RFC 3339), levelled to UTC, so that two ways to write it are one.
///
/// # Errors
/// When it is no moment.
pub(crate) fn created(text: &str) -> Result<String, String> {
    let at = text.parse::<Timestamp>();
    at.map(|at| at.to_string())
        .map_err(|_| format!("{text:?} is not a time: write it as `2026-11-01T12:00:00Z` (RFC 3339)"))
}

/// `sha256:…` of `name@sha256:…`.
pub(crate) fn digest(image: &str) -> Option<&str> {
    image.split_once('@').map(|(_, digest)| digest)
}

fn word(text: &str, what: &str, longest: usize) -> Result<String, String> {
    let fits = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("{text:?} is not {what}: 1 to {longest} printable ASCII characters without spaces"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_as_they_are_written() {
        for text in ["web", "registry.example:5000/team/web:1.4.0", "web@sha256:0123abcd"] {
            assert_eq!(image(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_names_no_build_is_refused() {
        let long = "x".repeat(513);
        for text in ["", " ", "a b", "web\n", "wéb", "web@", "web@sha256", "web@sha256:", "web@:ab", &long] {
            assert!(image(text).is_err(), "{text:?}");
        }
        for text in ["", "fix the bug", &long] {
            assert!(revision(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn one_moment_has_one_spelling() {
        for (text, levelled) in [
            ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z"),
            ("2026-11-01T13:00:00+01:00", "2026-11-01T12:00:00Z"),
            ("2026-11-01T12:00:00.250Z", "2026-11-01T12:00:00.25Z"),
        ] {
            assert_eq!(created(text), Ok(levelled.to_owned()));
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_an_example() {
        for text in
            ["", "yesterday", "1761998400", "2026-13-01T12:00:00Z", "2026-11-01", "2026-11-01T12:00:00"]
        {
            let why = created(text).expect_err(text);
            assert!(why.contains("2026-11-01T12:00:00Z"), "{why}");
        }
    }
}
