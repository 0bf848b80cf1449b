//! Reads tables of a TOML document and remembers what it was asked for: what is left over is an unknown key. Errors
//! are collected, never returned, so that one wrong value hides no other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostics, Problem};
use super::interpolate::Env;
use super::key::KeyPath;
use super::suggest::{self, Unknown};
use super::value::Value;

/// A document being read.
pub(super) struct Document<'d> {
    pub(super) text: &'d str,
    pub(super) env: Env<'d>,
    /// Whether its strings are labels, each of the kind that is asked for.
    pub(super) is_labels: bool,
    /// Where the lines after the first begin.
    lines: Vec<usize>,
    /// What tables that nobody wrote hold.
    nothing: DeTable<'d>,
    found: RefCell<Found>,
}

/// What came to light while reading.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    unknown: Vec<Unknown>,
    asked: Vocabulary,
}

/// Every key that was asked for, by the [`KeyPath::general`] path of its table.
pub(super) type Vocabulary = BTreeMap<String, BTreeSet<&'static str>>;

/// Where something stands, for an error about it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: KeyPath,
    /// `None`: the whole file.
    pub(super) span: Option<Range<usize>>,
}

/// A table being read.
pub(super) struct Table<'d> {
    document: &'d Document<'d>,
    /// `None`: nobody wrote it, but what would be asked of it is of interest (see [`vocabulary`]).
    entries: Option<&'d DeTable<'d>>,
    place: Place,
    /// So few that looking through them is faster than any index.
    served: Vec<&'static str>,
    unserved: Vec<&'static str>,
    problems_before: usize,
}

impl<'d> Document<'d> {
    pub(super) fn new(text: &'d str, env: Env<'d>) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { text, env, is_labels: false, lines, nothing: DeTable::new(), found: RefCell::default() }
    }

    /// A document that is made of labels. `text` has a line for each, to say which one is wrong.
    pub(super) fn of_labels(text: &'d str) -> Self {
        Self { is_labels: true, ..Self::new(text, &|_| None) }
    }

    /// Has `read` read the whole document.
    pub(super) fn read<T>(
        &'d self,
        root: &'d DeTable<'d>,
        read: impl Fn(&mut Table<'_>) -> T,
    ) -> Result<T, Diagnostics> {
        let place = Place { path: KeyPath::default(), span: None };
        let meaning = self.table(Some(root), place, |table| read(table));
        let Found { mut problems, unknown, .. } = self.found.take();
        if !unknown.is_empty() {
            let vocabulary = vocabulary(|table| drop(read(table)));
            problems.extend(unknown.into_iter().map(|unknown| suggest::explain(unknown, &vocabulary)));
        }
        if problems.is_empty() { Ok(meaning) } else { Err(Diagnostics::new(self.text, problems)) }
    }

    pub(super) fn report(&self, place: &Place, message: impl Into<String>, help: Option<String>) {
        let problem =
            Problem { message: message.into(), help, path: place.path.to_string(), span: place.span.clone() };
        self.found.borrow_mut().problems.push(problem);
    }

    /// The line on which something stands, from 1.
    pub(super) fn line(&self, place: &Place) -> usize {
        let at = place.span.as_ref().map_or(0, |span| span.start);
        self.lines.partition_point(|line| *line <= at) + 1
    }

    /// Reads a table to its end: what `read` did not ask for is unknown.
    pub(super) fn table<T>(
        &'d self,
        entries: Option<&'d DeTable<'d>>,
        place: Place,
        read: impl FnOnce(&mut Table<'d>) -> T,
    ) -> T {
        let mut table = Table {
            document: self,
            entries,
            place,
            served: Vec::new(),
            unserved: Vec::new(),
            problems_before: self.problems(),
        };
        let meaning = read(&mut table);
        table.finish();
        meaning
    }

    fn problems(&self) -> usize {
        self.found.borrow().problems.len()
    }
}

/// All words that `read` knows, found by having it read a document in which every table, name and item is there but
/// empty.
pub(super) fn vocabulary(read: impl Fn(&mut Table<'_>)) -> Vocabulary {
    let env = |_: &str| None;
    let document = Document::new("", &env);
    document.table(None, Place { path: KeyPath::default(), span: None }, |table| read(table));
    document.found.take().asked
}

impl<'d> Table<'d> {
    /// The value of `key`, if it is there.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.served.push(key);
        let path = self.place.path.key(key);
        let Some(entries) = self.entries else {
            return Some(Value::unwritten(self.document, path));
        };
        let value = entries.get(key)?;
        Some(Value::new(self.document, value, path))
    }

    /// The value of `key`; it is an error when it is missing. `help` says what to write.
    pub(super) fn required(&mut self, key: &'static str, help: &str) -> Option<Value<'d>> {
        let value = self.value(key);
        if value.is_none() {
            self.error(format!("`{key}` is missing"), Some(help.to_owned()));
        }
        value
    }

    /// A key that the design knows and this version does not serve: refused when it is there.
    pub(super) fn unserved(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.unserved.push(key);
            let Some((written, _)) = self.entries.and_then(|entries| entries.get_key_value(*key)) else {
                continue;
            };
            let place = Place { path: self.place.path.clone(), span: Some(written.span()) };
            let message = format!("`{key}` is not served by this version of Adit; remove it");
            self.document.report(&place, message, None);
        }
    }

    /// Reads the table under `key`; when it is not there, an empty one, so that defaults come from one place.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl Fn(&mut Table<'d>) -> T) -> T {
        match self.value(key).and_then(|value| value.table(&read)) {
            Some(meaning) => meaning,
            None => {
                let place = Place { path: self.place.path.key(key), span: self.place.span.clone() };
                self.document.table(Some(&self.document.nothing), place, read)
            }
        }
    }

    /// Reads the tables under `key` that people gave names to; those that came to nothing reported why.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, Value<'d>) -> Option<T>,
    ) -> Vec<T> {
        let mut meanings = Vec::new();
        let document = self.document;
        let path = self.place.path.key(key);
        let Some(value) = self.value(key) else {
            return meanings;
        };
        if value.is_unwritten() {
            meanings.extend(read("*", Value::unwritten(document, path.name("*"))));
        }
        for (name, value) in value.entries().into_iter().flatten() {
            let at = Place { path: path.name(name.get_ref()), span: Some(name.span()) };
            if let Some(why) = not_a_name(name.get_ref()) {
                document.report(&at, why, None);
            }
            meanings.extend(read(name.get_ref(), Value::new(document, value, at.path)));
        }
        meanings
    }

    /// A duration in `bounds`; `default` when it is not there (or wrong, and reported).
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        self.value(key).and_then(|value| value.duration(&bounds)).unwrap_or(default)
    }

    /// A whole number in `bounds`; `default` when it is not there (or wrong, and reported).
    pub(super) fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        self.value(key).and_then(|value| value.integer(&bounds)).unwrap_or(default)
    }

    /// Yes or no; `default` when it is not there (or wrong, and reported).
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.value(key).and_then(|value| value.boolean()).unwrap_or(default)
    }

    /// Whether nothing wrong was found in this table so far: only then do checks of one key against another make
    /// sense.
    pub(super) fn sound(&self) -> bool {
        self.document.problems() == self.problems_before
    }

    /// Where this table stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Reports an error about the whole table.
    pub(super) fn error(&self, message: impl Into<String>, help: Option<String>) {
        self.error_at(&self.place, message, help);
    }

    /// Reports an error about a place that may be elsewhere.
    pub(super) fn error_at(&self, place: &Place, message: impl Into<String>, help: Option<String>) {
        if self.entries.is_some() {
            self.document.report(place, message, help);
        }
    }

    /// Reports an error about the value of `key` (about the table when it is not there).
    pub(super) fn error_of(&self, key: &'static str, message: impl Into<String>, help: Option<String>) {
        let span = self.entries.and_then(|entries| entries.get(key)).map(Spanned::span);
        let place = Place { path: self.place.path.key(key), span: span.or(self.place.span.clone()) };
        self.error_at(&place, message, help);
    }

    /// The line on which something stands, from 1.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.document.line(place)
    }

    fn finish(self) {
        let mut found = self.document.found.borrow_mut();
        let Some(entries) = self.entries else {
            found.asked.entry(self.place.path.general()).or_default().extend(self.served);
            return;
        };
        for (key, value) in entries {
            let key_text = key.get_ref().as_ref();
            if !self.served.contains(&key_text) && !self.unserved.contains(&key_text) {
                found.unknown.push(Unknown {
                    key: key_text.to_owned(),
                    table: self.place.path.clone(),
                    span: key.span(),
                    is_table: matches!(value.get_ref(), DeValue::Table(_)),
                });
            }
        }
    }
}

/// Names become parts of addresses, labels and headers; `None` when this one can.
pub(crate) fn not_a_name(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    let well_formed = (1..=128).contains(&name.len()) && name.bytes().all(fits);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    (!well_formed || !starts_well).then(|| {
        format!(
            "{name:?} is not a name: 1 to 128 letters, digits or `.` `_` `+` `-`, a letter or digit first"
        )
    })
}
