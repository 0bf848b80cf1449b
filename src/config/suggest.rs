//! What someone who wrote an unknown key may have meant.

use std::ops::Range;

use super::diagnostics::Problem;
use super::key::KeyPath;
use super::reader::Vocabulary;

/// A key that nobody asked for.
pub(super) struct Unknown {
    pub(super) key: String,
    pub(super) table: KeyPath,
    pub(super) span: Range<usize>,
    pub(super) is_table: bool,
}

/// The error about an unknown key, with the best advice there is.
pub(super) fn explain(unknown: Unknown, vocabulary: &Vocabulary) -> Problem {
    let help = close_by(&unknown, vocabulary)
        .or_else(|| elsewhere(&unknown, vocabulary))
        .or_else(|| name_with_dots(&unknown))
        .or_else(|| all_of(&unknown, vocabulary));
    Problem {
        message: format!("unknown key `{}`", unknown.key),
        help,
        path: unknown.table.to_string(),
        span: Some(unknown.span),
    }
}

/// A key of the same table that is written almost alike.
fn close_by(unknown: &Unknown, vocabulary: &Vocabulary) -> Option<String> {
    let keys = vocabulary.get(&unknown.table.general())?;
    let typed = unknown.key.to_lowercase().replace('-', "_");
    // One slip in three letters: `hots` is `hosts`, but `to` is not `by`.
    let tolerated = (typed.chars().count() / 3).max(1);
    keys.iter()
        .map(|key| (strsim::damerau_levenshtein(&typed, key), key))
        .filter(|(distance, key)| *distance <= tolerated && *distance < key.len().min(typed.len()))
        .min()
        .map(|(_, key)| format!("did you mean `{key}`?"))
}

/// The same key in another table: the one that shares most of the way.
fn elsewhere(unknown: &Unknown, vocabulary: &Vocabulary) -> Option<String> {
    let here = unknown.table.general();
    let in_common = |table: &str| here.split('.').zip(table.split('.')).take_while(|(a, b)| a == b).count();
    let depth = |table: &str| table.split('.').count();
    vocabulary
        .iter()
        .filter(|(_, keys)| keys.contains(unknown.key.as_str()))
        .max_by_key(|(table, _)| (in_common(table), std::cmp::Reverse(depth(table))))
        .map(|(table, _)| match unknown.table.localise(table).as_str() {
            "" => format!("`{}` belongs to the top of the file, before the first table", unknown.key),
            table => format!("`{}` belongs to `{table}`", unknown.key),
        })
}

/// `[services.web.versions.v1.2]` is a table `2` in `v1`.
fn name_with_dots(unknown: &Unknown) -> Option<String> {
    (unknown.is_table && unknown.table.ends_in_name())
        .then(|| "a name that has a dot goes in quotes: `versions.\"v1.2\"`".to_owned())
}

fn all_of(unknown: &Unknown, vocabulary: &Vocabulary) -> Option<String> {
    let keys = vocabulary.get(&unknown.table.general())?;
    let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    (!keys.is_empty()).then(|| format!("the keys here are {}", keys.join(", ")))
}
