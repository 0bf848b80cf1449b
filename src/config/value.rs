//! One value of a TOML document, read as what it should be. What is wrong with it is reported once.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::duration;
use super::interpolate::interpolate;
use super::key::KeyPath;
use super::reader::{Document, Place, Table};
use crate::domain::Weight;

/// A value, and where it stands.
#[derive(Clone)]
pub(super) struct Value<'d> {
    document: &'d Document<'d>,
    /// `None`: nobody wrote it; it reads as nothing, without an error.
    written: Option<Written<'d>>,
    place: Place,
}

/// How a value was written.
#[derive(Clone, Copy)]
enum Written<'d> {
    /// In TOML, which says what kind it is.
    Toml(&'d DeValue<'d>),
    /// As the text of a label: it is of the kind that is asked for. Nothing is filled in, for a label must not read our
    /// environment.
    Text(&'d str),
}

impl<'d> Value<'d> {
    pub(super) fn new(document: &'d Document<'d>, value: &'d Spanned<DeValue<'d>>, path: KeyPath) -> Self {
        let place = Place { path, span: Some(value.span()) };
        let written = match value.get_ref() {
            DeValue::String(text) if document.is_labels => Written::Text(text),
            other => Written::Toml(other),
        };
        Self { document, written: Some(written), place }
    }

    pub(super) fn unwritten(document: &'d Document<'d>, path: KeyPath) -> Self {
        Self { document, written: None, place: Place { path, span: None } }
    }

    pub(super) fn is_unwritten(&self) -> bool {
        self.written.is_none()
    }

    /// Whether it is a table (or could be one, when nobody wrote it).
    pub(super) fn is_table(&self) -> bool {
        self.written.is_none_or(|written| matches!(written, Written::Toml(DeValue::Table(_))))
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Reports an error about it.
    pub(super) fn error(&self, message: impl Into<String>, help: Option<String>) {
        if self.written.is_some() {
            self.document.report(&self.place, message, help);
        }
    }

    /// A string with its variables filled in.
    pub(super) fn string(&self) -> Option<String> {
        self.text("a string").map(Cow::into_owned)
    }

    /// A string that `parse` understands.
    pub(super) fn parsed<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text("a string")?;
        parse(&text).map_err(|why| self.error(why.to_string(), None)).ok()
    }

    /// A string, or a whole number as it is written, that `parse` understands.
    pub(super) fn word_or_number<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.written? {
            Written::Toml(DeValue::Integer(number)) => {
                parse(number.as_str()).map_err(|why| self.error(why.to_string(), None)).ok()
            }
            Written::Toml(_) | Written::Text(_) => self.parsed(parse),
        }
    }

    /// One of the words in `served`; those in `unserved` are known but refused.
    pub(super) fn choice<T: Copy>(&self, served: &[(&str, T)], unserved: &[&str]) -> Option<T> {
        let typed = self.string()?;
        if let Some((_, meaning)) = served.iter().find(|(word, _)| *word == typed) {
            return Some(*meaning);
        }
        let words: Vec<_> = served.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let help = format!("write {}", words.join(" or "));
        let message = if unserved.contains(&typed.as_str()) {
            format!("\"{typed}\" is not served by this version of Adit")
        } else {
            format!("{typed:?} is not known here")
        };
        self.error(message, Some(help));
        None
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.written? {
            Written::Toml(DeValue::Boolean(yes)) => Some(*yes),
            written if written.is_loose() => {
                self.parsed(|text| text.parse::<bool>().map_err(|_| format!("{text:?} is not true or false")))
            }
            other => self.not("true or false", other),
        }
    }

    /// A whole number in `bounds`.
    pub(super) fn integer(&self, bounds: &RangeInclusive<u64>) -> Option<u64> {
        let number = match self.written? {
            Written::Toml(DeValue::Integer(number)) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok()
            }
            written if written.is_loose() => self.parsed(|text| {
                text.parse().map(Some).map_err(|_| format!("{text:?} is not a whole number"))
            })?,
            other => return self.not("a whole number", other),
        };
        let fitting = number.and_then(|number| u64::try_from(number).ok()).filter(|n| bounds.contains(n));
        if fitting.is_none() {
            self.error(format!("must be from {} to {}", bounds.start(), bounds.end()), None);
        }
        fitting
    }

    /// A number, whole or not.
    pub(super) fn number(&self) -> Option<f64> {
        match self.written? {
            Written::Toml(DeValue::Integer(number)) => {
                let whole = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
                i32::try_from(whole).map(f64::from).map_err(|_| self.error("is out of range", None)).ok()
            }
            Written::Toml(DeValue::Float(number)) => {
                let number = number.as_str().parse::<f64>().ok().filter(|number| number.is_finite());
                if number.is_none() {
                    self.error("must be a finite number", None);
                }
                number
            }
            written if written.is_loose() => self.parsed(|text| {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| format!("{text:?} is not a number"))
            }),
            other => self.not("a number", other),
        }
    }

    /// A percentage: `5` or `"0.5%"`.
    pub(super) fn weight(&self) -> Option<Weight> {
        match self.written? {
            Written::Text(_) | Written::Toml(DeValue::String(_)) => self.parsed(str::parse::<Weight>),
            Written::Toml(DeValue::Integer(_) | DeValue::Float(_)) => {
                let percent = self.number()?;
                Weight::from_percent(percent).map_err(|why| self.error(why.to_string(), None)).ok()
            }
            other @ Written::Toml(_) => self.not("a percentage, as `5` or \"0.5%\"", other),
        }
    }

    /// A share of the requests, as a fraction: only as a string with `%`, because `0.5` could mean either.
    pub(super) fn share(&self) -> Option<f64> {
        const FORM: &str = "a share with its percent sign, as \"0.5%\"";
        let text = self.text(FORM)?;
        let percent = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
        let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent)) else {
            self.error(format!("{text:?} is not {FORM}, from 0% to 100%"), None);
            return None;
        };
        Some(percent / 100.0)
    }

    /// A duration in `bounds`.
    pub(super) fn duration(&self, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
        const FORM: &str = "a duration, as \"500ms\", \"2s\", \"1m30s\" or \"1h\"";
        let text = self.text(FORM)?;
        let help = || Some(format!("write {FORM}: whole numbers, units d, h, m, s, ms"));
        let length = duration::parse(&text).map_err(|why| self.error(why.to_string(), help())).ok()?;
        if length < *bounds.start() {
            self.error(format!("{text} is too short: at least {}", duration::show(*bounds.start())), None);
            return None;
        }
        if length > *bounds.end() {
            self.error(format!("{text} is too long: at most {}", duration::show(*bounds.end())), None);
            return None;
        }
        Some(length)
    }

    /// An array, each item read by `read`; `None` when it is none or when an item came to nothing (and reported why).
    pub(super) fn list<T>(&self, mut read: impl FnMut(Value<'d>) -> Option<T>) -> Option<Vec<T>> {
        // Every item is read before the first failure counts, so that all errors show.
        let meanings: Vec<_> = match self.written {
            None => {
                read(Value::unwritten(self.document, self.place.path.item(0)));
                return None;
            }
            Some(Written::Text(text)) => self.pieces(text).into_iter().map(read).collect(),
            Some(Written::Toml(DeValue::Array(items))) => {
                let item_at = |(index, item)| Value::new(self.document, item, self.place.path.item(index));
                items.iter().enumerate().map(item_at).map(read).collect()
            }
            Some(other) => return self.not("an array", other),
        };
        meanings.into_iter().collect()
    }

    /// The two sides of the first `border` in a label's text, which has no other way to write a small table.
    pub(super) fn halves(&self, border: char) -> Option<[Self; 2]> {
        let Some(Written::Text(text)) = self.written else { return None };
        let (before, after) = text.split_once(border)?;
        Some([before, after].map(|half| self.piece(half.trim())))
    }

    /// A table, read by `read` to its end.
    pub(super) fn table<T>(&self, read: impl FnOnce(&mut Table<'d>) -> T) -> Option<T> {
        match self.written {
            None => Some(self.document.table(None, self.place.clone(), read)),
            Some(Written::Toml(DeValue::Table(entries))) => {
                Some(self.document.table(Some(entries), self.place.clone(), read))
            }
            Some(other) => self.not("a table", other),
        }
    }

    /// The entries of a table whose keys people chose.
    pub(super) fn entries(&self) -> Option<&'d DeTable<'d>> {
        match self.written? {
            Written::Toml(DeValue::Table(entries)) => Some(entries),
            other => self.not("a table", other),
        }
    }

    /// The entries of a table whose keys people chose, as values.
    pub(super) fn pairs(&self) -> Option<Vec<(&'d str, Value<'d>)>> {
        let pair = |name: &'d Spanned<DeString<'d>>, value| {
            let name = name.get_ref().as_ref();
            (name, Value::new(self.document, value, self.place.path.name(name)))
        };
        Some(self.entries()?.iter().map(|(name, value)| pair(name, value)).collect())
    }

    /// The text of a string, or of a label.
    fn text(&self, wanted: &str) -> Option<Cow<'d, str>> {
        match self.written? {
            Written::Text(text) => Some(Cow::Borrowed(text)),
            Written::Toml(DeValue::String(text)) => self.filled(text),
            other @ Written::Toml(_) => self.not(wanted, other),
        }
    }

    /// What a label's text lists between its commas.
    fn pieces(&self, text: &'d str) -> Vec<Self> {
        match text.trim() {
            "" => Vec::new(),
            text => text.split(',').map(|piece| self.piece(piece.trim())).collect(),
        }
    }

    fn piece(&self, text: &'d str) -> Self {
        Self { document: self.document, written: Some(Written::Text(text)), place: self.place.clone() }
    }

    fn filled(&self, text: &'d str) -> Option<Cow<'d, str>> {
        let unfilled = match interpolate(text, self.document.env) {
            Ok(filled) => return Some(filled),
            Err(unfilled) => unfilled,
        };
        let mut place = self.place.clone();
        if let Some(span) = &mut place.span
            && let Some(offset) = self.document.text.get(span.clone()).and_then(|raw| raw.find(&unfilled.at))
        {
            *span = span.start + offset..span.start + offset + unfilled.at.len();
        }
        self.document.report(&place, unfilled.to_string(), None);
        None
    }

    fn not<T>(&self, wanted: &str, found: Written<'_>) -> Option<T> {
        let found = match found {
            Written::Text(text) => return self.refuse(wanted, &format!("{text:?}")),
            Written::Toml(found) => found,
        };
        let found = match found {
            DeValue::String(text) => format!("the string {:?}", text.as_ref()),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(yes) => yes.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.refuse(wanted, &found)
    }

    fn refuse<T>(&self, wanted: &str, found: &str) -> Option<T> {
        self.error(format!("expected {wanted}, found {found}"), None);
        None
    }
}

impl Written<'_> {
    /// Whether its text may stand for a number, or for true or false.
    fn is_loose(self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Toml(DeValue::String(text)) => text.contains('$'),
            Self::Toml(_) => false,
        }
    }
}
