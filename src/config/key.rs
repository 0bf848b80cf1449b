//! Where a value stands in the file: `services.web.rollout.steps[1]`.

use std::fmt;
use std::iter::successors;
use std::rc::Rc;

/// The way from the top of the file to a value. Every value has one, and almost none is shown: each shares all but its last
/// part with its table's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Option<Rc<Step>>);

#[derive(Debug, PartialEq, Eq)]
struct Step {
    before: KeyPath,
    segment: Segment,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    /// A key that Adit knows.
    Key(&'static str),
    /// A name that a person chose: a service, a version, a header.
    Name(String),
    /// An item of an array, from 0.
    Item(usize),
}

impl KeyPath {
    pub(super) fn key(&self, key: &'static str) -> Self {
        self.with(Segment::Key(key))
    }

    pub(super) fn name(&self, name: &str) -> Self {
        self.with(Segment::Name(name.to_owned()))
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.with(Segment::Item(index))
    }

    /// Whether the last part is a name that a person chose.
    pub(super) fn ends_in_name(&self) -> bool {
        self.0.as_ref().is_some_and(|last| matches!(last.segment, Segment::Name(_)))
    }

    /// With `*` for every chosen name and `[]` for every item, so that it is the same in every file.
    pub(super) fn general(&self) -> String {
        self.render(|_| "*".to_owned(), |_| "[]".to_owned())
    }

    /// `general`, the [`Self::general`] path of another place, with the names that the two paths share filled in.
    pub(super) fn localise(&self, general: &str) -> String {
        let here = self.general();
        let shared = here.split('.').zip(general.split('.')).take_while(|(a, b)| a == b).count();
        let mut names = self.segments();
        names.retain(|segment| !matches!(segment, Segment::Item(_)));
        let parts = general.split('.').enumerate().map(|(at, part)| match names.get(at) {
            Some(Segment::Name(name)) if at < shared => quoted(name),
            _ if part == "*" => "NAME".to_owned(),
            _ => part.trim_end_matches("[]").to_owned(),
        });
        parts.collect::<Vec<_>>().join(".")
    }

    fn with(&self, segment: Segment) -> Self {
        Self(Some(Rc::new(Step { before: self.clone(), segment })))
    }

    fn segments(&self) -> Vec<&Segment> {
        let mut segments: Vec<_> =
            successors(self.0.as_ref(), |step| step.before.0.as_ref()).map(|step| &step.segment).collect();
        segments.reverse();
        segments
    }

    fn render(&self, name: impl Fn(&str) -> String, item: impl Fn(usize) -> String) -> String {
        let mut text = String::new();
        for segment in self.segments() {
            if !text.is_empty() && !matches!(segment, Segment::Item(_)) {
                text.push('.');
            }
            match segment {
                Segment::Key(key) => text.push_str(key),
                Segment::Name(given) => text.push_str(&name(given)),
                Segment::Item(index) => text.push_str(&item(*index)),
            }
        }
        text
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(quoted, |index| format!("[{index}]")))
    }
}

/// As the name is written in TOML: bare where it can be.
fn quoted(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.to_owned() } else { format!("{name:?}") }
}
